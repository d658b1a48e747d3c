"""Fault points are for tests only."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.faults import FaultPoints
from goldcrest_api.context import build_context
from goldcrest_api.settings import Settings as GatewaySettings
from goldcrest_delegation.context import Context as DelegationContext
from goldcrest_delegation.settings import Settings as DelegationSettings
from goldcrest_operator.faults import POINTS as OPERATOR
from goldcrest_operator.faults import Faults
from goldcrest_operator.process import build as build_operator
from goldcrest_operator.reconcile import steps
from goldcrest_operator.settings import OperatorSettings

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


UNCHECKED = Path("/nonexistent")  # faults are judged before any file is read


async def test_no_process_starts_with_a_point_alone() -> None:
    """GOLDCREST_…_FAULT_POINT without …_ALLOW_FAULTS: the process does not start, and says why."""
    delegation = DelegationSettings(
        ca_key_file=UNCHECKED / "ca",
        grant_key_file=UNCHECKED / "grant",
        identity_file=UNCHECKED,
        opa_url="unix:/nonexistent",
        audit_file=UNCHECKED,
        listen_socket=UNCHECKED,
        fault_point="after-audit",
    )
    gateway = GatewaySettings.model_validate(
        {"identity_file": UNCHECKED, "delegation": {"url": "unix:/nonexistent"}, "fault_point": "after-write"}
    )
    operator = OperatorSettings.model_validate(
        {"delegation": {"url": "unix:/nonexistent", "token_file": UNCHECKED}, "fault_point": "after-submit"}
    )
    nothing: Any = None
    with pytest.raises(InvalidInput, match="tests only"):
        async with AsyncExitStack() as stack:
            await DelegationContext.open(delegation, stack)
    with pytest.raises(InvalidInput, match="tests only"):
        build_context(gateway, kube=nothing, grants=nothing, remote=nothing, verifier=nothing)
    with pytest.raises(InvalidInput, match="tests only"):
        await build_operator(operator, kube=nothing, cluster_id="")
