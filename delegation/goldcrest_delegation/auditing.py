"""Who ran what as whom, from the audit log (T13): ``goldcrest-delegation audit``."""

from __future__ import annotations

import argparse
import gzip
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from goldcrest.errors import InvalidInput
from goldcrest.settings import read_settings
from goldcrest_delegation.settings import ENVIRONMENT_PREFIX, AuditSettings

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS: Final = (
    ("TIME (UTC)", "time"),
    ("REQUESTER", "requester"),
    ("RUN AS", "runAs"),
    ("SYSTEM", "system"),
    ("OPERATION", "operation"),
    ("OUTCOME", "outcome"),
    ("SERIAL", "serial"),
    ("FOR", "for"),
    ("TRACE", "trace_id"),
)

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which lines are wanted; empty text matches all.

    Args:
        user: requester or Unix user.
        since, until: the first is inclusive, the second exclusive.
    """

    user: str = ""
    requester: str = ""
    run_as: str = ""
    system: str = ""
    operation: str = ""
    outcome: str = ""
    serial: str = ""
    trace: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, line: Line, at: datetime) -> bool:
        exact = {
            "requester": self.requester,
            "runAs": self.run_as,
            "system": self.system,
            "operation": self.operation,
            "outcome": self.outcome,
            "serial": self.serial,
            "trace_id": self.trace,
        }
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (not self.user or self.user in (line.get("requester"), line.get("runAs")))
            and all(not wanted or line.get(name) == wanted for name, wanted in exact.items())
        )


@dataclass(slots=True)
class Found:
    """Lines in the order of their times, and where something could not be read."""

    lines: list[Line] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def find(paths: Sequence[Path], query: Query) -> Found:
    """All lines that match.

    Args:
        paths: audit logs; also compressed with gzip (``.gz``).

    Raises:
        InvalidInput: a file cannot be read.
    """
    found, timed = Found(), []
    for path in paths:
        for number, data in _lines(path):
            try:
                line = orjson.loads(data)
                at = datetime.fromisoformat(line["time"])
                if query.matches(line, at):
                    timed.append((at, line))
            except (ValueError, TypeError, KeyError):
                found.damaged.append(f"{path}:{number}")
    found.lines = [line for _, line in sorted(timed, key=lambda pair: pair[0])]
    return found


def with_rotated(path: Path) -> list[Path]:
    """A log and what logrotate(8) made of its earlier parts: ``audit.jsonl.1``, ``audit.jsonl.2.gz``, ``audit.jsonl-20300102``."""
    pattern = re.compile(re.escape(path.name) + r"[.-][0-9]+(\.gz)?")
    earlier = [other for other in path.parent.glob("*") if pattern.fullmatch(other.name)]
    return [*sorted(earlier), path]


def parse_when(text: str, *, now: datetime) -> datetime:
    """A time as ISO 8601 (UTC unless it says otherwise), or how long ago: ``90s``, ``15m``, ``12h``, ``7d``, ``2w``.

    Raises:
        InvalidInput: neither.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is neither a time (2030-01-02 or 2030-01-02T03:04:05Z) nor how long ago (15m, 12h, 7d)"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def table(lines: Iterable[Line]) -> str:
    """Lines for people; a refused one is followed by its reason."""
    rows = [([title for title, _ in _COLUMNS], "")]
    rows += [([_cell(line, key) for _, key in _COLUMNS], _refusal(line)) for line in lines]
    widths = [max(len(row[column]) for row, _ in rows) for column in range(len(_COLUMNS))]
    shown = []
    for row, refusal in rows:
        shown.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if refusal:
            shown.append(f"    {refusal}")
    return "\n".join(shown) + "\n"


def add_query_arguments(parser: argparse.ArgumentParser, *, since: str | None = None) -> None:
    """Options that choose lines."""
    parser.add_argument("--user", default="", help="asked by this requester, or run as this Unix user")
    parser.add_argument("--requester", default="", help="asked by this requester")
    parser.add_argument("--run-as", default="", help="run as this Unix user")
    parser.add_argument("--system", default="", help="on this system")
    parser.add_argument("--operation", default="", metavar="OP", help="of this operation, e.g. slurm.submit")
    parser.add_argument("--trace", default="", metavar="ID", help="of this trace (32 hex digits)")
    told = f" (default: {since})" if since else ""
    parser.add_argument(
        "--since", default=since, metavar="TIME", help=f"from then on: 2030-01-02T03:04Z, 15m, 7d{told}"
    )
    parser.add_argument("--until", metavar="TIME", help="before then")
    parser.add_argument(
        "--file",
        action="append",
        type=Path,
        metavar="PATH",
        help=f"audit log, may be given again (default: {ENVIRONMENT_PREFIX}AUDIT_FILE and its rotated parts)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``audit``."""
    add_query_arguments(parser)
    parser.add_argument("--outcome", choices=("signed", "refused"), default="", help="only these")
    parser.add_argument("--serial", default="", metavar="N", help="of the certificate with this serial")
    parser.add_argument("--json", action="store_true", help="whole lines as they were written, instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """``goldcrest-delegation audit``: 0, or 1 when part of the log could not be read."""
    found = find(files_of(arguments), query_of(arguments, outcome=arguments.outcome, serial=arguments.serial))
    if arguments.json:
        for line in found.lines:
            sys.stdout.write(orjson.dumps(line).decode() + "\n")
    elif found.lines:
        sys.stdout.write(table(found.lines))
    else:
        sys.stdout.write("no such line\n")
    return told_damage(found)


def files_of(arguments: argparse.Namespace) -> list[Path]:
    """The logs to read."""
    return arguments.file or with_rotated(read_settings(AuditSettings).audit_file)


def query_of(arguments: argparse.Namespace, **more: str) -> Query:
    """What the options mean."""
    now = datetime.now(UTC)
    return Query(
        user=arguments.user,
        requester=arguments.requester,
        run_as=arguments.run_as,
        system=arguments.system,
        operation=arguments.operation,
        trace=arguments.trace,
        since=parse_when(arguments.since, now=now) if arguments.since else None,
        until=parse_when(arguments.until, now=now) if arguments.until else None,
        **more,
    )


def told_damage(found: Found) -> int:
    """Exit status, after saying what could not be read: an answer from half a log must not look whole."""
    if not found.damaged:
        return 0
    sys.stderr.write(
        f"goldcrest-delegation: {len(found.damaged)} lines are no audit lines, the first is {found.damaged[0]}; "
        "the answer lacks them\n"
    )
    return 1


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    opened = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opened(path, "rb") as file:
            for number, data in enumerate(file, 1):
                if data.strip():
                    yield number, data
    except (OSError, EOFError) as error:
        raise InvalidInput(f"the audit log {path} cannot be read: {error}") from error


def _cell(line: Line, key: str) -> str:
    if key == "time":
        return datetime.fromisoformat(line["time"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if key == "for":
        value = f"{line.get('namespace') or ''}/{line.get('name') or ''}".strip("/")
    else:
        value = str(line.get(key) or "")
    return plain(value) or "-"


def _refusal(line: Line) -> str:
    if line.get("outcome") != "refused":
        return ""
    rule = f" [{plain(str(line['rule']))}]" if line.get("rule") else ""
    return f"{plain(str(line.get('code', '')))}: {plain(str(line.get('reason', '')))}{rule}"


def plain(text: str) -> str:
    """Nothing that talks to a terminal: names come from tokens."""
    return "".join(
        character if not unicodedata.category(character).startswith("C") else f"\\x{ord(character):02x}"
        for character in text
    )
