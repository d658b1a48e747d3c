package goldcrest.signing_test

import data.goldcrest.signing

systems := {"cluster": {"enabled": true, "users": ["*"], "groups": []}}

question(via, trigger, operation) := {
	"id": operation,
	"trigger": trigger,
	"subject": {"via": via, "username": "alice", "groups": [], "scopes": ["firecrest"]},
	"system": "cluster",
	"runAs": "alice",
	"operation": operation,
	"wildcards": [],
}

allowed(via, trigger, operation) if {
	signing.decision.allow with input as question(via, trigger, operation)
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
}

test_a_token_reads_files if {
	every operation in {"session", "sys.whoami", "fs.stat", "fs.read"} {
		allowed("Token", "request", operation)
	}
}

test_a_token_never_submits if {
	every operation in {"slurm.submit", "slurm.cancel", "slurm.queue"} {
		not allowed("Token", "request", operation)
	}
}

test_a_resource_submits if {
	every via in {"Grant", "Kubernetes"} {
		every operation in {"session", "sys.whoami", "slurm.submit", "fs.checksum"} {
			allowed(via, "request", operation)
		}
	}
}

test_cleanup_cancels_and_nothing_else if {
	allowed("Grant", "cleanup", "slurm.cancel")
	not allowed("Grant", "cleanup", "slurm.submit")
	not allowed("Kubernetes", "cleanup", "slurm.release")
}

test_a_token_is_enough_for_reservations if {
	allowed("Token", "request", "rsv.create")
	not allowed("Grant", "request", "rsv.create")
	not allowed("Observer", "observe", "rsv.list")
}

test_an_observer_only_asks if {
	allowed("Observer", "observe", "slurm.queue")
	allowed("Observer", "observe", "fs.stat")
	allowed("Observer", "observe", "slurm.jobs")
	not allowed("Observer", "observe", "fs.read")
	not allowed("Observer", "observe", "slurm.cancel")
	not allowed("Observer", "request", "slurm.queue")
}

test_a_refusal_says_why if {
	answer := signing.decision with input as question("Observer", "observe", "slurm.submit")
		with data.goldcrest.systems as systems
	answer == {
		"allow": false,
		"rule": "signing.rego: operation_allowed",
		"reason": "Observer may not run slurm.submit",
	}
}

test_an_unknown_system_is_refused_in_words if {
	answer := signing.decision with input as object.union(question("Token", "request", "fs.stat"), {"system": "nowhere"})
		with data.goldcrest.systems as systems
	contains(answer.reason, "nowhere")
}

test_a_batch_answers_by_id if {
	answers := signing.decision.answers with input as {"questions": [
		question("Token", "request", "fs.stat"),
		question("Token", "request", "slurm.submit"),
	]}
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
	{answer.id: answer.allow | some answer in answers} == {"fs.stat": true, "slurm.submit": false}
}

test_nothing_is_denied if not signing.decision.allow with input as {}

test_no_input_is_denied if not signing.decision.allow
