"""What to do next for a Task: one pure function, read from top to bottom, as :mod:`.job` is for Jobs."""

from __future__ import annotations

from dataclasses import dataclass

from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource, TaskResultRecord, TaskStatus
from goldcrest.wellknown import ANNOTATION_PAUSED, QUERY_READ_SECONDS, QUERY_SECONDS, Phase, Reason
from goldcrest_operator.reconcile.observation import Refusal, Trouble
from goldcrest_operator.reconcile.statuses import iso
from goldcrest_operator.reconcile.steps import Delete, Rest, Retry, Wait
from goldcrest_operator.reconcile.task_statuses import ended_at, read_at, says_already, task_status, waiting_status

PATIENCE_SECONDS = 30.0
"""For which what passes by itself is waited for. Clients poll for a minute; then they would rather know."""
CROWDED_READ_SECONDS = 30.0
"""After its result was read a query goes, where its user has many Tasks: so clients that poll for hours never come to the quota."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the operation: a result that is stored in ``record``, or a final no."""

    record: TaskResultRecord | None = None
    message: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """What *this process* did for a Task; it is gone after a restart, and nothing is lost with it."""

    since: float
    """Epoch seconds at which this process saw it first."""
    outcome: Outcome | None = None
    """Until it is stored."""
    trouble: Trouble | None = None
    """Of the last effect of this pass."""
    begun_before: bool = False
    """A change on the system may have been begun before, by this process or another."""


@dataclass(frozen=True, slots=True)
class TaskObservation:
    """Everything that was observed beside the Task; ``now`` is epoch seconds."""

    now: float
    attempt: TaskAttempt
    blocked: str = ""
    """Why its requester or user is blocked."""
    crowded: bool = False
    """Its user has many Tasks."""


@dataclass(frozen=True, slots=True)
class WriteTask:
    """Store a status, if nobody changed the Task since it was read."""

    status: TaskStatus


@dataclass(frozen=True, slots=True)
class Carry:
    """Carry out the operation, and store what is too large for the status."""

    begun_before: bool = False


TaskStep = WriteTask | Carry | Delete | Wait | Retry | Rest


def next_task_step(task: TaskResource, system: SystemSpec | None, observed: TaskObservation) -> TaskStep:
    """The one next step for this Task."""
    now, attempt = observed.now, observed.attempt
    if task.deleting or task.annotations.get(ANNOTATION_PAUSED) == "true":
        return Rest()  # it leaves nothing behind on the system
    if task.finished:
        return _after_the_end(task, observed)
    if attempt.outcome is not None:
        return WriteTask(_ended(task, attempt.outcome, now=now))
    if task.spec.cancel and not _may_have_begun(task):
        return WriteTask(
            task_status(
                task, phase=Phase.CANCELLED, reason=Reason.CANCELLED, message="Cancelled before it began.", now=now
            )
        )
    if observed.blocked:
        # It is no job that waits: what was asked is told now, and a change is not made at some later time.
        message = f"Stopped by an administrator: {observed.blocked}."
        return WriteTask(task_status(task, phase=Phase.FAILED, reason=Reason.BLOCKED, message=message, now=now))
    trouble = attempt.trouble
    if system is None:
        trouble = Trouble(Reason.SYSTEM_UNREACHABLE, f"There is no System {task.spec.system}.", unreachable=True)
    if trouble is not None:
        return _troubled(task, trouble, observed)
    if not task.is_query and not _may_have_begun(task):
        # Before the change, so that a successor knows that there may have been one.
        message = "The system is being told."
        status = task_status(
            task, phase=Phase.RUNNING, reason=Reason.RUNNING, message=message, now=now, start_time=iso(now)
        )
        return WriteTask(status)
    return Carry(begun_before=attempt.begun_before)


def _may_have_begun(task: TaskResource) -> bool:
    return task.status.phase is Phase.RUNNING


def _troubled(task: TaskResource, trouble: Trouble, observed: TaskObservation) -> TaskStep:
    if observed.now - observed.attempt.since >= PATIENCE_SECONDS:
        status = task_status(task, phase=Phase.FAILED, reason=trouble.reason, message=trouble.message, now=observed.now)
        return WriteTask(status)
    if not says_already(task, trouble):
        return WriteTask(waiting_status(task, trouble, now=observed.now))
    return Retry()


def _ended(task: TaskResource, outcome: Outcome, *, now: float) -> TaskStatus:
    if outcome.refusal is not None:
        return task_status(
            task, phase=Phase.FAILED, reason=outcome.refusal.reason, message=outcome.refusal.message, now=now
        )
    return task_status(
        task,
        phase=Phase.SUCCEEDED,
        reason=Reason.COMPLETED,
        message=outcome.message,
        now=now,
        result=outcome.record,
    )


def _after_the_end(task: TaskResource, observed: TaskObservation) -> TaskStep:
    ended = ended_at(task)
    if ended is None:
        return Rest()  # of another release: an administrator must look
    due = []
    if task.spec.ttl_seconds_after_finished is not None:
        due.append(ended + task.spec.ttl_seconds_after_finished)
    if task.is_query:
        due.append(ended + QUERY_SECONDS)
        read = read_at(task, now=observed.now)
        if read is not None:
            due.append(read + (CROWDED_READ_SECONDS if observed.crowded else QUERY_READ_SECONDS))
    if not due:
        return Rest()
    left = min(due) - observed.now
    return Delete() if left <= 0 else Wait(left)
