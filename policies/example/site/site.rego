# METADATA
# title: Rules of an imaginary site
# description: |
#   Beside the shipped ones, in both decisions. Input is one question (policies/schemas/input/data.json). Each entry of deny is
#   {"rule", "reason"}, or with "retry": true when the refusal passes by itself; or a text. Nothing here can allow.
# scope: package
# schemas:
#   - input: schema.input.data
package goldcrest.site

# Large jobs of guests start at night only; they wait until then.
deny contains {
	"rule": "site.rego: large_jobs_of_guests_at_night",
	"reason": "jobs of guests with more than 4 nodes start between 20:00 and 06:00 UTC",
	"retry": true,
} if {
	input.operation == "slurm.submit"
	"guests" in input.subject.groups
	input.resources.nodes > 4
	[hour, _, _] := time.clock(time.now_ns())
	hour >= 6
	hour < 20
}

# Nobody sends mail to addresses outside.
deny contains {
	"rule": "site.rego: mail_stays_here",
	"reason": sprintf("mail goes to addresses of example.org only, not to %s", [input.fields.mailUser]),
} if {
	input.operation in {"job.create", "slurm.submit"}
	not endswith(input.fields.mailUser, "@example.org")
}
