"""What Slurm's programs print for people's questions, read into rows of contract 5.4 and 5.5. Pure: text in, frozen rows out.

Their values stay as Slurm prints them. A row that does not have its fields is left out, as in ``outputs.py``. Formats: docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from goldcrest.commands.outputs import SEPARATOR, base_id

LISTING_FIELDS: Final = 12
HISTORY_FIELDS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob:
    """One line of the listing: a job, the waiting elements of an array (``12_[4-9]``), or one that has started."""

    job_id: str
    base_id: str
    array_index: str | None
    partition: str
    name: str
    user: str
    state: str
    start: str
    """When it started, or is expected to: the system's time, ``N/A`` where nobody knows."""
    elapsed: str
    time_left: str
    nodes: str
    node_list: str
    """The nodes of one that runs, the reason (in parentheses) of one that waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """The files of a job, with file name patterns resolved. What Slurm or the file system does not tell is None or empty."""

    job_id: str
    command: str | None
    stdout: str | None
    stderr: str | None
    stdout_tail: str
    stderr_tail: str
    error: str | None
    """Slurm's words where it does not show the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One job, or element of an array, as accounting shows it."""

    job_id: str
    partition: str
    name: str
    user: str
    state: str
    start: str
    cpu_time: str
    end: str
    nodes: str
    node_list: str
    exit_code: str
    elapsed: str


def parse_listing(text: str) -> tuple[ListedJob, ...]:
    """Rows of ``slurm.jobs``. The name comes last: whatever its owner put into it stays in it."""
    rows = []
    for line in text.split("\n"):
        fields = line.split(SEPARATOR, LISTING_FIELDS - 1)
        if len(fields) != LISTING_FIELDS or not _is_job(fields[0], fields[1]):
            continue
        rows.append(
            ListedJob(
                job_id=fields[0],
                base_id=fields[1],
                array_index=None if fields[2] in ("N/A", "") else fields[2],
                partition=fields[3],
                user=fields[4],
                state=fields[5],
                elapsed=fields[6],
                start=fields[7],
                time_left=fields[8],
                nodes=fields[9],
                node_list=fields[10],
                name=fields[11],
            )
        )
    return tuple(rows)


def parse_history(text: str) -> tuple[HistoryRow, ...]:
    """Rows of ``slurm.history``. The name comes last."""
    rows = []
    for line in text.split("\n"):
        fields = line.split(SEPARATOR, HISTORY_FIELDS - 1)
        if len(fields) != HISTORY_FIELDS or not _is_job(fields[0], base_id(fields[0])):
            continue
        rows.append(
            HistoryRow(
                job_id=fields[0],
                partition=fields[1],
                user=fields[2],
                state=fields[3],
                start=fields[4],
                cpu_time=fields[5],
                end=fields[6],
                nodes=fields[7],
                node_list=fields[8],
                exit_code=fields[9],
                elapsed=fields[10],
                name=fields[11],
            )
        )
    return tuple(rows)


def parse_details(jobs: Sequence[Mapping[str, Any]]) -> Mapping[str, JobDetail]:
    """The list ``jobs`` of an answer to ``slurm.jobs``, by the job id of the listing."""
    return {
        str(job["jobId"]): JobDetail(
            job_id=str(job["jobId"]),
            command=_path(job.get("command")),
            stdout=_path(job.get("stdout")),
            stderr=_path(job.get("stderr")),
            stdout_tail=str(job.get("stdoutTail") or ""),
            stderr_tail=str(job.get("stderrTail") or ""),
            error=str(job["error"]) if job.get("error") else None,
        )
        for job in jobs
    }


def _is_job(job_id: str, base: str) -> bool:
    return base.isascii() and base.isdigit() and (job_id == base or job_id[len(base) : len(base) + 1] in ("_", "+"))


def _path(value: Any) -> str | None:
    return str(value) if value not in (None, "", "(null)") else None
