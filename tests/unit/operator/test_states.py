"""Slurm's states as phases, reasons and sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldcrest.commands.outputs import parse_account, parse_describe, parse_queue
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.scheduler.states import meaning, view_of

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[1] / "commands" / "data"


@pytest.mark.parametrize(
    ("state", "phase", "reason"),
    [
        ("PENDING", Phase.QUEUED, Reason.QUEUED),
        ("CONFIGURING", Phase.RUNNING, Reason.RUNNING),
        ("RUNNING", Phase.RUNNING, Reason.RUNNING),
        ("SUSPENDED", Phase.RUNNING, Reason.RUNNING),
        ("COMPLETING", Phase.COMPLETING, Reason.RUNNING),
        ("REQUEUED", Phase.QUEUED, Reason.QUEUED),
        ("COMPLETED", Phase.SUCCEEDED, Reason.COMPLETED),
        ("FAILED", Phase.FAILED, Reason.NON_ZERO_EXIT),
        ("TIMEOUT", Phase.FAILED, Reason.TIMED_OUT),
        ("OUT_OF_MEMORY", Phase.FAILED, Reason.OUT_OF_MEMORY),
        ("NODE_FAIL", Phase.FAILED, Reason.NODE_FAILED),
        ("PREEMPTED", Phase.FAILED, Reason.PREEMPTED),
        ("CANCELLED", Phase.CANCELLED, Reason.CANCELLED),
        ("SOMETHING_NEW", Phase.RUNNING, Reason.RUNNING),
    ],
)
def test_meaning(state: str, phase: Phase, reason: Reason) -> None:
    """Each state has a phase and a reason; an unknown one is never final."""
    assert meaning(state) == (phase, reason)


def test_failed() -> None:
    """Exit codes and signals come from the exact record."""
    failed = view_of(parse_describe((DATA / "scontrol_failed.txt").read_text()))
    assert (failed.exit_code, failed.message) == (3, "Job 54 has failed with exit code 3.")
    killed = view_of(parse_describe((DATA / "scontrol_killed.txt").read_text()))
    assert (killed.signal, killed.message) == (9, "Job 55 was ended by signal 9.")


def test_held() -> None:
    """A held job is waiting, held, and has not started; a cancelled one is not held."""
    held = view_of(parse_describe((DATA / "scontrol_held.txt").read_text()))
    assert (held.phase, held.held, held.start, held.nodes) == (Phase.QUEUED, True, None, None)
    assert held.message == "Job 53 waits in the queue: it is held (JobHeldUser)."
    cancelled = view_of(parse_describe((DATA / "scontrol_cancelled.txt").read_text()))
    assert (cancelled.phase, cancelled.held) == (Phase.CANCELLED, False)


def test_running_array() -> None:
    """An array runs while an element does, and says how many are in which state."""
    rows = [row for row in parse_queue((DATA / "squeue.txt").read_text()) if row.base_id == "52"]
    array = view_of(rows)
    assert (array.job_id, array.phase, array.state) == ("52", Phase.RUNNING, "RUNNING")
    assert array.message == "Array job 52: 2 PENDING, 1 RUNNING."


def test_what_shows_an_array() -> None:
    """Queue, exact record and accounting each tell an array, or one element of it, from a single job."""
    queue = parse_queue((DATA / "squeue.txt").read_text())
    assert view_of([row for row in queue if row.job_id == "52_1"]).array
    assert not view_of([row for row in queue if row.job_id == "54"]).array
    assert view_of(parse_describe((DATA / "scontrol_array.txt").read_text())).array
    assert not view_of(parse_describe((DATA / "scontrol_failed.txt").read_text())).array
    account = parse_account((DATA / "sacct.txt").read_text())
    assert {view_of([row]).array for row in account if row.base_id == "52"} == {True}
    assert {view_of([row]).array for row in account if row.base_id == "54"} == {False}


def test_ended_array() -> None:
    """An array failed when one of its elements did."""
    line = (DATA / "sacct.txt").read_text().splitlines()[1]
    rows = parse_account(
        "\n".join([line.replace("54", "52_1", 1), line.replace("54", "52_2", 1).replace("FAILED", "COMPLETED")])
    )
    array = view_of(rows)
    assert (array.phase, array.outcome, array.exit_code) == (Phase.FAILED, Reason.NON_ZERO_EXIT, 3)
    assert array.message == "Array job 52: 1 COMPLETED, 1 FAILED."
