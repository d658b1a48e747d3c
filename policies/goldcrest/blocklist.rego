# METADATA
# title: Whom the site blocks
# description: |
#   Asked by delegation every two seconds at most: the names in data.goldcrest.blocked, which it serves to gateway and operator,
#   joined with those of its own file. That nothing is signed for them is said in rules.rego too.
package goldcrest.blocklist

decision := {"names": [name | some name in data.goldcrest.blocked; is_string(name)]}
