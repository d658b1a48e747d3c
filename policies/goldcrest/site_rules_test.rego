package goldcrest.site_rules_test

import data.goldcrest.signing

question := {
	"trigger": "request",
	"subject": {"via": "Kubernetes", "username": "bob", "groups": [], "scopes": []},
	"route": "",
	"system": "cluster",
	"runAs": "bob",
	"operation": "fs.stat",
	"wildcards": [],
}

decided(deny) := answer if {
	answer := signing.decision with input as question
		with data.goldcrest.systems as {"cluster": {"enabled": true, "users": ["*"], "groups": []}}
		with data.goldcrest.site.deny as deny
}

test_a_site_without_denials_allows if decided(set()).allow

test_a_site_denies_in_its_words if {
	decided({{"rule": "site.rego: x", "reason": "not today"}}) == {
		"allow": false,
		"rule": "site: site.rego: x",
		"reason": "not today",
	}
}

test_a_text_is_enough if {
	decided({"not today"}) == {"allow": false, "rule": "site: deny", "reason": "not today"}
}

test_a_reason_is_enough if decided({{"reason": "not today"}}).rule == "site: deny"

test_what_passes_by_itself if decided({{"reason": "at night", "retry": true}}).retry

test_what_is_final_comes_before_what_passes if {
	answer := decided({{"reason": "at night", "retry": true}, {"reason": "never"}})
	answer.reason == "never"
	not answer.retry
}

test_anything_odd_denies if {
	every odd in [true, "no", {"reason": "x"}, [], ["x"], {5}, {{"rule": "no reason"}}] {
		decided(odd).allow == false
	}
}

test_nothing_allows if not decided({{"allow": true}}).allow

test_rules_that_must_be_there if {
	answer := signing.decision with input as question
		with data.goldcrest.systems as {"cluster": {"enabled": true, "users": ["*"], "groups": []}}
		with data.goldcrest.site_rules as true
	answer.rule == "rules.rego: site_allows"
	contains(answer.reason, "are not loaded")
}
