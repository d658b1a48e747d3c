# METADATA
# title: What is wrong with the site's data
# description: |
#   A sentence for each place where data.goldcrest has not the form of policies/schemas/site/data.json. Delegation and admission are
#   not ready at the start while there is one. For administrators, before the data is put in force:
#   opa eval --strict --schema policies/schemas --fail-defined --format pretty --ignore example --ignore '*_test.rego' \
#     --data policies --data <the site's files> 'data.goldcrest_check.problems[_]'
package goldcrest_check

# Policy and data share a root in OPA; these are the packages below it.
packages := {"admission", "blocklist", "containment", "rules", "settings", "signing", "site"}

site_data := {name: value |
	some name, value in data.goldcrest
	not name in packages
	not endswith(name, "_test")
}

problems contains "there is no site data (data.goldcrest): load a file such as policies/example/data.json" if site_data == {}

problems contains sprintf("%s: %s", [replace(concat(".", ["data.goldcrest", fault.field]), ".(Root)", ""), fault.desc]) if {
	site_data != {}
	[_, faults] := json.match_schema(site_data, data.schemas.site)
	some fault in faults
}

problems contains "policies/schemas is not loaded, so the site's data cannot be checked" if not data.schemas.site

# What a schema cannot say.
problems contains "data.goldcrest.site_rules is true, but there is no deny in package goldcrest.site" if {
	data.goldcrest.site_rules == true
	not data.goldcrest.site.deny
}

problems contains sprintf("data.goldcrest.maintenance[%d]: until is not after from", [number]) if {
	some number, window in data.goldcrest.maintenance
	time.parse_rfc3339_ns(window.until) <= time.parse_rfc3339_ns(window.from)
}

problems contains sprintf("data.goldcrest.%s[%d]: there is no system %s", [list, number, name]) if {
	some list in ["requirements", "limits", "maintenance", "break_glass"]
	some number, entry in site_data[list]
	some name in entry.systems
	not contains(name, "*")
	not data.goldcrest.systems[name]
}
