# METADATA
# title: May this resource be made or changed?
# description: |
#   Asked by delegation before it makes a grant, and by admission for every new or changed resource. Answers one question
#   with {"allow", "reason"}; when refused with "rule", and with "retry": true when the refusal passes by itself; when allowed by
#   break-glass only, with "breakGlass". Several ({"questions": [...]}) with {"answers": [{"id", "allow", …}]}.
package goldcrest.admission

import data.goldcrest.rules

default decision := {"allow": false, "rule": "admission.rego: default", "reason": "policy does not allow this"}

decision := {"answers": [object.union({"id": question.id}, answer(question)) | some question in input.questions]} if {
	input.questions
} else := answer(input)

answer(question) := rules.allowance(question) if {
	operation_known(question)
} else := {
	"allow": false,
	"rule": "admission.rego: operation_known",
	"reason": sprintf("operation %s cannot be admitted", [question.operation]),
} if {
	rules.allowance(question)
} else := object.union({"allow": false}, rules.refusal(question))

operation_known(question) if startswith(question.operation, "job.")

operation_known(question) if startswith(question.operation, "task.")
