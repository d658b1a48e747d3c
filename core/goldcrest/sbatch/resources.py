"""How much a job asks for, as numbers that policy can compare (sbatch(1), and measured on Slurm 22.05).

It is what the options of one job, or of one element of an array, ask for *at most*. Slurm rounds up by its own configuration
(whole cores, exclusive partitions), which nobody knows here. What cannot be known from the options is left out, so that a limit on it
refuses instead of guessing.
"""

from __future__ import annotations

import re
from typing import Final

from goldcrest.sbatch.options import SubmitOptions

UNLIMITED_MINUTES: Final = 2**32 - 1
"""Slurm's own value for a time limit that is none."""

_MOST: Final = 2**53 - 1  # larger integers are not exact in JSON; nothing real is
_COUNT = re.compile(r"([0-9]{1,10})([kKmM]?)")
_MEMORY = re.compile(r"([0-9]{1,15})([kKmMgGtT]?)[bB]?")
_ELEMENTS = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10})(?::([0-9]{1,10}))?)?")
# A type may begin with a digit (1g.5gb), but a count is none.
_GRES = re.compile(
    r"(?:gres[/:])?gpu(?::(?![0-9]+[km]?(?:\(|$))[a-z0-9_][a-z0-9_.-]*)?(?:[:=]([0-9]{1,10})([km]?))?(?:\([^)]*\))?"
)
_SHARED: Final = frozenset({None, "user", "mcs"})  # values of exclusive with which a job gets no more than it asks for


def resources(options: SubmitOptions) -> dict[str, int]:
    """Numbers of nodes, tasks, cpus, gpus, memoryMiB (of the whole job), minutes, arrayTasks; those that are known."""
    nodes, tasks, gpus = _nodes_tasks_gpus(options)
    cpus = _cpus(options, nodes=nodes, tasks=tasks, gpus=gpus)
    whole_nodes = options.exclusive not in _SHARED or options.core_spec is not None or options.thread_spec is not None
    if whole_nodes or options.tres_per_task is not None:
        cpus = gpus = None  # all CPUs and GPUs of the nodes, or a count in yet another language
    found = {
        "nodes": nodes,
        "tasks": tasks,
        "cpus": cpus,
        "gpus": gpus,
        "memoryMiB": _memory(options, nodes=nodes, cpus=cpus, gpus=gpus),
        "minutes": minutes(options.time_limit) if options.time_limit is not None else None,
        "arrayTasks": array_elements(options.array) if options.array is not None else 1,
    }
    return {name: min(value, _MOST) for name, value in found.items() if value is not None}


def _nodes_tasks_gpus(options: SubmitOptions) -> tuple[int | None, int | None, int | None]:
    of_job = gpu_count(options.gpus) if options.gpus is not None else 0
    nodes: int | None
    if options.nodes is not None:
        nodes = _most_nodes(options.nodes)
    elif options.nodelist is not None:
        nodes = None  # as many as it names, in Slurm's short form
    else:
        # As many as Slurm needs, which may be one for each task or GPU.
        nodes = None if of_job is None else max(options.tasks or 1, of_job)
    tasks = options.tasks
    if tasks is None:
        tasks = _times(nodes, options.tasks_per_node or 1)
        if options.tasks_per_gpu is not None:
            tasks = _times(of_job, options.tasks_per_gpu) if of_job else None
    of_node = gpu_count(options.gpus_per_node) if options.gpus_per_node is not None else 0
    of_task = gpu_count(options.gpus_per_task) if options.gpus_per_task is not None else 0
    of_gres = _gpus_of_gres(options.gres) if options.gres is not None else 0
    parts = [of_job, _times(nodes, of_node), _times(tasks, of_task), _times(nodes, of_gres)]
    if options.gpus_per_socket is not None:
        parts.append(None)
    known = [part for part in parts if part is not None]
    return nodes, tasks, max(known) if len(known) == len(parts) else None


