package goldcrest.rules_test

import data.goldcrest.rules

site := {
	"scope": "firecrest",
	"blocked": ["mallory"],
	"wildcard_subjects": ["system:serviceaccount:argocd:controller"],
	"systems": {
		"cluster": {"enabled": true, "users": ["*"], "groups": []},
		"small": {"enabled": true, "users": ["alice"], "groups": ["testers"]},
		"retired": {"enabled": false, "users": ["*"], "groups": []},
	},
}

by_token := {
	"trigger": "request",
	"subject": {"via": "Token", "username": "bob", "groups": [], "scopes": ["firecrest"]},
	"system": "cluster",
	"runAs": "bob",
	"operation": "fs.stat",
	"wildcards": [],
}

changed(change) := object.union(by_token, change)

says(question, allow, words) if {
	data.goldcrest.rules.allowance(question)
	allow
	words == ""
}

says(question, allow, words) if {
	not data.goldcrest.rules.allowance(question)
	not allow
	contains(data.goldcrest.rules.refusal(question).reason, words)
}

test_a_listed_user_with_the_scope_is_allowed if {
	says(by_token, true, "") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
		with data.goldcrest.blocked as site.blocked
}

test_without_site_data_nothing_is_allowed if says(by_token, false, "policy does not know it")

test_an_incomplete_question_is_refused if {
	says({"system": "cluster"}, false, "not complete") with data.goldcrest.systems as site.systems
}

test_an_unknown_system_is_refused if {
	says(changed({"system": "nowhere"}), false, "system nowhere is not open") with data.goldcrest.systems as site.systems
}

test_a_switched_off_system_is_refused if {
	says(changed({"system": "retired"}), false, "switched off") with data.goldcrest.systems as site.systems
}

test_a_blocked_subject_is_refused if {
	question := changed({"subject": object.union(by_token.subject, {"username": "mallory"})})
	says(question, false, "mallory is blocked") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
		with data.goldcrest.blocked as site.blocked
}

test_a_blocked_unix_user_is_refused if {
	says(changed({"runAs": "mallory"}), false, "Unix user mallory is blocked") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
		with data.goldcrest.blocked as site.blocked
}

test_a_block_list_that_is_none_blocks_everybody if {
	every wrong in ["mallory", {"mallory": true}, 1] {
		says(by_token, false, "data.goldcrest.blocked is no list") with data.goldcrest.systems as site.systems
			with data.goldcrest.scope as site.scope
			with data.goldcrest.blocked as wrong
	}
}

test_a_token_without_the_scope_is_refused if {
	question := changed({"subject": object.union(by_token.subject, {"scopes": ["openid"]})})
	says(question, false, "lacks the scope firecrest") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
}

test_a_kubernetes_user_needs_no_scope if {
	question := changed({"subject": {"via": "Kubernetes", "username": "bob", "groups": [], "scopes": []}})
	says(question, true, "") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
}

test_a_user_who_is_not_listed_is_refused if {
	says(changed({"system": "small"}), false, "bob may not use system small") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
}

test_a_listed_group_is_allowed if {
	question := changed({"system": "small", "subject": object.union(by_token.subject, {"groups": ["testers"]})})
	says(question, true, "") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
}

test_the_observer_need_not_be_listed if {
	question := changed({"system": "small", "subject": {"via": "Observer", "username": "watch", "groups": []}})
	says(question, true, "") with data.goldcrest.systems as site.systems
}

test_a_wildcard_is_refused if {
	says(changed({"wildcards": ["root-like"]}), false, "root-like holds a wildcard") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
}

test_a_wildcard_that_the_site_lists_is_accepted if {
	question := changed({"wildcards": ["system:serviceaccount:argocd:controller"]})
	says(question, true, "") with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
		with data.goldcrest.wildcard_subjects as site.wildcard_subjects
}

test_refusal_has_a_last_word if {
	rules.refusal(by_token).rule == "rules.rego: default" with data.goldcrest.systems as site.systems
		with data.goldcrest.scope as site.scope
}
