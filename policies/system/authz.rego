# METADATA
# title: What may be asked of OPA's own API
# description: |
#   With `opa run --server --authorization=basic` OPA asks this of every request. The decisions in `open` and OPA's health are
#   answered; everything else (policies, data, queries, configuration, metrics) is not, for anybody.
package system.authz

default allow := false

# The one list of paths that are open; what is asked there is asked with POST.
open := {
	["v1", "data", "goldcrest", "admission", "decision"],
	["v1", "data", "goldcrest", "blocklist", "decision"],
	["v1", "data", "goldcrest", "signing", "decision"],
	["v1", "data", "goldcrest_check", "problems"],
}

allow if {
	input.method == "POST"
	input.path in open
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
