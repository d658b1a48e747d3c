package goldcrest.site_test

import data.goldcrest.site

noon := time.parse_rfc3339_ns("2030-01-02T12:00:00Z")

night := time.parse_rfc3339_ns("2030-01-02T23:00:00Z")

submission := {
	"operation": "slurm.submit",
	"subject": {"groups": ["guests"]},
	"fields": {"nodes": "8"},
	"resources": {"nodes": 8},
}

test_large_jobs_of_guests_wait_for_the_night if {
	denials := site.deny with input as submission with time.now_ns as noon
	{denial.retry | some denial in denials} == {true}
}

test_at_night_they_start if {
	denials := site.deny with input as submission with time.now_ns as night
	denials == set()
}

test_mail_stays_here if {
	denials := site.deny with input as {"operation": "job.create", "fields": {"mailUser": "me@elsewhere.example"}}
	{denial.rule | some denial in denials} == {"site.rego: mail_stays_here"}
}

test_mail_within_is_fine if {
	denials := site.deny with input as {"operation": "job.create", "fields": {"mailUser": "me@example.org"}}
	denials == set()
}
