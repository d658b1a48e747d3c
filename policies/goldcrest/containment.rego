# METADATA
# title: What may be signed for the Job of somebody who is blocked?
# description: |
#   The one exception from the block list. Delegation asks with the trigger "containment" for a live Job with a valid grant or stamp
#   whose requester or Unix user is blocked, and for a command that makes less run of it. Whether they hold a scope or are listed
#   for the system does not matter any more: whoever lost those must not keep jobs waiting in the queue.
package goldcrest.containment

import data.goldcrest.settings

answer(question) := {"allow": true, "reason": "allowed, as it only makes less run of a blocked user's job"} if {
	question.subject.via in {"Grant", "Kubernetes"}
	question.operation in {"session", "slurm.hold", "slurm.cancel"}
	settings.systems[question.system]
} else := {
	"allow": false,
	"rule": "containment.rego: answer",
	"reason": "nothing is signed for who is blocked, but what holds or cancels their own jobs on a known system",
}
