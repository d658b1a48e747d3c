"""Results of Tasks: rows with types on both sides of etcd, where they are JSON with the keys that Kubernetes' users expect.

    {"jobs": [{"jobId", …, "detail": {…}}], "total": n}   {"accounting": […], "total": n}
    {"nodes": […]}   {"partitions": […]}   {"reservations": […]}   {"cancelled": "what scancel said"}

``total`` counts all that there are, on every page. The operator writes them, the gateway reads them, and people with kubectl.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

import orjson
from pydantic.alias_generators import to_camel

from goldcrest.commands.listings import HistoryRow, JobDetail, ListedJob
from goldcrest.commands.records import NodeRow, PartitionRow, ReservationRow
from goldcrest.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Rows of the queue; ``details`` by job id, where they were asked for."""

    jobs: Sequence[ListedJob]
    total: int
    details: Mapping[str, JobDetail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Rows of accounting."""

    rows: Sequence[HistoryRow]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Nodes."""

    rows: Sequence[NodeRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """Partitions."""

    rows: Sequence[PartitionRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations:
    """Reservations."""

    rows: Sequence[ReservationRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What the scheduler said of a cancelling."""

    text: str


Result = Jobs | Accounting | Nodes | Partitions | Reservations | Cancelled

Row = ListedJob | JobDetail | HistoryRow | NodeRow | PartitionRow | ReservationRow
_R = TypeVar("_R", ListedJob, JobDetail, HistoryRow, NodeRow, PartitionRow, ReservationRow)


def encode(result: Result) -> bytes:
    """As JSON, the same bytes for the same result."""
    value: dict[str, Any]
    match result:
        case Jobs(jobs=jobs, total=total, details=details):
            value = {"jobs": [_with_detail(job, details) for job in jobs], "total": total}
        case Accounting(rows=rows, total=total):
            value = {"accounting": [_dump(row) for row in rows], "total": total}
        case Nodes(rows=rows):
            value = {"nodes": [_dump(row) for row in rows]}
        case Partitions(rows=rows):
            value = {"partitions": [_dump(row) for row in rows]}
        case Reservations(rows=rows):
            value = {"reservations": [_dump(row) for row in rows]}
        case Cancelled(text=text):
            value = {"cancelled": text}
    return orjson.dumps(value)


def decode(content: bytes) -> Result:
    """
    Raises:
        InvalidInput: it is not of the form that :func:`encode` gives (another release wrote it).
    """
    try:
        return _load(orjson.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"the result is not in a form that this release knows: {type(error).__name__}") from error


def _load(value: Mapping[str, Any]) -> Result:
    match value:
        case {"jobs": jobs, "total": int(total)}:
            details = {job["jobId"]: _row(JobDetail, job["detail"]) for job in jobs if "detail" in job}
            return Jobs(jobs=[_row(ListedJob, job) for job in jobs], total=total, details=details)
        case {"accounting": rows, "total": int(total)}:
            return Accounting(rows=[_row(HistoryRow, row) for row in rows], total=total)
        case {"nodes": rows}:
            return Nodes(rows=[_row(NodeRow, row) for row in rows])
        case {"partitions": rows}:
            return Partitions(rows=[_row(PartitionRow, row) for row in rows])
        case {"reservations": rows}:
            return Reservations(rows=[_row(ReservationRow, row) for row in rows])
        case {"cancelled": str(text)}:
            return Cancelled(text=text)
    raise KeyError("none of the known keys")


def _with_detail(job: ListedJob, details: Mapping[str, JobDetail]) -> dict[str, Any]:
    detail = details.get(job.job_id)
    return _dump(job) if detail is None else {**_dump(job), "detail": _dump(detail)}


def _dump(row: Row) -> dict[str, Any]:
    return {to_camel(name): value for name, value in asdict(row).items() if value is not None}


def _row(kind: type[_R], value: Mapping[str, Any]) -> _R:
    """What is not known is left out, as is ``detail``; what is None was not written."""
    given: dict[str, Any] = {name: value.get(to_camel(name)) for name in _names(kind)}
    for name, item in given.items():
        if isinstance(item, list):
            given[name] = tuple(item)
    return kind(**given)


def _names(kind: type[Row]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))
