"""What jobs used: the command, and how accounting's answer is read (sacct(1), with the rows of steps)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Payload, register
from goldcrest.commands.cluster import SlurmCommand, take_cluster
from goldcrest.commands.outputs import SEPARATOR, base_id
from goldcrest.commands.slurm import Scope, check_job_ids, check_scope

USAGE_LIMIT: Final = 100  # ids of one slurm.usage: a job may have thousands of steps
_FIELDS: Final = 7
_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@register
@dataclass(frozen=True, slots=True)
class JobUsage(SlurmCommand):
    """``sacct`` of some jobs that have ended, with their steps."""

    scope: Scope
    job_ids: tuple[str, ...]

    op: ClassVar[str] = "slurm.usage"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return self.on_cluster({"scope": self.scope, "jobIds": list(self.job_ids)})

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_scope(given.take("scope", str)),
            check_job_ids(given.take("jobIds", list), least=1, most=USAGE_LIMIT),
            cluster=take_cluster(given),
        )
        given.done()
        return command


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """What a job used, all its elements together.

    Args:
        ended: whether accounting knows the end of all of it.
        cpu_seconds: of all processes; None where the site gathers none.
        max_rss_bytes: most resident memory of one task of any step.
    """

    job_id: str
    user: str
    ended: bool
    elapsed: int | None
    cpu_seconds: int | None
    max_rss_bytes: int | None


def parse_usage(text: str) -> dict[str, UsageRecord]:
    """Records by job id, of sacct's rows in the format of docs/protocol.md: jobs, and steps with a dot in their id."""
    rows: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        fields = line.split(SEPARATOR)
        if len(fields) == _FIELDS and base_id(fields[0]).isdigit():
            rows.setdefault(base_id(fields[0]), []).append(fields)
    return {job_id: _record(job_id, found) for job_id, found in rows.items()}


def _record(job_id: str, rows: list[list[str]]) -> UsageRecord:
    whole = [row for row in rows if "." not in row[0]]  # a step has its job's own times once more
    elapsed = [int(row[4]) for row in whole if row[4].isdigit()]
    times = [seconds for row in whole if (seconds := cpu_time(row[5])) is not None]
    memory = [size for row in rows if (size := byte_size(row[6])) is not None]
    return UsageRecord(
        job_id=job_id,
        user=next((row[1] for row in whole), ""),
        ended=bool(whole) and all(row[3] not in ("", "Unknown", "None") for row in whole),
        elapsed=max(elapsed, default=None),
        cpu_seconds=round(sum(times)) if times else None,
        max_rss_bytes=max(memory, default=None),
    )


def cpu_time(text: str) -> float | None:
    """Seconds of ``[days-[hours:]]minutes:seconds[.thousandths]``; None when it is none."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        return None
    days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])


def byte_size(text: str) -> int | None:
    """Bytes of ``123456K``, ``1.50G``; None when it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.strip())
    return round(float(match[1]) * _UNITS[match[2]]) if match else None
