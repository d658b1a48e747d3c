# METADATA
# title: The site's data, read in one place
# description: |
#   Everything that a site says in its data file (data.goldcrest; form: policies/schemas/site/data.json, an example:
#   policies/example/data.json). What is not said here is not allowed, or not limited, as each line shows.
# scope: package
# schemas:
#   - data.goldcrest: schema.site.data
package goldcrest.settings

systems := data.goldcrest.systems

scope := data.goldcrest.scope

default wildcard_subjects := []

wildcard_subjects := data.goldcrest.wildcard_subjects

default requirements := []

requirements := data.goldcrest.requirements

default limits := []

limits := data.goldcrest.limits

default maintenance := []

maintenance := data.goldcrest.maintenance

default break_glass := []

break_glass := data.goldcrest.break_glass

# Whether the site has rules of its own (package goldcrest.site), without which nothing is to be allowed.
default site_rules := false

site_rules := data.goldcrest.site_rules
