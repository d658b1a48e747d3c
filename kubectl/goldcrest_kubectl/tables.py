"""What people read: tables and pages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def age(time: str | None, now: datetime) -> str:
    """How long ago, as kubectl says it."""
    if not time:
        return "-"
    seconds = max(0, int((now - datetime.fromisoformat(time)).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def printable(text: object) -> str:
    """One line; what a terminal would take as a command is shown, not done."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in str(text))


def listing(jobs: Sequence[dict[str, Any]], *, with_namespace: bool, now: datetime | None = None) -> str:
    """One line for each job."""
    now = now or datetime.now(UTC)
    head = ["NAME", "PHASE", "SYSTEM", "JOB", "AGE", "WHY"]
    rows = [["NAMESPACE", *head] if with_namespace else head]
    for job in jobs:
        meta, spec, status = job["metadata"], job["spec"], job.get("status") or {}
        row = [
            meta["name"],
            status.get("phase") or "Pending",
            spec["system"],
            status.get("jobId") or "-",
            age(meta.get("creationTimestamp"), now),
            status.get("message") or "-",
        ]
        rows.append([printable(cell) for cell in ([meta["namespace"], *row] if with_namespace else row)])
    return table(rows)


def page(job: dict[str, Any], *, now: datetime | None = None) -> str:
    """Why a job is where it is: everything that was said about it."""
    now = now or datetime.now(UTC)
    meta, spec, status = job["metadata"], job["spec"], job.get("status") or {}
    scheduler, files = status.get("scheduler") or {}, status.get("files") or {}
    facts: list[tuple[str, object]] = [
        ("Job", f"{meta['namespace']}/{meta['name']}"),
        ("Phase", status.get("phase") or "Pending"),
        ("Why", status.get("message")),
        ("System", f"{spec['system']}, as {spec['runAs']}"),
        ("Job id", status.get("jobId")),
        ("Scheduler", " ".join(filter(None, (scheduler.get("state"), _reason(scheduler.get("reason")))))),
        ("Expected", status.get("expectedStartTime")),
        ("Submitted", _when(status.get("submitTime"), now)),
        ("Started", _when(status.get("startTime"), now)),
        ("Ended", _when(status.get("endTime"), now)),
        ("Exit code", status.get("exitCode")),
        ("Output", files.get("stdout")),
        ("Errors", files.get("stderr") if files.get("stderr") != files.get("stdout") else None),
    ]
    lines = [f"{name + ':':<12}{printable(value)}" for name, value in facts if value not in (None, "")]
    conditions = [c for c in status.get("conditions") or [] if c.get("status") != "False"]
    if conditions:
        head = ["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]
        rows = [
            [
                printable(cell)
                for cell in (
                    condition["type"],
                    condition["status"],
                    condition.get("reason") or "-",
                    age(condition.get("lastTransitionTime"), now),
                    condition.get("message") or "-",
                )
            ]
            for condition in conditions
        ]
        lines += ["", table([head, *rows]).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _reason(reason: str | None) -> str | None:
    return f"({reason})" if reason and reason != "None" else None


def _when(time: str | None, now: datetime) -> str | None:
    return f"{time} ({age(time, now)} ago)" if time else None
