"""Who used what, from the audit log: counts of what was signed and refused, by user, system, operation and route.

Metrics cannot say it: each user would be a label value more, for ever.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from goldcrest.errors import InvalidInput
from goldcrest_delegation.auditing import Line, add_query_arguments, files_of, find, plain, query_of, told_damage

_COLUMNS: Final = {
    "requester": "requester",
    "run_as": "runAs",
    "system": "system",
    "operation": "operation",
    "route": "route",
}
_BY: Final = "requester,system"
_REST_OF_A_JOB: Final = "slurm."  # what the operator does for a Job that was granted or admitted
_BEGINS_A_JOB: Final = "slurm.submit"


@dataclass(slots=True)
class Use:
    """How often, and when first and last (ISO 8601, UTC)."""

    signed: int = 0
    refused: int = 0
    first: str = ""
    last: str = ""

    def add(self, line: Line) -> None:
        if line.get("outcome") == "signed":
            self.signed += 1
        else:
            self.refused += 1
        at = str(line.get("time", ""))
        self.first, self.last = min(self.first or at, at), max(self.last, at)


def counts(line: Line) -> bool:
    """Whether a line is something that somebody asked for, once: no login, and of a Job what begins it alone.

    A Job made through REST is counted as its grant, which has the route; one made with kubectl as its submission.
    """
    operation, event = str(line.get("operation", "")), line.get("audit")
    if event != "certificate":
        return True
    if operation == "session":
        return False
    if not str(line.get("operation", "")).startswith(_REST_OF_A_JOB):
        return True
    return operation == _BEGINS_A_JOB and not str(line.get("name", "")).startswith("r-")


def summary(lines: Iterable[Line], by: Sequence[str]) -> list[tuple[tuple[str, ...], Use]]:
    """Uses by the values of these columns, most first."""
    found: dict[tuple[str, ...], Use] = {}
    for line in lines:
        key = tuple(str(line.get(_COLUMNS[name]) or "") for name in by)
        found.setdefault(key, Use()).add(line)
    return sorted(found.items(), key=lambda item: (-item[1].signed - item[1].refused, item[0]))


def table(uses: Sequence[tuple[tuple[str, ...], Use]], by: Sequence[str]) -> str:
    """For people."""
    rows = [[*(name.upper().replace("_", " ") for name in by), "SIGNED", "REFUSED", "FIRST (UTC)", "LAST (UTC)"]]
    for key, use in uses:
        times = (use.first[:16].replace("T", " "), use.last[:16].replace("T", " "))
        rows.append([*(plain(value) or "-" for value in key), str(use.signed), str(use.refused), *times])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``usage``."""
    add_query_arguments(parser, since="30d")
    parser.add_argument(
        "--by",
        default=_BY,
        metavar="COLUMNS",
        help=f"comma-separated: {', '.join(_COLUMNS)} (default: {_BY})",
    )
    parser.add_argument("--top", type=int, default=0, metavar="N", help="only the first N rows (default: all)")
    parser.add_argument(
        "--all", action="store_true", help="count logins, and every command that follows from a Job, too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a row, instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """``goldcrest-delegation usage``: 0, or 1 when part of the log could not be read."""
    by = [name.strip() for name in arguments.by.split(",")]
    unknown = [name for name in by if name not in _COLUMNS]
    if unknown:
        raise InvalidInput(f"--by {unknown[0]!r} is none of {', '.join(_COLUMNS)}")
    if arguments.top < 0:
        raise InvalidInput(f"--top {arguments.top} is negative")
    found = find(files_of(arguments), query_of(arguments))
    uses = summary((line for line in found.lines if arguments.all or counts(line)), by)
    uses = uses[: arguments.top or None]
    if arguments.json:
        for key, use in uses:
            row: dict[str, Any] = dict(zip(by, key, strict=True))
            row |= {"signed": use.signed, "refused": use.refused, "first": use.first, "last": use.last}
            sys.stdout.write(orjson.dumps(row).decode() + "\n")
    else:
        sys.stdout.write(table(uses, by) if uses else "no such line\n")
    return told_damage(found)
