"""Pages of listings, in the words of the contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from goldcrest.commands.listings import HistoryRow
from goldcrest.models.base import parse_model
from goldcrest.models.task import Operation, Page
from goldcrest.task_results import Accounting, Nodes
from goldcrest_operator.paging import check_page, page_of, paged
from goldcrest_operator.scheduler.interface import OperationFailed

pytestmark = pytest.mark.unit

ROW = HistoryRow(
    job_id="1",
    partition="normal",
    name="a",
    user="alice",
    state="COMPLETED",
    start="",
    cpu_time="",
    end="",
    nodes="1",
    node_list="n1",
    exit_code="0:0",
    elapsed="",
)


def operation(value: dict[str, Any]) -> Operation:
    return parse_model(Operation, value, what="operation")


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


def test_no_such_page() -> None:
    """Of any listing: known without asking the system."""
    for value, text in (
        ({"accounting": {"page": {"size": 1, "number": -3}}}, "pageNumber (-3) cannot be a negative number"),
        ({"listJobs": {"scope": "own", "page": {"size": -3, "number": 0}}}, "pageSize (-3) must be at least 1"),
    ):
        with pytest.raises(OperationFailed) as refusal:
            check_page(operation(value))
        assert refusal.value.message == text
    check_page(operation({"nodes": {}}))


def test_a_page_of_a_result() -> None:
    """The total stays; what has no pages is left as it is."""
    asked = operation({"accounting": {"page": {"size": 2, "number": 1}}})
    result = paged(asked, Accounting(rows=[ROW, replace(ROW, job_id="2"), replace(ROW, job_id="3")], total=3))
    assert isinstance(result, Accounting)
    assert ([row.job_id for row in result.rows], result.total) == (["3"], 3)
    nodes = Nodes(rows=[])
    assert paged(operation({"nodes": {}}), nodes) is nodes
