# METADATA
# title: How much a job may ask for
# description: |
#   data.goldcrest.limits over question.resources: what the effective fields of one job (of each element of an array) ask for at
#   most. What is not in there is not known: then Slurm's default counts where the site's data says what it is
#   (systems.*.defaults), and else the job is refused with the field that it must set. A job that names no account could be of
#   any, so every account's limit counts for it.
package goldcrest.rules.limits

import data.goldcrest.rules.matching
import data.goldcrest.settings

within(question) if {
	not question.operation in {"job.create", "slurm.submit"}
} else if {
	every limit in settings.limits {
		kept(limit, question)
	}
}

kept(limit, question) if matching.not_named(question.system, limit.systems)

# Slurm stores accounts in lower case, and takes them in any.
kept(limit, question) if {
	is_array(limit.accounts)
	account := lower(question.fields.account)
	not account in {lower(name) | some name in limit.accounts}
}

kept(limit, question) if {
	every name, most in object.get(limit, "most", {}) {
		is_number(most)
		asked(question, name) <= most
	}
	partitions_allowed(limit, question)
	qos_allowed(limit, question)
}

asked(question, name) := question.resources[name]

asked(question, "minutes") := defaults(question).minutes if not question.fields.timeLimit

asked(question, "memoryMiB") := question.resources.nodes * defaults(question).memoryMiBPerNode if {
	memory_unset(question)
}

asked(question, "memoryMiB") := question.resources.cpus * defaults(question).memoryMiBPerCpu if {
	memory_unset(question)
	not defaults(question).memoryMiBPerNode
}

memory_unset(question) if {
	every name in ["memory", "memoryPerCpu", "memoryPerGpu"] {
		not question.fields[name]
	}
}

defaults(question) := settings.systems[question.system].defaults

# A job may name several partitions, and is put into any of them.
partitions_allowed(limit, _) if not limit.only.partitions

partitions_allowed(limit, question) if {
	every name in split(partition(question), ",") {
		name in limit.only.partitions
	}
}

partition(question) := question.fields.partition

partition(question) := defaults(question).partition if not question.fields.partition

qos_allowed(limit, _) if not limit.only.qos

qos_allowed(limit, question) if lower(qos(question)) in {lower(name) | some name in limit.only.qos}

qos(question) := question.fields.qos

qos(question) := defaults(question).qos if not question.fields.qos

refusal(question) := {
	"rule": sprintf("limits.rego: kept (limits[%d])", [index]),
	"reason": sprintf("%s: %s%s", [object.get(limit, "name", "limit"), excess(limit, question), unnamed(limit, question)]),
} if {
	index := min([number |
		some number, limit in settings.limits
		not kept(limit, question)
	])
	limit := settings.limits[index]
}

default excess(_, _) := "the job is not within it"

excess(limit, question) := sprintf("at most %v %s, and the job asks for %v", [limit.most[name], unit[name], asked(question, name)]) if {
	name := min([name | some name, most in limit.most; asked(question, name) > most])
} else := sprintf("at most %v %s, and what the job would get is not known: %s", [limit.most[name], unit[name], advice[name]]) if {
	name := min([name | some name, _ in limit.most; not asked(question, name)])
} else := sprintf("partition must be one of %s", [concat(", ", limit.only.partitions)]) if {
	not partitions_allowed(limit, question)
} else := sprintf("qos must be one of %s", [concat(", ", limit.only.qos)]) if {
	not qos_allowed(limit, question)
}

default unnamed(_, _) := ""

unnamed(limit, question) := " (it names no account, so the limits of every account count: set account)" if {
	limit.accounts
	not question.fields.account
}

unit := {
	"arrayTasks": "elements of an array",
	"cpus": "CPUs",
	"gpus": "GPUs",
	"memoryMiB": "MiB of memory",
	"minutes": "minutes (timeLimit)",
	"nodes": "nodes",
	"tasks": "tasks",
}

advice := {
	"arrayTasks": "write array as numbers and ranges",
	"cpus": "set tasks and cpusPerTask, and not exclusive",
	"gpus": "set gpus, and not exclusive",
	"memoryMiB": "set memory or memoryPerCpu, not to 0",
	"minutes": "set timeLimit",
	"nodes": "set nodes",
	"tasks": "set tasks",
}
