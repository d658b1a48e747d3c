"""Fault points are for tests only."""

from __future__ import annotations

import os
import signal

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.faults import FaultPoints
from goldcrest_operator.faults import POINTS as OPERATOR
from goldcrest_operator.faults import Faults
from goldcrest_operator.reconcile import steps

pytestmark = pytest.mark.unit

POINTS = ("before-submit", "after-submit")


def test_strikes_at_its_point_only() -> None:
    """Only the armed point strikes."""
    struck: list[str] = []
    faults = FaultPoints("after-submit", points=POINTS, allowed=True, strike=lambda: struck.append("x"))
    faults.point("before-submit")
    assert not struck
    faults.point("after-submit")
    assert struck


def test_strikes_for_its_kind_of_work_only() -> None:
    """What is armed for one kind of work lets others pass."""
    struck: list[str] = []
    faults = FaultPoints("after-submit/Job", points=POINTS, allowed=True, strike=lambda: struck.append("x"))
    faults.point("after-submit", "Task")
    faults.point("after-submit")
    assert not struck
    faults.point("after-submit", "Job")
    assert struck


@pytest.mark.parametrize(
    ("armed", "allowed"),
    [("after-submit", False), ("freeze:after-submit", False), ("nowhere", True), ("freeze:", True)],
)
def test_refused(armed: str, allowed: bool) -> None:
    """A point that is set without permission, or unknown, keeps the process from starting."""
    with pytest.raises(InvalidInput):
        FaultPoints(armed, points=POINTS, allowed=allowed)
    with pytest.raises(InvalidInput):
        Faults(armed, allowed=allowed)


def test_nothing_is_armed_by_permission_alone() -> None:
    """Allowed, and no point named: nothing ever strikes."""
    struck: list[str] = []
    faults = FaultPoints(points=POINTS, allowed=True, strike=lambda: struck.append("x"))
    for name in (*POINTS, ""):
        faults.point(name)
    assert not struck


@pytest.mark.parametrize(("armed", "ends_by"), [("after-submit", signal.SIGKILL), ("freeze:after-submit", None)])
def test_what_a_strike_is(armed: str, ends_by: int | None) -> None:
    """The process is killed, with no time for anything; or it is stopped, and goes on when it is woken."""
    pid = os.fork()
    if pid == 0:
        faults = FaultPoints(armed, points=POINTS, allowed=True)
        faults.point("after-submit")
        faults.point("after-submit")
        os._exit(0)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if ends_by is not None:
        assert os.WTERMSIG(status) == ends_by
        return
    assert os.WIFSTOPPED(status)
    os.kill(pid, signal.SIGCONT)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_names_of_the_operator() -> None:
    """Every step that changes something has a point before and behind it; steps that only ask or wait have none."""
    struck: list[str] = []
    for step, name in (
        (steps.Release("1"), "release"),
        (steps.Cancel(), "cancel"),
        (steps.RemoveFinalizer(), "finalizer-removal"),
    ):
        for when in ("before", "after"):
            assert f"{when}-{name}" in OPERATOR
            faults = Faults(f"{when}-{name}", allowed=True, strike=lambda: struck.append("x"))
            faults.before(step)
            assert len(struck) == (when == "before")
            faults.after(step)
            assert len(struck) == 1
            struck.clear()
