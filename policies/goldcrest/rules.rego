# METADATA
# title: The rules that admission and signing share
# description: |
#   Denied is the default: a question is allowed only when every rule below holds for it. Site data is data.goldcrest, read in
#   settings.rego; what is not in it is not allowed.
package goldcrest.rules

import data.goldcrest.rules.break_glass
import data.goldcrest.rules.limits
import data.goldcrest.rules.maintenance
import data.goldcrest.rules.requirements
import data.goldcrest.settings

# The first rule that does not hold: in words for the client, and its name for who looks why. What passes by itself is last: who waits
# for it would be refused for nothing else.
default refusal(_) := {"reason": "policy does not allow this", "rule": "rules.rego: default"}

refusal(question) := {
	"rule": "rules.rego: well_formed",
	"reason": "the question to policy is not complete",
} if {
	not well_formed(question)
} else := {
	"rule": "rules.rego: system_enabled",
	"reason": sprintf("system %s is not open to Goldcrest: policy does not know it", [question.system]),
} if {
	not settings.systems[question.system]
} else := {
	"rule": "rules.rego: system_enabled",
	"reason": sprintf("system %s is switched off in policy", [question.system]),
} if {
	not system_enabled(question.system)
	not break_glass.covering(question)
} else := {
	"rule": "rules.rego: blocklist_readable",
	"reason": "data.goldcrest.blocked is no list of names, so nobody knows who is blocked: an administrator must correct it",
} if {
	not blocklist_readable
} else := {
	"rule": "rules.rego: blocked",
	"reason": sprintf("%s is blocked", [question.subject.username]),
} if {
	blocked(question.subject.username)
} else := {
	"rule": "rules.rego: blocked",
	"reason": sprintf("Unix user %s is blocked", [question.runAs]),
} if {
	blocked(question.runAs)
} else := {
	"rule": "rules.rego: scope_held",
	"reason": sprintf("the token lacks the scope %s", [settings.scope]),
} if {
	not scope_held(question)
} else := requirements.refusal(question) if {
	not requirements.met(question)
} else := {
	"rule": "rules.rego: user_listed",
	"reason": sprintf("Unix user %s may not use system %s", [question.runAs, question.system]),
} if {
	not user_listed(question)
} else := {
	"rule": "rules.rego: wildcards_refused",
	"reason": sprintf(
		"%s holds a wildcard on hpcaccounts, so nobody gave them this account: name the account in the role",
		[concat(" and ", wildcards_refused(question))],
	),
} if {
	count(wildcards_refused(question)) > 0
} else := limits.refusal(question) if {
	not limits.within(question)
	not break_glass.covering(question)
} else := site_refusal(question) if {
	not site_allows(question)
} else := maintenance.refusal(question) if {
	not maintenance.open(question)
}

# The answer to a question for which all rules hold. Affirmative: every line must.
allowance(question) := {"allow": true, "reason": "allowed"} if {
	always(question)
	usual(question)
} else := {
	"allow": true,
	"reason": sprintf("allowed by break-glass until %s: %s", [entry.until, entry.reason]),
	"breakGlass": entry.reason,
} if {
	always(question)
	entry := break_glass.covering(question)
}

always(question) if {
	well_formed(question)
	settings.systems[question.system]
	blocklist_readable
	not blocked(question.subject.username)
	not blocked(question.runAs)
	scope_held(question)
	requirements.met(question)
	user_listed(question)
	wildcards_refused(question) == []
	site_allows(question)
}

# What break-glass passes.
usual(question) if {
	system_enabled(question.system)
	limits.within(question)
	maintenance.open(question)
}

well_formed(question) if {
	is_string(question.system)
	is_string(question.runAs)
	is_string(question.operation)
	is_string(question.subject.username)
	question.subject.via in {"Token", "Grant", "Kubernetes", "Observer"}
	question.trigger in {"request", "cleanup", "observe"}
	is_array(question.wildcards)
}

system_enabled(name) if settings.systems[name].enabled == true

blocked(name) if name in data.goldcrest.blocked

# None is an empty one. A name or an object in its place would block nobody.
blocklist_readable if not data.goldcrest.blocked

blocklist_readable if is_array(data.goldcrest.blocked)

# Who comes with a token needs the site's scope; Kubernetes users have no scopes.
scope_held(question) if {
	question.subject.via in {"Token", "Grant"}
	settings.scope in question.subject.scopes
}

scope_held(question) if question.subject.via in {"Kubernetes", "Observer"}

user_listed(question) if {
	some user in settings.systems[question.system].users
	user in {"*", question.runAs}
}

user_listed(question) if {
	some group in settings.systems[question.system].groups
	group in question.subject.groups
}

# The observer is named by the System itself, which delegation compares; a list of users is for people.
user_listed(question) if question.subject.via == "Observer"

wildcards_refused(question) := [subject |
	some subject in question.wildcards
	not wildcard_accepted(subject)
]

wildcard_accepted(subject) if subject in settings.wildcard_subjects

# The site's own rules see one question as input, also in a batch. They can deny, and nothing else.
site_denials(question) := denials if {
	denials := data.goldcrest.site.deny with input as question
}

site_allows(question) if {
	# No such package, and the data does not say that there must be one.
	not site_denials(question)
	settings.site_rules == false
} else if {
	site_denials(question) == set()
}

default site_refusal(_) := {"rule": "site: deny", "reason": "the rules of this site do not allow this"}

site_refusal(question) := {
	"rule": "rules.rego: site_allows",
	"reason": "the rules of this site are not loaded (no deny in package goldcrest.site), and its data asks for them",
} if {
	not site_denials(question)
} else := {"rule": sprintf("site: %s", [denial.rule]), "reason": denial.reason} if {
	denial := sort([told(denial) | some denial in site_denials(question); not waits(denial)])[0]
} else := {"rule": sprintf("site: %s", [denial.rule]), "reason": denial.reason, "retry": true} if {
	denial := sort([told(denial) | some denial in site_denials(question)])[0] # all that deny say that it passes
}

told(denial) := {"rule": "deny", "reason": denial} if is_string(denial)

# Asked first: with strict errors (as OPA is started) object.get of a text is an error, and nothing would be allowed any more.
told(denial) := {"rule": object.get(denial, "rule", "deny"), "reason": denial.reason} if is_object(denial)

# A function, as OPA's type checker looks into the site's rules, and a text has no retry.
waits(denial) if denial.retry == true
