"""What to do next for a Task, decided purely."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.models.base import parse_model
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.wellknown import ANNOTATION_PAUSED, ANNOTATION_READ_AT, Phase, Reason
from goldcrest_operator.reconcile.observation import Refusal, Trouble
from goldcrest_operator.reconcile.statuses import iso
from goldcrest_operator.reconcile.steps import Delete, Rest, Retry, Wait
from goldcrest_operator.reconcile.task import (
    Carry,
    Outcome,
    TaskAttempt,
    TaskObservation,
    TaskStep,
    WriteTask,
    next_task_step,
)

pytestmark = pytest.mark.unit

NOW = 2_000_000_000.0
SYSTEM = parse_model(
    SystemSpec,
    {
        "hosts": [{"address": "login1", "port": 2222}],
        "filterPath": "/opt/ssh-filter",
        "scheduler": {"type": "Slurm"},
        "workDirectory": "/scratch/{user}",
    },
    what="spec",
)
QUERY: dict[str, Any] = {"nodes": {}}
KILL: dict[str, Any] = {"cancelJob": {"jobIds": ["7"]}}
AWAY = Trouble(Reason.SYSTEM_UNREACHABLE, "login1 does not answer", unreachable=True)


def task(
    operation: dict[str, Any] = QUERY, *, annotations: Any = None, status: Any = None, **spec: Any
) -> TaskResource:
    metadata = {
        "name": "ask",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": iso(NOW - 5),
        "annotations": annotations or {},
    }
    full = {"system": "cluster", "runAs": "alice", "operation": operation, **spec}
    return TaskResource.of({"metadata": metadata, "spec": full, "status": status or {}})


def step(resource: TaskResource, *, system: SystemSpec | None = SYSTEM, **observed: Any) -> TaskStep:
    attempt = observed.pop("attempt", None) or TaskAttempt(since=NOW - 1)
    return next_task_step(resource, system, TaskObservation(now=observed.pop("now", NOW), attempt=attempt, **observed))


def written(resource: TaskResource, **observed: Any) -> Any:
    found = step(resource, **observed)
    assert isinstance(found, WriteTask), found
    return found.status


def ended(phase: str = "Succeeded", *, ago: float = 0) -> dict[str, Any]:
    return {"phase": phase, "endTime": iso(NOW - ago)}


def test_a_query_is_carried_out_at_once() -> None:
    """One write less: nothing happens twice when it is asked twice."""
    assert step(task()) == Carry()


def test_a_change_is_announced_first() -> None:
    """Stored before, so that a successor knows that it may have been made."""
    status = written(task(KILL))
    assert (status.phase, status.start_time) == (Phase.RUNNING, iso(NOW))
    running = task(KILL, status={"phase": "Running", "startTime": iso(NOW - 3)})
    assert step(running, attempt=TaskAttempt(since=NOW, begun_before=True)) == Carry(begun_before=True)


def test_a_change_under_way_is_not_taken_back() -> None:
    """What may have been begun is followed to its end, whatever spec.cancel says by now."""
    running = task(KILL, cancel=True, status={"phase": "Running", "startTime": iso(NOW - 3)})
    assert isinstance(step(running), Carry)
    assert written(task(KILL, cancel=True)).phase is Phase.CANCELLED


def test_outcomes() -> None:
    """A result succeeds, a refusal fails, each with its words."""
    done = written(task(), attempt=TaskAttempt(since=NOW, outcome=Outcome(message="2 found.")))
    assert (done.phase, done.message, done.end_time) == (Phase.SUCCEEDED, "2 found.", iso(NOW))
    refusal = Outcome(refusal=Refusal(Reason.REJECTED_BY_SCHEDULER, "Invalid job id specified"))
    refused = written(task(), attempt=TaskAttempt(since=NOW, outcome=refusal))
    assert (refused.phase, refused.message) == (Phase.FAILED, "Invalid job id specified")
    values = {condition.type: condition.status for condition in refused.conditions}
    assert (values["Stalled"], values["Failed"], values["Finished"]) == ("True", "True", "True")


def test_troubles() -> None:
    """Said once, tried again, told as a failure after half a minute."""
    first = written(task(), attempt=TaskAttempt(since=NOW - 1, trouble=AWAY))
    assert (first.phase, first.message) == (Phase.PENDING, AWAY.message)
    assert next(c.status for c in first.conditions if c.type == "Ready") == "Unknown"
    told = task(status=first.dump())
    assert step(told, attempt=TaskAttempt(since=NOW - 29, trouble=AWAY)) == Retry()
    assert written(told, attempt=TaskAttempt(since=NOW - 30, trouble=AWAY)).phase is Phase.FAILED
    assert "no System cluster" in written(task(), system=None).message


def test_blocked() -> None:
    """Told at once."""
    status = written(task(KILL), blocked="alice is blocked")
    assert (status.phase, status.message) == (Phase.FAILED, "Stopped by an administrator: alice is blocked.")


@pytest.mark.parametrize(
    ("resource", "crowded", "expected"),
    [
        (task(status=ended(ago=10)), False, Wait(3590)),
        (task(status=ended(ago=3600)), False, Delete()),
        (task(status=ended("Failed", ago=3600)), False, Delete()),
        (task(status=ended(ago=10), ttlSecondsAfterFinished=20), False, Wait(10)),
        (task(status=ended(ago=10), ttlSecondsAfterFinished=86_400), False, Wait(3590)),
        (task(status=ended(ago=40), annotations={ANNOTATION_READ_AT: iso(NOW - 35)}), False, Wait(565)),
        (task(status=ended(ago=700), annotations={ANNOTATION_READ_AT: iso(NOW - 600)}), False, Delete()),
        (task(status=ended(ago=40), annotations={ANNOTATION_READ_AT: iso(NOW - 35)}), True, Delete()),
        (task(status=ended(ago=40)), True, Wait(3560)),
        # A note from before the end, or of tomorrow, or of nonsense: never sooner than it should.
        (task(status=ended(ago=10), annotations={ANNOTATION_READ_AT: iso(NOW - 9000)}), False, Wait(590)),
        (task(status=ended(ago=10), annotations={ANNOTATION_READ_AT: iso(NOW + 9000)}), False, Wait(600)),
        (task(status=ended(ago=10), annotations={ANNOTATION_READ_AT: "soon"}), False, Wait(3590)),
        (task(KILL, status=ended(ago=1e6), annotations={ANNOTATION_READ_AT: iso(NOW)}), True, Rest()),
        (task(KILL, status=ended(ago=90), ttlSecondsAfterFinished=90), False, Delete()),
    ],
)
def test_after_the_end(resource: TaskResource, crowded: bool, expected: TaskStep) -> None:
    """Queries go 10 minutes after they were read, an hour after their end at the latest; others by their TTL."""
    assert step(resource, crowded=crowded) == expected


@given(
    phase=st.sampled_from(["Succeeded", "Failed", "Cancelled"]),
    operation=st.sampled_from([QUERY, KILL]),
    cancel=st.booleans(),
    blocked=st.sampled_from(["", "x"]),
    trouble=st.sampled_from([None, AWAY]),
    known=st.booleans(),
)
def test_the_end_is_the_end(
    phase: str, operation: Any, cancel: bool, blocked: str, trouble: Trouble | None, known: bool
) -> None:
    """Whatever happens, a finished Task is not written again."""
    attempt = TaskAttempt(since=0, trouble=trouble, outcome=Outcome(message="late"))
    resource = task(operation, status=ended(phase), cancel=cancel)
    found = step(resource, system=SYSTEM if known else None, attempt=attempt, blocked=blocked)
    assert isinstance(found, Wait | Rest | Delete)


def test_left_alone() -> None:
    """Deleted, or paused by whoever may."""
    assert step(task(annotations={ANNOTATION_PAUSED: "true"})) == Rest()
