package goldcrest.admission_test

import data.goldcrest.admission

systems := {"cluster": {"enabled": true, "users": ["*"], "groups": []}}

create := {
	"trigger": "request",
	"subject": {"via": "Grant", "username": "alice", "groups": [], "scopes": ["firecrest"]},
	"system": "cluster",
	"runAs": "alice",
	"operation": "job.create",
	"wildcards": [],
}

test_a_job_is_admitted if {
	admission.decision == {"allow": true, "reason": "allowed"} with input as create
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
}

test_a_task_is_admitted if {
	admission.decision.allow with input as object.union(create, {"operation": "task.listJobs"})
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
}

test_a_command_cannot_be_admitted if {
	answer := admission.decision with input as object.union(create, {"operation": "slurm.submit"})
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
	answer == {
		"allow": false,
		"rule": "admission.rego: operation_known",
		"reason": "operation slurm.submit cannot be admitted",
	}
}

test_each_question_of_a_batch_gets_its_answer if {
	questions := [object.union(create, {"id": "0"}), object.union(create, {"id": "1", "system": "nowhere"})]
	answers := admission.decision.answers with input as {"questions": questions}
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
	[answer.allow | some answer in answers] == [true, false]
	[answer.id | some answer in answers] == ["0", "1"]
}

test_nothing_is_denied if not admission.decision.allow with input as {}

test_no_input_is_denied if not admission.decision.allow
