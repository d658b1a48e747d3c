package system.authz_test

import data.system.authz

allowed(method, path) if {
	authz.allow with input as {"method": method, "path": path}
}

test_what_is_open if {
	every path in authz.open {
		allowed("POST", path)
	}
	allowed("GET", ["health"])
	count(authz.open) == 4
}

test_all_else_is_closed if {
	not allowed("GET", ["v1", "data", "goldcrest", "signing", "decision"])
	not allowed("POST", ["v1", "data", "goldcrest"])
	not allowed("POST", ["v0", "data", "goldcrest", "signing", "decision"])
	not allowed("PUT", ["v1", "policies", "x"])
	not allowed("PATCH", ["v1", "data", "goldcrest"])
	not allowed("POST", ["health"])
	not allowed("POST", [])
}
