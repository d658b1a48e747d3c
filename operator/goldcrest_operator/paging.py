"""Pages of listings, in the contract's words (5.4), whatever the scheduler is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from goldcrest.models.task import Operation, Page
from goldcrest.task_results import Accounting, Jobs, Result
from goldcrest_operator.scheduler.interface import OperationFailed

_T = TypeVar("_T")


def check_page(operation: Operation) -> None:
    """
    Raises:
        OperationFailed: there is no such page of any listing.
    """
    page = _page(operation)
    if page is not None and page.number < 0:
        raise OperationFailed(f"pageNumber ({page.number}) cannot be a negative number")
    if page is not None and page.size < 1:
        raise OperationFailed(f"pageSize ({page.size}) must be at least 1")


def paged(operation: Operation, result: Result) -> Result:
    """What was asked for of a whole listing; ``total`` stays.

    Raises:
        OperationFailed: there is no such page.
    """
    page = _page(operation)
    if page is None:
        return result
    if isinstance(result, Jobs):
        return replace(result, jobs=page_of(result.jobs, page))
    return replace(result, rows=page_of(result.rows, page)) if isinstance(result, Accounting) else result


def page_of(rows: Sequence[_T], page: Page) -> Sequence[_T]:
    """Those of one page, which counts from 0.

    Raises:
        OperationFailed: there is no such page.
    """
    pages = max(1, -(-len(rows) // page.size))
    if page.number >= pages:
        raise OperationFailed(f"pageNumber ({page.number}) is greater than total pages ({pages})")
    return rows[page.number * page.size : (page.number + 1) * page.size]


def _page(operation: Operation) -> Page | None:
    if operation.list_jobs is not None:
        return operation.list_jobs.page
    return operation.accounting.page if operation.accounting is not None else None
