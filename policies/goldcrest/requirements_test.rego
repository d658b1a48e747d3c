package goldcrest.requirements_test

import data.goldcrest.rules
import data.goldcrest.rules.requirements

systems := {"cluster": {"enabled": true, "users": ["*"], "groups": []}}

subject := {
	"via": "Token",
	"username": "bob",
	"groups": [],
	"scopes": ["firecrest", "write"],
	"claims": {"acr": "2", "amr": ["pwd", "mfa"], "auth_time": 1000},
	"askedAt": 1500,
}

question := {
	"trigger": "request",
	"subject": subject,
	"route": "POST /utilities/upload",
	"system": "cluster",
	"runAs": "bob",
	"operation": "fs.write",
	"wildcards": [],
}

asked(change) := object.union(question, change)

by(change) := asked({"subject": object.union(subject, change)})

met(question, requirement) if {
	requirements.met(question) with data.goldcrest.requirements as [requirement]
}

told(question, requirement) := refusal.reason if {
	refusal := rules.refusal(question) with data.goldcrest.requirements as [requirement]
		with data.goldcrest.systems as systems
		with data.goldcrest.scope as "firecrest"
}

test_scopes_by_operation if {
	met(question, {"operations": ["fs.write"], "scopes": ["write"]})
	met(question, {"operations": ["fs.read"], "scopes": ["more"]})
	not met(question, {"operations": ["fs.*"], "scopes": ["write", "more"]})
	told(question, {"name": "Writing", "operations": ["fs.*"], "scopes": ["write", "more"]}) == "Writing: the token lacks the scope more"
}

test_by_route if {
	needs := {"routes": ["POST /compute/jobs/upload", "POST /utilities/*"], "scopes": ["more"]}
	not met(question, needs)
	met(asked({"route": "GET /utilities/view"}), needs)
}

test_a_route_that_is_not_known_is_every_route if {
	needs := {"routes": ["POST /compute/jobs/upload"], "scopes": ["more"]}
	not met(asked({"route": ""}), needs)
	not met(object.remove(question, ["route"]), needs)
}

test_by_system if {
	met(question, {"systems": ["other"], "scopes": ["more"]})
	not met(question, {"systems": ["clu*"], "scopes": ["more"]})
}

test_class_of_the_login if {
	met(question, {"acr": ["2", "3"]})
	not met(question, {"acr": ["3"]})
	not met(json.remove(question, ["/subject/claims"]), {"acr": ["2"]})
	told(question, {"acr": ["3", "4"]}) == "requirement: the login must be of class 3 or 4 (acr)"
}

test_method_of_the_login if {
	met(question, {"amr": ["hwk", "mfa"]})
	met(by({"claims": {"amr": "mfa"}}), {"amr": ["mfa"]})
	not met(by({"claims": {"amr": 5}}), {"amr": ["mfa"]})
	told(question, {"amr": ["hwk"]}) == "requirement: the login must have used hwk (amr)"
}

test_age_of_the_login if {
	met(question, {"max_auth_age_seconds": 500})
	not met(question, {"max_auth_age_seconds": 499})
	not met(by({"claims": {"auth_time": "1000"}}), {"max_auth_age_seconds": 500})
	not met(by({"claims": {"auth_time": 1531}}), {"max_auth_age_seconds": 500})
	met(by({"claims": {"auth_time": 1530}}), {"max_auth_age_seconds": 500})
	contains(told(question, {"max_auth_age_seconds": 60}), "at most 60 seconds old (auth_time): log in again")
}

test_what_was_granted_stays_granted if {
	met(by({"via": "Grant"}), {"max_auth_age_seconds": 500}) with time.now_ns as 1
}

test_kubernetes_users_have_no_such_tokens if met(by({"via": "Kubernetes"}), {"scopes": ["more"]})

test_cleaning_up_needs_nothing if met(asked({"trigger": "cleanup"}), {"scopes": ["more"]})

test_a_requirement_in_a_wrong_form_counts if {
	not met(question, {"systems": "other", "scopes": ["more"]})
	not met(question, {"scopes": 5})
	told(question, {"scopes": 5}) == "requirement: the token does not fulfil it"
}

test_the_first_that_is_not_met_is_named if {
	refusal := requirements.refusal(question) with data.goldcrest.requirements as [{"scopes": ["write"]}, {"scopes": ["more"]}]
	refusal.rule == "requirements.rego: kept (requirements[1])"
}

challenged(question, requirement) := object.get(refusal, "challenge", "none") if {
	refusal := requirements.refusal(question) with data.goldcrest.requirements as [requirement]
}

test_what_sign_in_would_do if {
	challenged(question, {"acr": ["3", "4"]}) == {"acr_values": ["3", "4"]}
	challenged(question, {"acr": ["3"], "max_auth_age_seconds": 60}) == {"acr_values": ["3"], "max_age": 60}
	challenged(question, {"amr": ["hwk"]}) == "none"
	challenged(question, {"acr": ["3"], "scopes": ["more"]}) == "none"
}
