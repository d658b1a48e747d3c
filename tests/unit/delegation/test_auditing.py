from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from goldcrest.errors import InvalidInput
from goldcrest_delegation.auditing import Query, find, parse_when, table, with_rotated
from goldcrest_delegation.main import main

pytestmark = pytest.mark.unit

NOW = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def line(minutes: float, **changes: Any) -> dict[str, Any]:
    """An audit line of so many minutes ago."""
    return {
        "time": (NOW - timedelta(minutes=minutes)).isoformat(timespec="milliseconds"),
        "audit": "certificate",
        "outcome": "signed",
        "requester": "alice",
        "runAs": "alice",
        "system": "cluster",
        "operation": "slurm.submit",
        "serial": str(1000 + int(minutes)),
        "namespace": "team",
        "name": "hello",
        "trace_id": TRACE,
        **changes,
    }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with two rotated parts."""
    path = tmp_path / "audit.jsonl"

    def data(*lines: dict[str, Any]) -> bytes:
        return b"".join(json.dumps(each).encode() + b"\n" for each in lines)

    (tmp_path / "audit.jsonl.2.gz").write_bytes(gzip.compress(data(line(3000), line(2000, runAs="bob"))))
    (tmp_path / "audit.jsonl-20300102").write_bytes(data(line(60), line(50, requester="gitops")))
    (tmp_path / "audit.jsonl.lock").write_bytes(b"no log")
    path.write_bytes(
        data(line(2), line(1, outcome="refused", code="Blocked", reason="alice is blocked\x1b[2J", serial=""))
    )
    return path


def test_who_ran_what_as_whom(log: Path) -> None:
    """Lines of rotated and compressed parts too, in the order of their times; by requester or Unix user, since a time."""
    files = with_rotated(log)
    assert [path.name for path in files] == ["audit.jsonl-20300102", "audit.jsonl.2.gz", "audit.jsonl"]
    times = [each["time"] for each in find(files, Query(user="alice")).lines]
    assert len(times) == 6
    assert times == sorted(times)
    assert len(find(files, Query(user="bob")).lines) == 1
    assert len(find(files, Query(run_as="alice", since=NOW - timedelta(hours=2))).lines) == 4
    assert len(find(files, Query(requester="gitops", until=NOW - timedelta(hours=2))).lines) == 0
    assert [each["serial"] for each in find(files, Query(serial="1050")).lines] == ["1050"]
    assert find(files, Query(outcome="refused", system="cluster", operation="slurm.submit", trace=TRACE)).lines
    assert not find(files, Query(system="other")).lines


def test_the_table(log: Path) -> None:
    """One line each under its titles; a refusal says why; nothing in it can talk to a terminal."""
    shown = table(find([log], Query()).lines).splitlines()
    assert shown[0].split() == [
        "TIME",
        "(UTC)",
        "REQUESTER",
        "RUN",
        "AS",
        "SYSTEM",
        "OPERATION",
        "OUTCOME",
        "SERIAL",
        "FOR",
        "TRACE",
    ]
    assert shown[1].split() == [
        *("2030-01-02", "11:58:00", "alice", "alice", "cluster", "slurm.submit", "signed", "1002", "team/hello", TRACE),
    ]
    assert shown[3] == r"    Blocked: alice is blocked\x1b[2J"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("7d", NOW - timedelta(days=7)),
        ("2030-01-01", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T10:00+02:00", datetime(2030, 1, 1, 8, tzinfo=UTC)),
        ("2030-01-01T10:00Z", datetime(2030, 1, 1, 10, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    """Absolute or how long ago."""
    assert parse_when(text, now=NOW) == expected


def test_bad_times() -> None:
    """Something else is refused with examples."""
    with pytest.raises(InvalidInput, match=r"neither a time .* nor how long ago"):
        parse_when("yesterday", now=NOW)


def test_a_damaged_line_is_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer from a log with gaps does not look whole: it says where, and the exit status is 1."""
    with log.open("ab") as file:
        file.write(b'{"time": "2030-01-02T\n')
    assert main(["audit", "--file", str(log), "--json", "--outcome", "signed"]) == 1
    shown = capsys.readouterr()
    assert [json.loads(text)["serial"] for text in shown.out.splitlines()] == ["1002"]
    assert f"1 lines are no audit lines, the first is {log}:3" in shown.err


def test_a_missing_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a log, or without saying which, that is said."""
    assert main(["audit", "--file", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["audit"]) == 2
    assert "GOLDCREST_DELEGATION_AUDIT_FILE: Field required" in capsys.readouterr().err
