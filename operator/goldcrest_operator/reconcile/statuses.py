"""Statuses of a Job as values: what is written, and whether it differs enough from what is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from goldcrest.grants import parse_time
from goldcrest.models.conditions import run_once_conditions
from goldcrest.models.job import JobStatus
from goldcrest.models.task import TaskStatus
from goldcrest.wellknown import ConditionType, EventReason, Phase, Reason
from goldcrest_operator.reconcile.allotments import differences
from goldcrest_operator.reconcile.observation import Trouble
from goldcrest_operator.reconcile.steps import Notice

S = TypeVar("S", JobStatus, TaskStatus)
S_co = TypeVar("S_co", JobStatus, TaskStatus, covariant=True)

_MESSAGE_LIMIT = 4096  # characters, as the schema says
_TROUBLES = frozenset(
    reason.value
    for reason in (
        Reason.DEPENDENCY_FAILED,
        Reason.POLICY_DENIED,
        Reason.BLOCKED,
        Reason.REJECTED_BY_SITE,
        Reason.POLICY_UNAVAILABLE,
        Reason.DENIED_FOR_NOW,
        Reason.DELEGATION_UNAVAILABLE,
        Reason.SYSTEM_UNREACHABLE,
        Reason.CONNECTION_REFUSED,
        Reason.LOGIN_DENIED,
        Reason.SCHEDULER_UNAVAILABLE,
        Reason.SUBMISSION_AMBIGUOUS,
    )
)


def iso(epoch: float) -> str:
    """Epoch seconds as Kubernetes writes time."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class RunsOnce(Protocol[S_co]):
    """A Job or a Task."""

    @property
    def generation(self) -> int: ...
    @property
    def status(self) -> S_co: ...


def with_state(
    resource: RunsOnce[S],
    *,
    phase: Phase,
    reason: Reason,
    message: str,
    now: float,
    unreachable: bool = False,
    stalled: bool = False,
    **fields: Any,
) -> S:
    """Its status in this phase, with all conditions and with ``fields`` set; everything else as it was."""
    message = message[:_MESSAGE_LIMIT]
    conditions = run_once_conditions(
        phase=phase,
        reason=reason,
        message=message,
        generation=resource.generation,
        previous=resource.status.conditions,
        unreachable=unreachable,
        stalled=stalled,
        at=iso(now),
    )
    return resource.status.model_copy(
        update={
            "observed_generation": resource.generation,
            "phase": phase,
            "message": message,
            "conditions": list(conditions),
            **fields,
        }
    )


def with_trouble(resource: RunsOnce[S], trouble: Trouble, *, now: float) -> S:
    """It stays where it is, and says what it waits for."""
    phase = resource.status.phase or Phase.PENDING
    return with_state(
        resource,
        phase=phase,
        reason=trouble.reason,
        message=trouble.message,
        now=now,
        unreachable=trouble.unreachable,
        stalled=trouble.stalled,
    )


def reason_of(status: JobStatus) -> Reason | None:
    """The reason written last."""
    for condition in status.conditions:
        if condition.type == ConditionType.READY:
            try:
                return Reason(condition.reason)
            except ValueError:
                return None
    return None


def finished_at(status: JobStatus) -> float | None:
    """Epoch seconds at which it became finished."""
    for condition in status.conditions:
        if condition.type == ConditionType.FINISHED and condition.status == "True":
            return parse_time(condition.last_transition_time)
    return None


def differs(old: JobStatus, new: JobStatus) -> bool:
    """Whether a write is worth it.

    Not worth one: that the job was released (written with the next change; releasing again is harmless), and the same trouble in other
    words (which login host it was asked of, after how many seconds). What a site says of its maintenance is worth one: until when it lasts.
    """
    return old != new and _essence(old) != _essence(new)


def _essence(status: JobStatus) -> dict[str, Any]:
    essence = status.dump()
    if "submission" in essence:
        essence["submission"].pop("released", None)
    passing = _TROUBLES - {Reason.DENIED_FOR_NOW.value, Reason.BLOCKED.value, Reason.DEPENDENCY_FAILED.value}
    trouble = any(condition["reason"] in passing for condition in essence["conditions"])
    if trouble and not (status.phase and status.phase.finished):
        essence.pop("message", None)
    for condition in essence["conditions"]:
        del condition["lastTransitionTime"], condition["message"]
    return essence


_EVENTS = {
    Phase.SUSPENDED: EventReason.SUSPENDED,
    Phase.RUNNING: EventReason.STARTED,
    Phase.SUCCEEDED: EventReason.COMPLETED,
    Phase.FAILED: EventReason.FAILED,
    Phase.CANCELLED: EventReason.CANCELLED,
}


def notices(old: JobStatus, new: JobStatus) -> tuple[Notice, ...]:
    """The events that a change of status is worth."""
    message = new.message or ""
    found = []
    if new.phase is not None and new.phase is not old.phase:
        if old.phase is Phase.SUSPENDED and new.phase in (Phase.SUBMITTING, Phase.QUEUED):
            found.append(Notice(EventReason.RESUMED, message))
        if old.phase in (Phase.RUNNING, Phase.COMPLETING) and new.phase is Phase.QUEUED:
            found.append(Notice(EventReason.REQUEUED, f"Put back into the queue by the scheduler. {message}"))
        event = _EVENTS.get(new.phase)
        if event is not None and reason_of(new) is not Reason.BLOCKED:
            found.append(Notice(event, message, warning=new.phase is Phase.FAILED))
    reason = reason_of(new)
    if reason is not reason_of(old) and reason in _TROUBLES and not (new.phase and new.phase.finished):
        event = EventReason.BLOCKED if reason is Reason.BLOCKED else EventReason.DELAYED
        found.append(Notice(event, message, warning=True))
    otherwise = differences(new.asked, new.granted)
    if otherwise and otherwise != differences(new.asked, old.granted):
        found.append(Notice(EventReason.GRANTED_OTHERWISE, f"The site gave {', '.join(otherwise)}."))
    if new.overridden and new.overridden != old.overridden:
        found += [Notice(EventReason.OVERRIDDEN, f"{sentence}.") for sentence in new.overridden]
    return tuple(found)
