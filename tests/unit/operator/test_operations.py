"""What Slurm's answers mean for a Task."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest.errors import SchedulerBusy, SchedulerUnavailable
from goldcrest.models.base import parse_model
from goldcrest.models.task import Operation, Page
from goldcrest.task_results import Cancelled
from goldcrest_operator.scheduler.operations import OperationFailed, check_before, one_line, page_of, result_of

pytestmark = pytest.mark.unit

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
        result_of(operation({"nodes": {}}), answer)
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
        result_of(operation({"nodes": {}}), output(status=1, stderr=stderr))
    assert str(trouble.value) == stderr.strip()


def test_a_warning_is_no_failure() -> None:
    """What a program prints on standard error beside its answer."""
    assert result_of(operation({"nodes": {}}), output("NodeName=n1\n", stderr="warning: slow\n"))


def test_cancelling() -> None:
    """Words as the contract has them."""
    said = "scancel: Terminating job 101\n"
    assert result_of(operation(KILL), output(stderr=said)) == Cancelled(text="scancel: Terminating job 101")
    with pytest.raises(OperationFailed, match=r"^User does not have permission to cancel job$"):
        result_of(operation(KILL), output(status=210, stderr="scancel: error: …"))
    for status in (0, 1):
        with pytest.raises(OperationFailed, match=r"^scancel: Terminating job 101scancel: error: "):
            result_of(operation(KILL), output(status=status, stderr=said + GONE))


def test_cancelling_again() -> None:
    """An earlier try may have done it: then that it has ended is what was wanted; another error is one still."""
    assert result_of(operation(KILL), output(status=1, stderr=GONE), begun_before=True)
    other = GONE + "scancel: error: Kill job error on job id 102: Invalid job id specified\n"
    with pytest.raises(OperationFailed):
        result_of(operation(KILL), output(status=1, stderr=other), begun_before=True)


@pytest.mark.parametrize(
    ("length", "size", "number", "expected"),
    [(0, 25, 0, []), (3, 2, 0, [0, 1]), (3, 2, 1, [2]), (4, 2, 1, [2, 3]), (3, 2**31, 0, [0, 1, 2])],
)
def test_pages(length: int, size: int, number: int, expected: list[int]) -> None:
    """The first is 0."""
    assert list(page_of(range(length), Page(size=size, number=number))) == expected


@pytest.mark.parametrize(("length", "number", "pages"), [(0, 1, 1), (3, 2, 2), (4, 2, 2)])
def test_pages_beyond_the_end(length: int, number: int, pages: int) -> None:
    """An empty listing has one page."""
    with pytest.raises(OperationFailed) as refusal:
        page_of(range(length), Page(size=2, number=number))
    assert refusal.value.message == f"pageNumber ({number}) is greater than total pages ({pages})"


def test_known_to_fail() -> None:
    """Without asking the system."""
    for value, text in (
        ({"accounting": {"page": {"size": 1, "number": -3}}}, "pageNumber (-3) cannot be a negative number"),
        ({"listJobs": {"scope": "own", "page": {"size": -3, "number": 0}}}, "pageSize (-3) must be at least 1"),
        ({"cancelJob": {"jobIds": ["7", "1_[1-x]"]}}, "scancel: error: Invalid job id 1_[1-x]"),
    ):
        with pytest.raises(OperationFailed) as refusal:
            check_before(operation(value))
        assert refusal.value.message == text
    check_before(operation({"nodes": {}}))
    assert len(one_line("x" * 5000)) == 1500
