# METADATA
# title: What may be asked of OPA's own API
# description: |
#   With `opa run --server --authorization=basic`, OPA asks this of every request: the two decisions and its health are open,
#   everything else (policies, data, queries, configuration) is not, for anybody.
package system.authz

default allow := false

allow if {
	input.method == "POST"
	input.path in [
		["v1", "data", "goldcrest", "admission", "decision"],
		["v1", "data", "goldcrest", "signing", "decision"],
	]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}
