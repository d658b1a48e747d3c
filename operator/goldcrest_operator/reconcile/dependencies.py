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
    statuses, failed, waiting = [], [], []
    for dependency in named(job):
        assert dependency.name is not None  # noqa: S101 - named() sees to it
        known = before.get((dependency.type, dependency.name))
        status, why = _judge(job, dependency, dependency.name, related.get(dependency.name), known)
        statuses.append(status)
        if status.state == "Failed":
            failed.append(why)
        elif status.state == "Waiting":
            waiting.append(why)
    circle = _circle(job, related) if waiting else ()
    if circle:
        failed.append(f"it depends on itself: {' → '.join(circle)}")
    return Resolution(tuple(statuses), failed="; ".join(failed), waiting="; ".join(waiting))


def _judge(
    job: JobResource, dependency: Dependency, name: str, found: JobResource | None, known: DependencyStatus | None
) -> tuple[DependencyStatus, str]:
    def status(state: str, *, of: JobResource | None = None) -> DependencyStatus:
        return DependencyStatus.model_validate(
            {
                "name": name,
                "type": dependency.type,
                "uid": of.uid if of is not None else None,
                "jobId": of.status.job_id if of is not None else None,
                "state": state,
            }
        )

    if known is not None and known.state == "Met":
        return known, ""
    if known is not None and known.uid is not None and (found is None or found.uid != known.uid):
        if known.state == "Submitted":
            return known, ""  # its gjob is gone, its job is not: Slurm knows what becomes of it
        if known.state == "Failed" and found is None:
            return known, f"gjob {name} did not end as {dependency.type} needs it, and is not there any more"
    if found is None:
        return status("Waiting"), f"gjob {name} is not there yet"
    if found.spec.system != job.spec.system or found.spec.run_as != job.spec.run_as:
        where = f"on system {found.spec.system} as {found.spec.run_as}"
        return status(
            "Failed", of=found
        ), f"gjob {name} runs {where}: only the same system and Unix user can be waited for"
    phase = found.status.phase or Phase.PENDING
    if phase.finished:
        if _is_met(dependency.type, found, phase):
            return status("Met", of=found), ""
        return status("Failed", of=found), f"gjob {name} has ended as {phase}, which {dependency.type} does not allow"
    if found.status.job_id is not None:
        return status("Submitted", of=found), ""
    if reason_of(found.status) is Reason.DEPENDENCY_FAILED:
        return status("Failed", of=found), f"gjob {name} cannot start because of its own dependencies"
    return status("Waiting", of=found), f"gjob {name} has not been submitted yet ({phase})"


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
