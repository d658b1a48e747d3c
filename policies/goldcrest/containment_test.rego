package goldcrest.containment_test

import data.goldcrest.signing

question(via, operation) := {
	"id": "0",
	"trigger": "containment",
	"subject": {"via": via, "username": "mallory", "groups": [], "scopes": []},
	"system": "cluster",
	"runAs": "mallory",
	"operation": operation,
	"wildcards": [],
}

answer(asked) := decision.allow if {
	decision := signing.decision with input as asked
		with data.goldcrest.systems as {"cluster": {"enabled": false, "users": [], "groups": []}}
		with data.goldcrest.blocked as ["mallory"]
}

test_what_makes_less_run_is_signed_for_the_blocked if {
	every via in {"Grant", "Kubernetes"} {
		every operation in {"session", "slurm.hold", "slurm.cancel"} {
			answer(question(via, operation)) == true
		}
	}
}

test_nothing_else_is if {
	every operation in {"slurm.submit", "slurm.release", "slurm.find", "slurm.queue", "fs.read", "sys.whoami"} {
		answer(question("Grant", operation)) == false
	}
}

test_a_token_is_never_contained if {
	every via in {"Token", "Observer"} {
		answer(question(via, "session")) == false
	}
}

test_a_system_that_policy_does_not_know if {
	answer(object.union(question("Grant", "slurm.hold"), {"system": "nowhere"})) == false
}

test_a_batch_mixes_triggers if {
	usual := object.union(question("Grant", "slurm.submit"), {"id": "1", "trigger": "request"})
	answers := signing.decision.answers with input as {"questions": [question("Grant", "slurm.hold"), usual]}
		with data.goldcrest.systems as {"cluster": {"enabled": true, "users": ["*"], "groups": []}}
		with data.goldcrest.blocked as ["mallory"]
	[told.allow | some told in answers] == [true, false]
}
