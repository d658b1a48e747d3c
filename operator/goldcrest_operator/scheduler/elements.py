"""The elements of an array, as rows of the scheduler name them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from goldcrest.commands.outputs import AccountRow, JobRecord, QueueRow
from goldcrest_operator.scheduler.interface import Element

MOST = 100_000
"""Elements that are looked at one by one; Slurm's own MaxArraySize is rarely above it."""
_PART = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10})(?::([0-9]{1,10}))?)?")


def elements_of(rows: Iterable[QueueRow | AccountRow | JobRecord]) -> tuple[Element, ...]:
    """By index; one row may stand for many elements that wait (``12_[4-9%2]``)."""
    found: dict[int, Element] = {}
    for row in rows:
        code = None if isinstance(row, QueueRow) else row.exit_code
        signal = None if isinstance(row, QueueRow) else row.signal
        for index in indexes(_index(row)):
            if len(found) < MOST:
                found[index] = Element(index, row.state, code, signal)
    return tuple(found[index] for index in sorted(found))


def _index(row: QueueRow | AccountRow | JobRecord) -> str:
    if isinstance(row, AccountRow):
        return row.job_id.partition("_")[2]
    return row.array_index or ""


def indexes(text: str) -> Iterator[int]:
    """``0-3,7`` and ``[4-9:2%3]`` one by one; what is no index is passed over."""
    seen = 0
    for part in text.strip("[]").partition("%")[0].split(","):
        match = _PART.fullmatch(part)
        if match is None:
            continue
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        for index in range(first, last + 1, max(step, 1)):
            seen += 1
            if seen > MOST:
                return
            yield index


def ranges(numbers: Iterable[int]) -> Iterator[str]:
    """``0-3``, ``7``: sorted numbers in the short form, piece by piece."""
    ordered = sorted(numbers)
    if not ordered:
        return
    begin = ordered[0]
    for one, following in pairwise([*ordered, ordered[-1] + 2]):
        if following != one + 1:
            yield str(begin) if begin == one else f"{begin}-{one}"
            begin = following
