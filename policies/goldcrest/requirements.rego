# METADATA
# title: What a token must have for some operations or routes
# description: |
#   data.goldcrest.requirements: scopes, acr, amr, the age of the login. A requirement counts where its systems, operations and
#   routes fit; a route that is not known is every route. The age is that at which the token was shown: a Job that waits
#   does not lose what it was granted. Kubernetes users have no tokens of this kind; cleaning up needs none.
package goldcrest.rules.requirements

import data.goldcrest.rules.matching
import data.goldcrest.settings

# Clocks of issuer and delegation differ by so many seconds at most (T5).
leeway := 30

met(question) if {
	settings.requirements == []
} else if {
	not question.subject.via in {"Token", "Grant"}
} else if {
	question.trigger == "cleanup"
} else if {
	every requirement in settings.requirements {
		kept(requirement, question)
	}
}

kept(requirement, question) if matching.not_named(question.system, requirement.systems)

kept(requirement, question) if matching.not_named(question.operation, requirement.operations)

kept(requirement, question) if {
	question.route != ""
	matching.not_named(question.route, requirement.routes)
}

kept(requirement, question) if {
	every scope in object.get(requirement, "scopes", []) {
		scope in question.subject.scopes
	}
	class_reached(requirement, question.subject)
	method_used(requirement, question.subject)
	login_fresh(requirement, question.subject)
}

class_reached(requirement, _) if not requirement.acr

class_reached(requirement, subject) if subject.claims.acr in requirement.acr

method_used(requirement, _) if not requirement.amr

method_used(requirement, subject) if {
	some method in requirement.amr
	method in methods(subject.claims.amr)
}

methods(amr) := amr if is_array(amr)

methods(amr) := [amr] if is_string(amr)

login_fresh(requirement, _) if not requirement.max_auth_age_seconds

login_fresh(requirement, subject) if {
	is_number(requirement.max_auth_age_seconds)
	is_number(subject.claims.auth_time)
	age := subject.askedAt - subject.claims.auth_time
	age <= requirement.max_auth_age_seconds
	age >= 0 - leeway
}

# "challenge" is what a sign-in must be for who holds a token now (RFC 9470).
refusal(question) := object.union(challenge(requirement, question.subject), {
	"rule": sprintf("requirements.rego: kept (requirements[%d])", [index]),
	"reason": sprintf("%s: %s", [object.get(requirement, "name", "requirement"), lack(requirement, question.subject)]),
}) if {
	index := min([number |
		some number, requirement in settings.requirements
		not kept(requirement, question)
	])
	requirement := settings.requirements[index]
}

default lack(_, _) := "the token does not fulfil it"

lack(requirement, subject) := sprintf("the token lacks the scope %s", [scope]) if {
	missing := [scope | some scope in requirement.scopes; not scope in subject.scopes]
	scope := missing[0]
} else := sprintf("the login must be of class %s (acr)", [concat(" or ", requirement.acr)]) if {
	not class_reached(requirement, subject)
} else := sprintf("the login must have used %s (amr)", [concat(" or ", requirement.amr)]) if {
	not method_used(requirement, subject)
} else := sprintf("the login must be at most %d seconds old (auth_time): log in again", [age]) if {
	age := requirement.max_auth_age_seconds
	not login_fresh(requirement, subject)
}

# A new sign-in gives no scope.
default challenge(_, _) := {}

challenge(requirement, subject) := {"challenge": object.filter(
	{"acr_values": object.get(requirement, "acr", []), "max_age": object.get(requirement, "max_auth_age_seconds", 0)},
	[wanted | some wanted, key in {"acr_values": "acr", "max_age": "max_auth_age_seconds"}; requirement[key]],
)} if {
	every scope in object.get(requirement, "scopes", []) {
		scope in subject.scopes
	}
	some key in ["acr", "max_auth_age_seconds"]
	requirement[key]
}
