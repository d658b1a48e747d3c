# METADATA
# title: Break-glass
# description: |
#   data.goldcrest.break_glass: named people who, until a time and for a reason, pass a switched-off system, a maintenance window
#   and limits. Nothing else: neither the block list, nor scopes and requirements, nor whose account it is, nor the site's rules.
package goldcrest.rules.break_glass

import data.goldcrest.rules.matching
import data.goldcrest.settings

covering(question) := entries[0] if {
	entries := [entry |
		some entry in settings.break_glass
		covers(entry, question)
	]
}

covers(entry, question) if {
	matching.among(question.subject, entry.people)
	matching.named(question.system, entry.systems)
	time.now_ns() < time.parse_rfc3339_ns(entry.until)
	regex.match(`\S`, entry.reason)
}
