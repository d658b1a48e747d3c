package goldcrest.limits_test

import data.goldcrest.rules
import data.goldcrest.rules.limits

systems := {
	"cluster": {"enabled": true, "users": ["*"], "groups": []},
	"told": {"enabled": true, "users": ["*"], "groups": [], "defaults": {
		"minutes": 60,
		"memoryMiBPerCpu": 2000,
		"partition": "normal",
		"qos": "normal",
	}},
	"nodes": {"enabled": true, "users": ["*"], "groups": [], "defaults": {"memoryMiBPerNode": 4000, "memoryMiBPerCpu": 1}},
}

job := {
	"trigger": "request",
	"subject": {"via": "Kubernetes", "username": "bob", "groups": [], "scopes": []},
	"route": "",
	"system": "cluster",
	"runAs": "bob",
	"operation": "job.create",
	"fields": {"account": "physics", "timeLimit": "1:00:00", "partition": "a,b", "qos": "High", "memory": "8G"},
	"resources": {"nodes": 2, "tasks": 8, "cpus": 16, "memoryMiB": 8192, "gpus": 0, "minutes": 60, "arrayTasks": 1},
	"wildcards": [],
}

bare := object.union(object.remove(job, ["fields", "resources"]), {
	"fields": {},
	"resources": {"nodes": 2, "tasks": 2, "cpus": 2, "gpus": 0, "arrayTasks": 1},
})

within(question, limit) if {
	limits.within(question) with data.goldcrest.limits as [limit] with data.goldcrest.systems as systems
}

told(question, limit) := refusal.reason if {
	refusal := rules.refusal(question) with data.goldcrest.limits as [limit] with data.goldcrest.systems as systems
}

test_as_much_as_is_allowed if within(job, {"most": job.resources})

test_one_too_many_of_each if {
	every name, value in job.resources {
		not within(job, {"most": {name: value - 1}})
	}
}

test_what_is_said if {
	told(job, {"name": "Physics", "most": {"nodes": 1}}) == "Physics: at most 1 nodes, and the job asks for 2"
}

test_of_other_systems_and_accounts if {
	within(job, {"systems": ["other"], "most": {"nodes": 1}})
	within(job, {"accounts": ["chemistry"], "most": {"nodes": 1}})
	not within(job, {"systems": ["cluster"], "accounts": ["physics"], "most": {"nodes": 1}})
}

test_accounts_in_any_case if {
	shouted := object.union(job, {"fields": {"account": "PHYSICS"}})
	not within(shouted, {"accounts": ["Physics"], "most": {"nodes": 1}})
}

test_no_account_is_any_account if {
	limit := {"name": "Chemistry", "accounts": ["chemistry"], "most": {"nodes": 1}}
	told(bare, limit) == "Chemistry: at most 1 nodes, and the job asks for 2 (it names no account, so the limits of every account count: set account)"
}

test_what_is_signed_is_judged_again if {
	not within(object.union(job, {"operation": "slurm.submit"}), {"most": {"nodes": 1}})
	within(object.union(job, {"operation": "slurm.cancel"}), {"most": {"nodes": 1}})
}

test_what_is_not_known_is_refused_with_advice if {
	told(bare, {"most": {"minutes": 60}}) == "limit: at most 60 minutes (timeLimit), and what the job would get is not known: set timeLimit"
	not within(bare, {"most": {"memoryMiB": 100000}})
}

test_what_the_site_says_of_its_defaults_counts if {
	known := object.union(bare, {"system": "told"})
	within(known, {"most": {"minutes": 60, "memoryMiB": 4000}, "only": {"partitions": ["normal"], "qos": ["normal"]}})
	not within(known, {"most": {"minutes": 59}})
	not within(known, {"most": {"memoryMiB": 3999}})
	not within(known, {"only": {"partitions": ["debug"]}})
	by_node := object.union(bare, {"system": "nodes"})
	within(by_node, {"most": {"memoryMiB": 8000}})
	not within(by_node, {"most": {"memoryMiB": 7999}})
}

test_defaults_do_not_excuse_what_cannot_be_read if {
	odd := object.union(bare, {"system": "told", "fields": {"timeLimit": "soon", "memoryPerCpu": "0"}})
	not within(odd, {"most": {"minutes": 10000}})
	not within(odd, {"most": {"memoryMiB": 1000000}})
}

test_each_partition_of_a_job_must_be_allowed if {
	within(job, {"only": {"partitions": ["a", "b"]}})
	told(job, {"only": {"partitions": ["a", "c"]}}) == "limit: partition must be one of a, c"
	not within(bare, {"only": {"partitions": ["a"]}})
}

test_qos if {
	within(job, {"only": {"qos": ["high"]}})
	told(job, {"only": {"qos": ["low"]}}) == "limit: qos must be one of low"
	not within(bare, {"only": {"qos": ["low"]}})
}

test_a_limit_in_a_wrong_form_refuses if {
	not within(job, {"most": {"nodes": "16"}})
	not within(job, {"most": 16})
	told(job, {"most": 16}) == "limit: the job is not within it"
	not within(job, {"systems": "other", "most": {"nodes": 1}})
}