def _cpus(options: SubmitOptions, *, nodes: int | None, tasks: int | None, gpus: int | None) -> int | None:
    parts = [
        _times(tasks, options.cpus_per_task or 1),
        _times(nodes, options.min_cpus or 1),  # each node gives at least one
        _times(gpus, options.cpus_per_gpu) if options.cpus_per_gpu is not None else 0,
    ]
    known = [part for part in parts if part is not None]
    return max(known) if len(known) == len(parts) else None


def _memory(options: SubmitOptions, *, nodes: int | None, cpus: int | None, gpus: int | None) -> int | None:
    parts = [
        _times(count, mebibytes(text))
        for text, count in (
            (options.memory, nodes),
            (options.memory_per_cpu, cpus),
            (options.memory_per_gpu, gpus),
        )
        if text is not None
    ]
    known = [part for part in parts if part is not None]
    return max(known) if parts and len(known) == len(parts) else None


def _times(one: int | None, other: int | None) -> int | None:
    # Nothing of something unknown is nothing.
    if one == 0 or other == 0:
        return 0
    return None if one is None or other is None else one * other


def _most_nodes(text: str) -> int | None:
    """``4``, ``2-4``, ``1k``; newer Slurm knows lists, which are not known here."""
    least, dash, most = text.partition("-")
    counts = [_count(least), _count(most)] if dash else [_count(least)]
    if None in counts:
        return None
    return max(count for count in counts if count is not None)


def _count(text: str) -> int | None:
    match = _COUNT.fullmatch(text)
    if match is None:
        return None
    return int(match[1]) * {"": 1, "k": 1024, "m": 1024**2}[match[2].lower()]


def gpu_count(text: str) -> int | None:
    """``4``, ``a100:2``, ``a100:2,v100:1``: how many; None when it is something else."""
    total = 0
    for part in text.split(","):
        kind, _, number = part.rpartition(":")
        count = _count(number) if "=" not in kind else None
        if count is None:
            return None
        total += count
    return total


def _gpus_of_gres(text: str) -> int | None:
    total = 0
    for part in text.split(","):
        if not part.lower().removeprefix("gres/").removeprefix("gres:").startswith("gpu"):
            continue
        match = _GRES.fullmatch(part.lower())
        if match is None:
            return None
        total += _count(f"{match[1]}{match[2]}") or 0 if match[1] is not None else 1
    return total


def mebibytes(text: str) -> int | None:
    """``4G``, ``500`` (MiB), rounded up; None for 0, which is all memory of the node, and for what is no size."""
    match = _MEMORY.fullmatch(text)
    if match is None or int(match[1]) == 0:
        return None
    number, unit = int(match[1]), match[2].lower()
    if unit == "k":
        return -(-number // 1024)
    return number * {"": 1, "m": 1, "g": 1024, "t": 1024**2}[unit]


def minutes(text: str) -> int | None:
    """A time limit in Slurm's forms (minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S), rounded up; 0 and UNLIMITED are no limit."""
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return UNLIMITED_MINUTES
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    numbers = [*([days] if dash else []), *parts]
    if not 1 <= len(parts) <= 3 or not all(
        number.isascii() and number.isdigit() and len(number) <= 12 for number in numbers
    ):
        return None
    values = [int(part) for part in parts]
    if dash:
        hours, minute, second = [*values, 0, 0][:3]
    elif len(values) == 3:
        hours, minute, second = values
    else:
        hours, (minute, second) = 0, [*values, 0][:2]
    seconds = ((int(days) * 24 if dash else 0) + hours) * 3600 + minute * 60 + second
    return min(-(-seconds // 60), UNLIMITED_MINUTES) if seconds else UNLIMITED_MINUTES


def array_elements(text: str) -> int | None:
    """How many elements ``0-15:4,20%2`` has; None when it is no array."""
    total = 0
    for part in text.partition("%")[0].split(","):
        match = _ELEMENTS.fullmatch(part)
        if match is None:
            return None
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step == 0:
            return None
        total += (last - first) // step + 1
    return total
