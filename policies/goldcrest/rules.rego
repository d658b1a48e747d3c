# METADATA
# title: The rules that admission and signing share
# description: |
#   Denied is the default: a question is allowed only when every rule below holds for it. Site data is data.goldcrest
#   (policies/example/data.json shows its form); what is not in it is not allowed.
package goldcrest.rules

# The first rule that does not hold: in words for the client, and its name for who looks why.
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
	not data.goldcrest.systems[question.system]
} else := {
	"rule": "rules.rego: system_enabled",
	"reason": sprintf("system %s is switched off in policy", [question.system]),
} if {
	not system_enabled(question.system)
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
	"reason": sprintf("the token lacks the scope %s", [data.goldcrest.scope]),
} if {
	not scope_held(question)
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
}

# Affirmative: every line must hold.
holds(question) if {
	well_formed(question)
	system_enabled(question.system)
	not blocked(question.subject.username)
	not blocked(question.runAs)
	scope_held(question)
	user_listed(question)
	count(wildcards_refused(question)) == 0
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

system_enabled(name) if data.goldcrest.systems[name].enabled == true

blocked(name) if name in data.goldcrest.blocked

# Who comes with a token needs the site's scope; Kubernetes users have no scopes.
scope_held(question) if {
	question.subject.via in {"Token", "Grant"}
	data.goldcrest.scope in question.subject.scopes
}

scope_held(question) if question.subject.via in {"Kubernetes", "Observer"}

user_listed(question) if {
	some user in data.goldcrest.systems[question.system].users
	user in {"*", question.runAs}
}

user_listed(question) if {
	some group in data.goldcrest.systems[question.system].groups
	group in question.subject.groups
}

# The observer is named by the System itself, which delegation compares; a list of users is for people.
user_listed(question) if question.subject.via == "Observer"

wildcards_refused(question) := [subject |
	some subject in question.wildcards
	not wildcard_accepted(subject)
]

wildcard_accepted(subject) if subject in data.goldcrest.wildcard_subjects
