# METADATA
# title: Names and people in the site's data
# description: |
#   A name in a list of the site is exact, or ends with a star: "fs.*", "GET /utilities/*". People are named together with
#   who vouches for them: names and groups of one issuer say nothing about those of another.
package goldcrest.rules.matching

named(name, patterns) if name in patterns

named(name, patterns) if {
	some pattern in patterns
	endswith(pattern, "*")
	startswith(name, trim_suffix(pattern, "*"))
}

# Affirmative, so that a list in a wrong form does not keep a rule from counting.
not_named(name, patterns) if {
	is_array(patterns)
	not named(name, patterns)
}

among(subject, people) if {
	voucher(subject) in people.issuers
	subject.username in people.users
}

among(subject, people) if {
	voucher(subject) in people.issuers
	some group in people.groups
	group in subject.groups
}

voucher(subject) := subject.issuer if subject.via in {"Token", "Grant"}

voucher(subject) := "kubernetes" if subject.via == "Kubernetes"
