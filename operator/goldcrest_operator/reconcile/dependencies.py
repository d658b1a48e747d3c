"""What the gjobs that a gjob depends on have become, and whether it may be submitted. Pure.

Those that are submitted are Slurm's to wait for; those that have ended are judged from their status, because Slurm forgets ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldcrest.models.job import Dependency, JobResource
from goldcrest.models.job_details import DependencyStatus
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.reconcile.statuses import reason_of

Related = Mapping[str, JobResource]
"""gjobs of the same namespace by name: those that a gjob names, and those that these name in turn as long as they wait."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What came of all dependencies on gjobs.

    Args:
        failed: why it can never be submitted as things are; empty when it can.
        waiting: what it waits for; empty when it waits for nothing.
    """

    statuses: tuple[DependencyStatus, ...] = ()
    failed: str = ""
    waiting: str = ""


def named(job: JobResource) -> tuple[Dependency, ...]:
    """Its dependencies on gjobs, each once."""
    return tuple({(d.type, d.name): d for d in job.spec.dependencies if d.name is not None}.values())


def resolve(job: JobResource, related: Related) -> Resolution:
    """Judge each dependency by what is known now, and by what was recorded before."""
    before = {(found.type, found.name): found for found in job.status.dependencies}
    statuses, failed, stuck, waiting = [], [], [], []
    for dependency in named(job):
        assert dependency.name is not None  # noqa: S101 - named() sees to it
        other = related.get(dependency.name)
        status = _judge(job, dependency.type, dependency.name, other, before.get((dependency.type, dependency.name)))
        statuses.append(status)
        match status.state:
            case "Failed":
                failed.append(_why_failed(dependency.type, dependency.name, other))
            case "Waiting" if other is not None and not _is_reachable(job, other):
                where = f"on system {other.spec.system} as {other.spec.run_as}"
                failed.append(
                    f"gjob {dependency.name} runs {where}: only the same system and Unix user can be waited for"
                )
            case "Waiting" if other is not None and reason_of(other.status) is Reason.DEPENDENCY_FAILED:
                stuck.append(f"gjob {dependency.name} cannot start because of its own dependencies")
            case "Waiting":
                waiting.append(_why_waiting(dependency.name, other))
    circle = _circle(job, related) if stuck or waiting else ()
    if circle:
        stuck = [f"it depends on itself: {' → '.join(circle)}"]
    return Resolution(tuple(statuses), failed="; ".join([*failed, *stuck]), waiting="; ".join(waiting))


def _is_reachable(job: JobResource, other: JobResource) -> bool:
    return (other.spec.system, other.spec.run_as) == (job.spec.system, job.spec.run_as)


def _why_failed(type_: str, name: str, other: JobResource | None) -> str:
    if other is None:
        return f"gjob {name} did not end as {type_} needs it, and is not there any more"
    return f"gjob {name} has ended as {other.status.phase}, which {type_} does not allow"


def _why_waiting(name: str, other: JobResource | None) -> str:
    if other is None:
        return f"gjob {name} is not there yet"
    return f"gjob {name} has not been submitted yet ({other.status.phase or Phase.PENDING})"


def _judge(
    job: JobResource, type_: str, name: str, found: JobResource | None, known: DependencyStatus | None
) -> DependencyStatus:
    if known is not None and known.state == "Met":
        return known
    if known is not None and known.uid is not None and (found is None or found.uid != known.uid):
        if known.state == "Submitted":
            return known  # its gjob is gone, its job is not: Slurm knows what becomes of it
        if known.state == "Failed" and found is None:
            return known
    status = DependencyStatus(name=name, type=type_, state="Waiting")
    if found is None:
        return status
    status = status.model_copy(update={"uid": found.uid})
    if not _is_reachable(job, found):
        return status
    status = status.model_copy(update={"job_id": found.status.job_id})
    phase = found.status.phase
    if phase is not None and phase.finished:
        return status.model_copy(update={"state": "Met" if _is_met(type_, found, phase) else "Failed"})
    return status.model_copy(update={"state": "Submitted"}) if found.status.job_id is not None else status


def _is_met(type_: str, found: JobResource, phase: Phase) -> bool:
    match type_:
        case "after":  # started, or cancelled (sbatch(1))
            return found.status.start_time is not None or phase is not Phase.FAILED
        case "afterany":
            return True
        case "afternotok":
            return phase is not Phase.SUCCEEDED
    return phase is Phase.SUCCEEDED  # afterok; aftercorr, of an array as a whole


def _circle(job: JobResource, related: Related) -> Sequence[str]:
    """The names along which the gjob waits for itself; empty when it does not."""
    ways: list[tuple[str, ...]] = [(job.name,)]
    seen = {job.name}
    while ways:
        way = ways.pop()
        following = job if len(way) == 1 else related.get(way[-1])
        if following is None or (len(way) > 1 and following.status.job_id is not None):
            continue
        for dependency in named(following):
            assert dependency.name is not None  # noqa: S101
            if dependency.name == job.name:
                return (*way, job.name)
            if dependency.name not in seen:
                seen.add(dependency.name)
                ways.append((*way, dependency.name))
    return ()
