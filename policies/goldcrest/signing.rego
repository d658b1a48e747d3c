# METADATA
# title: May this command be signed?
# description: |
#   Asked by delegation before every certificate. Answers as admission.rego does.
package goldcrest.signing

import data.goldcrest.containment
import data.goldcrest.rules

default decision := {"allow": false, "rule": "signing.rego: default", "reason": "policy does not allow this"}

decision := {"answers": [object.union({"id": question.id}, answer(question)) | some question in input.questions]} if {
	input.questions
} else := answer(input)

answer(question) := containment.answer(question) if {
	question.trigger == "containment"
} else := rules.allowance(question) if {
	operation_allowed(question)
} else := {
	"allow": false,
	"rule": "signing.rego: operation_allowed",
	"reason": sprintf("%s may not run %s", [question.subject.via, question.operation]),
} if {
	rules.allowance(question)
} else := object.union({"allow": false}, rules.refusal(question))

# A token alone never submits: that needs a resource.
operation_allowed(question) if {
	question.subject.via == "Token"
	gateway_operation(question.operation)
}

operation_allowed(question) if {
	question.subject.via in {"Grant", "Kubernetes"}
	question.trigger == "request"
	operator_operation(question.operation)
}

# What a deleted resource left behind may be found and cancelled, and nothing else.
operation_allowed(question) if {
	question.subject.via in {"Grant", "Kubernetes"}
	question.trigger == "cleanup"
	question.operation in {"session", "slurm.cancel", "slurm.find", "slurm.queue", "slurm.describe", "slurm.account", "slurm.usage"}
}

# An observer asks, and never changes anything. Which paths it may look at, and whether it may list for others, is delegation's to compare
# with the System.
operation_allowed(question) if {
	question.subject.via == "Observer"
	question.trigger == "observe"
	question.operation in {"session", "slurm.queue", "slurm.describe", "slurm.account", "slurm.usage", "slurm.jobs", "fs.stat"}
}

gateway_operation(operation) if operation in {"session", "sys.whoami"}

gateway_operation(operation) if strings.any_prefix_match(operation, {"fs.", "rsv."})

operator_operation(operation) if operation in {"session", "sys.whoami"}

operator_operation(operation) if strings.any_prefix_match(operation, {"slurm.", "fs."})
