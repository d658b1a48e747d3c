"""The judge of the fault tests finds what is lost, what ran twice, and what came to another end."""

from __future__ import annotations

from typing import Any

import pytest

from faults.ledger import Verdict, World, judge, table, unfinished
from faults.works import Batch, Made

pytestmark = pytest.mark.unit

JOB = Made("Job", "plain", "x", {})
BATCH = Batch("b", "run", (JOB,))
TOKEN = "goldcrest:12345678:aa"


def resource(phase: str = "Succeeded", *, job_id: str | None = "7", **status: Any) -> dict[str, Any]:
    full = {"phase": phase, "submission": {"token": TOKEN}, "observedGeneration": 1, **status}
    return {"metadata": {"generation": 1}, "status": full if job_id is None else {**full, "jobId": job_id}}


def row(job_id: str = "7", state: str = "COMPLETED", elapsed: str = "1") -> dict[str, str]:
    return {"JobID": job_id, "State": state, "ElapsedRaw": elapsed}


def world(raw: dict[str, Any] | None, *rows: dict[str, str], runs: int = 1) -> World:
    resources = {("Job", "x"): raw} if raw is not None else {}
    return World(resources, {TOKEN: list(rows)}, {"x": runs} if runs else {})


def verdict(seen: World, *, batch: Batch = BATCH) -> Verdict:
    expected = world(resource(), row()).end_of(JOB)
    return judge(batch, seen, reference={"plain": expected}, tokens={})


def test_the_same_end() -> None:
    """Once, and as without a fault; a double that was held all its life is no harm."""
    assert verdict(world(resource(), row())).good
    assert verdict(world(resource(), row(), row("8", "CANCELLED by 0", "0"))).good


@pytest.mark.parametrize(
    "seen",
    [
        world(None, row()),
        world(resource(), row(), runs=0),
        world(resource()),
        world(resource(job_id=None), runs=1),
        world(resource(job_id="9"), row()),
    ],
    ids=["no resource", "never ran", "not in accounting", "without an id", "another id"],
)
def test_lost(seen: World) -> None:
    """What is not there, did not run, or is no job of the scheduler under its token."""
    assert verdict(seen).lost


@pytest.mark.parametrize(
    "seen",
    [
        world(resource(), row(), runs=2),
        world(resource(), row(), row("8")),
        world(resource(), row(), row("8", "CANCELLED", "3")),
    ],
    ids=["two lines", "a second job", "a second job that was stopped"],
)
def test_twice(seen: World) -> None:
    """What left two lines, or of which a second job had time to run."""
    assert verdict(seen).twice


@pytest.mark.parametrize(
    "seen",
    [
        world(resource("Failed"), row()),
        world(resource(exitCode=3), row()),
        world(resource(conditions=[{"type": "Ready", "status": "True"}]), row()),
        world(resource(), row(), row("8", "PENDING", "0")),
    ],
    ids=["phase", "exit code", "conditions", "left in the queue"],
)
def test_wrong(seen: World) -> None:
    """Another end than without a fault."""
    assert verdict(seen).wrong


def test_unfinished() -> None:
    """What is waited for: an end, or that what was deleted is gone; what is not there at all is no reason to wait, but lost."""
    assert unfinished([BATCH], {("Job", "x"): resource("Running")})
    assert not unfinished([BATCH], {("Job", "x"): resource()})
    assert not unfinished([BATCH], {})
    assert unfinished([Batch("b", "delete", (JOB,))], {("Job", "x"): resource("Cancelled")})


def test_figures() -> None:
    """A line for each, and the sum."""
    text = table([("one", Verdict("a", 10)), ("two", Verdict("b", 11, lost=["x"], wrong=["y", "z"]))]).splitlines()
    assert text[1].split() == ["one", "10", "0", "0", "0"]
    assert text[3].split() == ["all", "21", "1", "0", "2"]
