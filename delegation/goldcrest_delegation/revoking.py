"""Lines for the revocation file of login nodes: ``goldcrest-delegation revoke``.

A certificate is good for a minute, so this is for the minute after a theft; what stops the next one is the block list. The lines are
those of ssh-keygen's KRL specification, so the same file makes the RevokedKeys of sshd (``ssh-keygen -k``).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from goldcrest.errors import InvalidInput
from goldcrest_delegation.auditing import Line, add_query_arguments, files_of, find, query_of, told_damage

STILL_VALID: Final = "2m"
_SERIALS = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?")
_KEY_ID = re.compile(r"[A-Za-z0-9@._:/-]{1,512}")
_MOST: Final = 2**64 - 1


def serial_line(text: str) -> str:
    """``serial: n`` or ``serial: n-m``.

    Raises:
        InvalidInput: no serial, or a range the wrong way round.
    """
    match = _SERIALS.fullmatch(text)
    first = int(match[1]) if match else 0
    last = int(match[2]) if match and match[2] else first
    if not 0 < first <= last <= _MOST:
        raise InvalidInput(f"{text!r} is neither a serial (1 to {_MOST}) nor a range n-m of them")
    return f"serial: {first}" if first == last else f"serial: {first}-{last}"


def key_id_line(text: str) -> str:
    """``id: text``.

    Raises:
        InvalidInput: no key id of ours.
    """
    if not _KEY_ID.fullmatch(text):
        raise InvalidInput(f"{text!r} is no key id: goldcrest/<requester>/<resource uid or request id>/<trace id>")
    return f"id: {text}"


def lines_of(lines: Iterable[Line]) -> list[str]:
    """A line for each certificate that was signed."""
    return [
        serial_line(str(line["serial"])) for line in lines if line.get("outcome") == "signed" and line.get("serial")
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``revoke``."""
    parser.add_argument("--serial", action="append", default=[], metavar="N[-M]", help="a serial, or a range of them")
    parser.add_argument("--key-id", action="append", default=[], metavar="ID", help="a key id")
    parser.add_argument(
        "--append", type=Path, metavar="PATH", help="add the lines to this file, each once (default: print them)"
    )
    add_query_arguments(parser, since=STILL_VALID)


def run(arguments: argparse.Namespace) -> int:
    """``goldcrest-delegation revoke``: 0, or 1 when part of the log could not be read."""
    lines = [*map(serial_line, arguments.serial), *map(key_id_line, arguments.key_id)]
    status = 0
    query = query_of(arguments, outcome="signed")
    if query.user or query.requester or query.run_as or query.system or query.operation or query.trace:
        found = find(files_of(arguments), query)
        lines += lines_of(found.lines)
        status = told_damage(found)
    elif not lines:
        raise InvalidInput("say what to revoke: --serial, --key-id, or which lines of the audit log, e.g. --user alice")
    _write(list(dict.fromkeys(lines)), arguments.append)
    return status


def _write(lines: Sequence[str], path: Path | None) -> None:
    if path is None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return
    present = path.read_text() if path.exists() else ""
    new = [line for line in lines if line not in present.splitlines()]
    # A new file in its place: a node never reads half of it.
    beside = path.with_name(path.name + ".new")
    beside.write_text(
        present + ("\n" if present and not present.endswith("\n") else "") + "".join(f"{n}\n" for n in new)
    )
    beside.chmod(0o644)
    beside.replace(path)
    sys.stdout.write(f"{len(new)} lines added to {path}; copy it to the revocationFile of every login node\n")
