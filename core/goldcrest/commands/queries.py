"""What people ask of Slurm: listings, history, nodes, partitions, reservations, and ending jobs by their ids.

Their ids are those of contract 5.1, and may name several elements of an array; those in ``slurm.py`` name one job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Payload, check_number, register
from goldcrest.commands.cluster import SlurmCommand, take_cluster
from goldcrest.commands.slurm import Scope, check_scope
from goldcrest.errors import InvalidInput

LIST_LIMIT = 1000  # ids or names in one question
KILL_LIMIT = 100  # ids of one slurm.kill
TAIL_LIMIT = 64 * 1024  # bytes of each of a job's two outputs
ELEMENT_LIMIT = 1000  # elements that N_[A-B] may name

_LISTED_ID = re.compile(r"[0-9]{1,20}(?:[+_][0-9]{1,10}|_\[([0-9]{1,10})-([0-9]{1,10})\])?")
_NODE_NAMES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\[\],-]{0,255}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")


def check_listed_id(job_id: str) -> str:
    """``N``, ``N+M``, ``N_M`` or ``N_[A-B]``, the latter of at most 1000 elements.

    Raises:
        InvalidInput: naming what is wrong.
    """
    match = _LISTED_ID.fullmatch(job_id)
    if match is None:
        raise InvalidInput(f"{job_id!r} is not a job id")
    if match[1] is not None and not 0 <= int(match[2]) - int(match[1]) < ELEMENT_LIMIT:
        raise InvalidInput(f"{job_id!r} does not name 1 to {ELEMENT_LIMIT} elements")
    return job_id


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ListJobs(SlurmCommand):
    """``squeue`` as people read it; with ``details`` also each job's files, and the ends of what it has written so far.

    ``tail_bytes``: of each output; 0 is none.
    """

    scope: Scope
    job_ids: tuple[str, ...] = ()
    details: bool = False
    tail_bytes: int = 0

    op: ClassVar[str] = "slurm.jobs"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster(
            {
                "scope": self.scope,
                "jobIds": list(self.job_ids),
                "details": self.details,
                "tailBytes": self.tail_bytes,
            }
        )

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            scope=check_scope(given.take("scope", str)),
            job_ids=_listed_ids(given.take("jobIds", list), most=LIST_LIMIT),
            details=given.take("details", bool),
            tail_bytes=check_number(given.take("tailBytes", int), name="tailBytes", most=TAIL_LIMIT),
            cluster=take_cluster(given),
        )
        given.done()
        if command.details and command.scope == "all":
            raise InvalidInput("details are given of one's own jobs only")
        if command.tail_bytes and not command.details:
            raise InvalidInput("tailBytes without details")
        return command


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class History(SlurmCommand):
    """``sacct`` as people read it. ``start`` and ``end`` are times of the system, ``YYYY-MM-DDTHH:MM:SS``.

    Without ids and without ``start``, Slurm answers with today's jobs; with ids, whatever their age.
    """

    scope: Scope
    job_ids: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None

    op: ClassVar[str] = "slurm.history"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        args: dict[str, Json] = {"scope": self.scope, "jobIds": list(self.job_ids)}
        if self.start is not None:
            args["start"] = self.start
        if self.end is not None:
            args["end"] = self.end
        return self.on_cluster(args)

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            scope=check_scope(given.take("scope", str)),
            job_ids=_listed_ids(given.take("jobIds", list), most=LIST_LIMIT),
            start=_time(given, "start"),
            end=_time(given, "end"),
            cluster=take_cluster(given),
        )
        given.done()
        if command.start is not None and command.end is not None and command.end < command.start:
            raise InvalidInput(f"the end {command.end} is before the start {command.start}")
        return command


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes(SlurmCommand):
    """``scontrol show nodes``: all, or those of the names (Slurm's ``n[1-4]`` too)."""

    names: tuple[str, ...] = ()

    op: ClassVar[str] = "slurm.nodes"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"names": list(self.names)})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        names = given.take("names", list)
        if len(names) > LIST_LIMIT:
            raise InvalidInput(f"{len(names)} names; at most {LIST_LIMIT} are allowed")
        for name in names:
            if not isinstance(name, str) or not _NODE_NAMES.fullmatch(name):
                raise InvalidInput(f"{name!r} is not the name of a node")
        command = cls(names=tuple(names), cluster=take_cluster(given))
        given.done()
        return command


@dataclass(frozen=True, slots=True, kw_only=True)
class _Everything(SlurmCommand):
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(cluster=take_cluster(given))
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions(_Everything):
    """``scontrol show partitions``, hidden ones too."""

    op: ClassVar[str] = "slurm.partitions"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations(_Everything):
    """``scontrol show reservations``."""

    op: ClassVar[str] = "slurm.reservations"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(SlurmCommand):
    """``scancel -v`` of jobs by their ids; Slurm decides whose a user may end. Ending an ended one is harmless."""

    job_ids: tuple[str, ...]

    op: ClassVar[str] = "slurm.kill"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"jobIds": list(self.job_ids)})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        ids = _listed_ids(given.take("jobIds", list), least=1, most=KILL_LIMIT)
        command = cls(job_ids=ids, cluster=take_cluster(given))
        given.done()
        return command


def _listed_ids(values: list[Any], *, most: int, least: int = 0) -> tuple[str, ...]:
    if not least <= len(values) <= most:
        raise InvalidInput(f"{len(values)} job ids; {least} to {most} are allowed")
    for value in values:
        if not isinstance(value, str):
            raise InvalidInput(f"job id {value!r} is not text")
        check_listed_id(value)
    return tuple(values)


def _time(given: Arguments, name: str) -> str | None:
    value = given.take(name, str, optional=True)
    if value is not None and not _TIME.fullmatch(value):
        raise InvalidInput(f"{name} {value!r} is not of the form YYYY-MM-DDTHH:MM:SS")
    return None if value is None else str(value)
