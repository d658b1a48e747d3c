"""The status of a System after a probe: pure."""

from __future__ import annotations

from dataclasses import dataclass

from goldcrest.errors import InvalidInput
from goldcrest.grants import parse_time
from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.conditions import Condition
from goldcrest.models.system import FileSystemStatus, ProbeState, ServiceStatus, SystemSpec, SystemStatus
from goldcrest.wellknown import ConditionType, Reason
from goldcrest_operator.reconcile.statuses import iso


@dataclass(frozen=True, slots=True)
class SystemResource:
    """A System as the API server returns it, reduced to what is decided on."""

    name: str
    uid: str
    generation: int
    deleting: bool
    spec: SystemSpec
    status: SystemStatus

    @classmethod
    def of(cls, raw: Raw) -> SystemResource:
        """Read the JSON of the API server.

        Raises:
            InvalidInput: when it does not fit the model.
        """
        meta = raw["metadata"]
        return cls(
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            deleting="deletionTimestamp" in meta,
            spec=parse_model(SystemSpec, raw.get("spec"), what="spec"),
            status=parse_model(SystemStatus, raw.get("status") or {}, what="status"),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one thing found.

    Args:
        name: ``ssh``, ``scheduler``, ``object-store``, or of a file system.
        place: ``address:port`` of a host, URL of the object store, path of a file system, empty for the scheduler.
    """

    name: str
    place: str
    state: ProbeState
    message: str
    milliseconds: int | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found: whether a login host answers with a pinned key, and a sentence about it; and of each thing."""

    ready: bool
    message: str
    services: tuple[Seen, ...] = ()
    file_systems: tuple[Seen, ...] = ()


def ready_condition(status: SystemStatus) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == ConditionType.READY), None)


def status_after(system: SystemResource, probed: Probed, *, now: float, write_seconds: float) -> SystemStatus | None:
    """The status to be written, or None when nothing changed and the last write is recent.

    Args:
        now: epoch seconds.
        write_seconds: an unchanged status is written again after this long, to show that somebody still looks.
    """
    before = ready_condition(system.status)
    changed = (
        before is None
        or (before.status == "True") != probed.ready
        or system.status.observed_generation != system.generation
        or _states(system.status) != _states_of(probed)
    )
    if not changed and not _is_old(system.status, now=now, write_seconds=write_seconds):
        return None
    status = "True" if probed.ready else "False"
    condition = Condition(
        type=ConditionType.READY.value,
        status="True" if probed.ready else "False",
        observed_generation=system.generation,
        last_transition_time=before.last_transition_time if before and before.status == status else iso(now),
        reason=(Reason.ACCEPTED if probed.ready else Reason.SYSTEM_UNREACHABLE).value,
        message=probed.message[:4096],
    )
    return SystemStatus(
        observed_generation=system.generation,
        conditions=[condition],
        last_checked=iso(now),
        services=[
            ServiceStatus(
                name=seen.name,
                host=seen.place or None,
                state=seen.state,
                latency_milliseconds=seen.milliseconds,
                last_check=iso(now),
                message=seen.message[:1024],
            )
            for seen in probed.services
        ],
        file_systems=[
            FileSystemStatus(
                name=seen.name,
                path=seen.place,
                state=seen.state,
                latency_milliseconds=seen.milliseconds,
                last_check=iso(now),
                message=seen.message[:1024],
            )
            for seen in probed.file_systems
        ],
    )


def _states(status: SystemStatus) -> set[tuple[str, str, str]]:
    """What is worth a write when it changes: neither latencies nor words."""
    services = {(service.name, service.host or "", service.state) for service in status.services}
    return services | {(system.name, system.path, system.state) for system in status.file_systems}


def _states_of(probed: Probed) -> set[tuple[str, str, str]]:
    return {(seen.name, seen.place, seen.state) for seen in (*probed.services, *probed.file_systems)}


def _is_old(status: SystemStatus, *, now: float, write_seconds: float) -> bool:
    try:
        return status.last_checked is None or now - parse_time(status.last_checked) >= write_seconds
    except (ValueError, InvalidInput):
        return True
