"""Statuses of Tasks: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from goldcrest.grants import parse_time
from goldcrest.models.task import TaskResource, TaskStatus
from goldcrest.wellknown import ANNOTATION_READ_AT, ConditionType, Phase, Reason
from goldcrest_operator.reconcile.observation import Trouble
from goldcrest_operator.reconcile.statuses import iso, with_state, with_trouble


def task_status(
    task: TaskResource, *, phase: Phase, reason: Reason, message: str, now: float, **fields: Any
) -> TaskStatus:
    """The Task's status in this phase; a Task ends when that is written."""
    if phase.finished:
        fields["end_time"] = iso(now)
    return with_state(task, phase=phase, reason=reason, message=message, now=now, **fields)


def waiting_status(task: TaskResource, trouble: Trouble, *, now: float) -> TaskStatus:
    """It stays where it is, and says what it waits for; never for long, so that nobody need do anything."""
    return with_trouble(task, replace(trouble, stalled=False), now=now)


def says_already(task: TaskResource, trouble: Trouble) -> bool:
    """Whether this trouble is in the status: its words may differ (another login host), which is not worth a write."""
    return any(
        condition.type == ConditionType.READY and condition.reason == trouble.reason.value
        for condition in task.status.conditions
    )


def ended_at(task: TaskResource) -> float | None:
    """Epoch seconds of its end."""
    try:
        return parse_time(task.status.end_time) if task.status.end_time is not None else None
    except ValueError:
        return None


def read_at(task: TaskResource, *, now: float) -> float | None:
    """Epoch seconds at which its result was read, as the gateway noted; never before its end, never later than now."""
    ended, noted = ended_at(task), task.annotations.get(ANNOTATION_READ_AT)
    if ended is None or noted is None:
        return None
    try:
        return min(max(parse_time(noted), ended), now)
    except ValueError:
        return None
