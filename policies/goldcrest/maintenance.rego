# METADATA
# title: Maintenance windows
# description: |
#   data.goldcrest.maintenance: from, until (RFC 3339), message, which operations, who is exempt. A window stops commands; new Jobs
#   are taken and wait, unless it names job.create. What it refuses is to be asked again ("retry": true). A window in a wrong form
#   is one that counts.
package goldcrest.rules.maintenance

import data.goldcrest.rules.matching
import data.goldcrest.settings

commands := ["session", "sys.*", "fs.*", "slurm.*", "rsv.*"]

open(question) if {
	settings.maintenance == []
} else if {
	every window in settings.maintenance {
		passed(window, question)
	}
}

passed(window, _) if time.now_ns() < time.parse_rfc3339_ns(window.from)

passed(window, _) if time.now_ns() >= time.parse_rfc3339_ns(window.until)

passed(window, question) if matching.not_named(question.system, window.systems)

passed(window, question) if matching.not_named(question.operation, object.get(window, "operations", commands))

passed(window, question) if matching.among(question.subject, window.exempt)

refusal(question) := {
	"retry": true,
	"rule": sprintf("maintenance.rego: passed (maintenance[%d])", [index]),
	"reason": sprintf("maintenance of %s until %v: %v", [
		question.system,
		object.get(window, "until", "?"),
		object.get(window, "message", "no message"),
	]),
} if {
	index := min([number |
		some number, window in settings.maintenance
		not passed(window, question)
	])
	window := settings.maintenance[index]
}
