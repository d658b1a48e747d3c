"""Tasks for which several wait: one that opens a connection, or a channel."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

_T = TypeVar("_T")


async def result_of(task: asyncio.Task[_T], *, cancelled: Exception) -> _T:
    """What a task came to, when its own callbacks have run.

    Not ``await shield(task)``. That is no pause where the task is done, so that what its callbacks keep account of stays as it was, and who
    then asks again, asks for ever; and where it is cancelled, it cancels whoever waits.

    Args:
        cancelled: what it means that it was cancelled.
    """
    await asyncio.wait((task,))
    if task.cancelled():
        raise cancelled
    return task.result()


def mark_retrieved(future: asyncio.Future[Any]) -> None:
    """A callback: whoever is to know of its error is told in another way, or there is nobody any more."""
    if not future.cancelled():
        future.exception()
