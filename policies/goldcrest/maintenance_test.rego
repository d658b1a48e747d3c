package goldcrest.maintenance_test

import data.goldcrest.admission
import data.goldcrest.rules.maintenance
import data.goldcrest.signing

systems := {
	"cluster": {"enabled": true, "users": ["*"], "groups": []},
	"retired": {"enabled": false, "users": ["*"], "groups": []},
}

before := time.parse_rfc3339_ns("2030-01-01T05:59:59+01:00")

begin := time.parse_rfc3339_ns("2030-01-01T06:00:00+01:00")

during := time.parse_rfc3339_ns("2030-01-01T12:00:00+01:00")

end := time.parse_rfc3339_ns("2030-01-01T17:00:00Z")

window := {
	"systems": ["cluster"],
	"from": "2030-01-01T06:00:00+01:00",
	"until": "2030-01-01T18:00:00+01:00",
	"message": "new file system",
	"exempt": {"issuers": ["kubernetes"], "groups": ["administrators"]},
}

question := {
	"trigger": "request",
	"subject": {"via": "Kubernetes", "username": "alice", "issuer": "", "groups": [], "scopes": [], "claims": {}},
	"route": "",
	"system": "cluster",
	"runAs": "alice",
	"operation": "slurm.submit",
	"fields": {},
	"resources": {"nodes": 100},
	"wildcards": [],
}

asked(change) := object.union(question, change)

by(change) := asked({"subject": object.union(question.subject, change)})

open(question, windows, now) if {
	maintenance.open(question) with data.goldcrest.maintenance as windows with time.now_ns as now
}

signed(question, site) := answer if {
	answer := signing.decision with input as question
		with data.goldcrest.systems as systems
		with data.goldcrest.maintenance as site.maintenance
		with data.goldcrest.break_glass as site.break_glass
		with data.goldcrest.limits as site.limits
		with data.goldcrest.blocked as site.blocked
		with time.now_ns as during
}

site := {"maintenance": [window], "break_glass": [glass], "limits": [], "blocked": []}

glass := {
	"people": {"issuers": ["kubernetes"], "users": ["grace"]},
	"systems": ["cluster", "retired"],
	"until": "2030-01-01T18:00:00Z",
	"reason": "ticket 4711",
}

test_it_begins_and_ends_to_the_second if {
	open(question, [window], before)
	not open(question, [window], begin)
	not open(question, [window], during)
	open(question, [window], end)
}

test_other_systems_go_on if open(asked({"system": "other"}), [window], during)

test_new_jobs_are_taken_unless_it_says_so if {
	open(asked({"operation": "job.create"}), [window], during)
	not open(asked({"operation": "job.create"}), [object.union(window, {"operations": ["job.create"]})], during)
	open(question, [object.union(window, {"operations": ["fs.*", "slurm.release"]})], during)
}

test_reservations_are_stopped if {
	every operation in ["rsv.list", "rsv.create", "rsv.update", "rsv.delete"] {
		by_token := {"operation": operation, "subject": object.union(question.subject, {"via": "Token", "issuer": "https://other", "scopes": ["firecrest"]})}
		not open(asked(by_token), [window], during)
		not open(asked(by_token), [object.union(window, {"operations": ["rsv.*"]})], during)
		open(asked(by_token), [object.union(window, {"operations": ["fs.*", "slurm.*"]})], during)
		refused := signed(asked(by_token), site) with data.goldcrest.scope as "firecrest"
		[refused.allow, refused.retry, refused.rule] == [false, true, "maintenance.rego: passed (maintenance[0])"]
		after := signed(asked(by_token), object.union(site, {"maintenance": []})) with data.goldcrest.scope as "firecrest"
		after.allow
	}
}

test_who_is_exempt if {
	open(by({"groups": ["administrators"]}), [window], during)
	not open(by({"via": "Token", "issuer": "https://other", "groups": ["administrators"]}), [window], during)
}

test_a_window_in_a_wrong_form_counts if {
	not open(question, [object.remove(window, ["until"])], end)
	not open(asked({"system": "other"}), [object.union(window, {"systems": "cluster"})], during)
}

test_it_is_to_be_asked_again if {
	signed(question, site) == {
		"allow": false,
		"retry": true,
		"rule": "maintenance.rego: passed (maintenance[0])",
		"reason": "maintenance of cluster until 2030-01-01T18:00:00+01:00: new file system",
	}
}

test_a_final_refusal_comes_first if {
	answer := signed(question, object.union(site, {"limits": [{"name": "small", "most": {"nodes": 1}}]}))
	answer.reason == "small: at most 1 nodes, and the job asks for 100"
	not answer.retry
}

test_a_job_is_admitted_meanwhile if {
	answer := admission.decision with input as asked({"operation": "job.create"})
		with data.goldcrest.systems as systems
		with data.goldcrest.maintenance as [window]
		with time.now_ns as during
	answer.allow
}

# ---- Break-glass ----

test_break_glass_passes_window_limit_and_switch if {
	limited := object.union(site, {"limits": [{"name": "small", "most": {"nodes": 1}}]})
	told := {"allow": true, "reason": "allowed by break-glass until 2030-01-01T18:00:00Z: ticket 4711", "breakGlass": "ticket 4711"}
	signed(by({"username": "grace"}), limited) == told
	signed(object.union(by({"username": "grace"}), {"system": "retired"}), limited) == told
}

test_break_glass_is_for_whom_it_names if {
	not signed(question, site).allow
	not signed(by({"username": "grace", "via": "Grant", "issuer": "https://other", "scopes": []}), site).allow
	not signed(by({"groups": ["grace"]}), site).allow
}

test_break_glass_ends if {
	over := object.union(site, {"break_glass": [object.union(glass, {"until": "2030-01-01T10:00:00Z"})]})
	signed(by({"username": "grace"}), over).retry
}

test_break_glass_needs_a_reason_and_a_system if {
	bare := object.union(site, {"break_glass": [object.union(glass, {"reason": " "})]})
	not signed(by({"username": "grace"}), bare).allow
	elsewhere := object.union(site, {"break_glass": [object.union(glass, {"systems": ["other"]})]})
	not signed(by({"username": "grace"}), elsewhere).allow
}

test_break_glass_never_passes_the_block_list if {
	blocked := object.union(site, {"blocked": ["grace"]})
	signed(by({"username": "grace"}), blocked).reason == "grace is blocked"
}

test_break_glass_never_gives_an_account if {
	answer := signed(object.union(by({"username": "grace"}), {"wildcards": ["grace"]}), site)
	contains(answer.reason, "grace holds a wildcard")
}

test_what_is_usual_breaks_no_glass if {
	answer := signed(by({"username": "grace"}), object.union(site, {"maintenance": []}))
	answer == {"allow": true, "reason": "allowed"}
}
