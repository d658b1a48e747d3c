"""What Slurm's answers mean for a Task."""

from __future__ import annotations

from typing import Any, cast

import pytest

from goldcrest.errors import SchedulerBusy, SchedulerUnavailable
from goldcrest.models.base import parse_model
from goldcrest.models.task import Operation
from goldcrest.task_results import Cancelled
from goldcrest_operator.scheduler.interface import CommandRunner, OperationFailed
from goldcrest_operator.scheduler.slurm_operations import SlurmOperations, one_line

pytestmark = pytest.mark.unit

SLURM = SlurmOperations(cast(CommandRunner, None))  # nothing is run here

KILL: dict[str, Any] = {"cancelJob": {"jobIds": ["101"]}}
GONE = "scancel: error: Kill job error on job id 101: Job/step already completing or completed\n"


def operation(value: dict[str, Any]) -> Operation:
    return parse_model(Operation, value, what="operation")


def output(stdout: str = "", *, status: int = 0, stderr: str = "") -> dict[str, Any]:
    return {"exit": status, "stdout": stdout, "stderr": stderr}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (output(status=1, stderr="slurm_load_jobs error: Invalid job id specified\n"), "slurm_load_jobs error: Invalid job id specified"),
        (output("Node nowhere not found\n", status=1), "Node nowhere not found"),
        (output(status=1), "exit status 1 without a message"),
        (output(status=1, stderr="a\nb\x1b[0m\n"), "ab�[0m"),
    ],
)  # fmt: skip
def test_slurm_says_no(answer: dict[str, Any], text: str) -> None:
    """In its own words: of standard error, else of standard output; in one line."""
    with pytest.raises(OperationFailed) as refusal:
        SLURM.result(operation({"nodes": {}}), answer)
    assert refusal.value.message == text


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", SchedulerUnavailable),
        ("sacct: error: Socket timed out on send/recv operation\n", SchedulerBusy),
    ],
)
def test_slurm_does_not_answer(stderr: str, kind: type[Exception]) -> None:
    """Tried again, and said in the bare words if it stays so."""
    with pytest.raises(kind) as trouble:
        SLURM.result(operation({"nodes": {}}), output(status=1, stderr=stderr))
    assert str(trouble.value) == stderr.strip()


def test_a_warning_is_no_failure() -> None:
    """What a program prints on standard error beside its answer."""
    assert SLURM.result(operation({"nodes": {}}), output("NodeName=n1\n", stderr="warning: slow\n"))


def test_cancelling() -> None:
    """Words as the contract has them."""
    said = "scancel: Terminating job 101\n"
    assert SLURM.result(operation(KILL), output(stderr=said)) == Cancelled(text="scancel: Terminating job 101")
    with pytest.raises(OperationFailed, match=r"^User does not have permission to cancel job$"):
        SLURM.result(operation(KILL), output(status=210, stderr="scancel: error: …"))
    for status in (0, 1):
        with pytest.raises(OperationFailed, match=r"^scancel: Terminating job 101scancel: error: "):
            SLURM.result(operation(KILL), output(status=status, stderr=said + GONE))


def test_cancelling_again() -> None:
    """An earlier try may have done it: then that it has ended is what was wanted; another error is one still."""
    assert SLURM.result(operation(KILL), output(status=1, stderr=GONE), begun_before=True)
    other = GONE + "scancel: error: Kill job error on job id 102: Invalid job id specified\n"
    with pytest.raises(OperationFailed):
        SLURM.result(operation(KILL), output(status=1, stderr=other), begun_before=True)


def test_known_to_fail() -> None:
    """Without asking the system, as the program would say it."""
    with pytest.raises(OperationFailed, match=r"^scancel: error: Invalid job id 1_\[1-x\]$"):
        SLURM.check(operation({"cancelJob": {"jobIds": ["7", "1_[1-x]"]}}))
    SLURM.check(operation({"nodes": {}}))
    assert len(one_line("x" * 5000)) == 1500
