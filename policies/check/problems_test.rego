package goldcrest_check_test

import data.goldcrest_check

good := {"scope": "firecrest", "systems": {"cluster": {"enabled": true, "users": ["*"], "groups": []}}}

found(site) := problems if {
	problems := goldcrest_check.problems with data.goldcrest as site
}

test_good_data if found(good) == set()

test_no_data if {
	every problem in found({}) {
		contains(problem, "no site data")
	}
	count(found({})) == 1
}

test_places_are_named if {
	found(object.union(good, {"limts": [], "systems": {"cluster": {"enabled": "yes"}}})) == {
		"data.goldcrest: Additional property limts is not allowed",
		"data.goldcrest.systems.cluster.enabled: Invalid type. Expected: boolean, given: string",
	}
}

test_an_end_before_the_beginning if {
	window := {"systems": ["cluster"], "from": "2030-01-01T00:00:00Z", "until": "2029-01-01T00:00:00Z", "message": "x"}
	found(object.union(good, {"maintenance": [window]})) == {"data.goldcrest.maintenance[0]: until is not after from"}
}

test_a_system_that_is_not_there if {
	limit := {"name": "x", "systems": ["clustre", "clu*"], "most": {"nodes": 1}}
	found(object.union(good, {"limits": [limit]})) == {"data.goldcrest.limits[0]: there is no system clustre"}
}

test_site_rules_that_are_not_there if {
	count(found(object.union(good, {"site_rules": true}))) == 1
	found(object.union(good, {"site_rules": true, "site": {"deny": set()}})) == set()
}

test_without_schemas if {
	problems := goldcrest_check.problems with data.schemas as {}
	some problem in problems
	contains(problem, "policies/schemas is not loaded")
}
