# METADATA
# title: What the decision log does not show
# description: |
#   Questions hold no tokens, script text, values of variables or URLs of transfers (T11). Should one slip in nevertheless, it
#   does not get into OPA's decision log: a text that looks like a token or key, a URL with a query, or what stands under a name
#   that is never part of a question.
package system.log

mask contains {"op": "upsert", "path": pointer(path), "value": "masked"} if {
	walk(input.input, [path, value])
	is_string(value)
	secret(path, value)
}

secret(_, value) if regex.match(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+|-----BEGIN|(?i)bearer\s+\S`, value)

secret(_, value) if regex.match(`(?i)[a-z][a-z0-9+.-]*://\S*(\?|@)`, value)

secret(path, _) if {
	some part in path
	part in {"authorization", "base64", "content", "inline", "jwt", "password", "secret"}
}

pointer(path) := concat("/", array.concat(["/input"], [escaped(part) | some part in path]))

escaped(part) := replace(replace(part, "~", "~0"), "/", "~1") if is_string(part)

escaped(part) := format_int(part, 10) if is_number(part)
