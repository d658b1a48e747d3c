"""Who used what, from lines of an audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goldcrest_delegation.audit import AuditLine, AuditLog
from goldcrest_delegation.main import main

pytestmark = pytest.mark.unit


def line(requester: str, operation: str, **more: Any) -> AuditLine:
    values: dict[str, Any] = {"event": "certificate", "outcome": "signed", "caller": "x", "system": "daint", **more}
    return AuditLine(requester=requester, run_as=requester, operation=operation, **values)


STAT = "GET /utilities/stat"
LINES = [
    line("alice", "session", route=STAT),
    line("alice", "fs.stat", route=STAT),
    line("alice", "fs.stat", route=STAT),
    line("alice", "fs.stat", route=STAT, outcome="refused", code="PolicyDenied", reason="no"),
    line("alice", "job.create", event="grant", route="POST /compute/jobs/upload", name="r-1"),
    line("alice", "slurm.submit", name="r-1"),
    line("alice", "slurm.release", name="r-1"),
    line("bob", "slurm.submit", name="hello", system="eiger"),
    line("bob", "slurm.release", name="hello", system="eiger"),
    line("bob\x1b[31m", "fs.read", route="GET /utilities/view"),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    with (tmp_path / "out").open("w") as output:
        AuditLog(path, output=output).write(LINES)
    return path


def rows(capsys: pytest.CaptureFixture[str], log: Path, *arguments: str) -> list[dict[str, Any]]:
    assert main(["usage", "--file", str(log), "--json", *arguments]) == 0
    return [json.loads(row) for row in capsys.readouterr().out.splitlines()]


def test_by_user_and_system(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One submission counts once, whichever door it came through; logins do not."""
    found = rows(capsys, log)
    assert [(row["requester"], row["system"], row["signed"], row["refused"]) for row in found] == [
        ("alice", "daint", 3, 1),
        ("bob", "eiger", 1, 0),
        ("bob\x1b[31m", "daint", 1, 0),
    ]
    assert all(row["first"] <= row["last"] and row["first"].startswith("20") for row in found)


def test_by_route(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is used, by anybody; kubectl has no route."""
    found = rows(capsys, log, "--by", "system,route")
    assert [(row["route"], row["signed"]) for row in found] == [
        (STAT, 2),
        ("GET /utilities/view", 1),
        ("POST /compute/jobs/upload", 1),
        ("", 1),
    ]
    assert rows(capsys, log, "--by", "system,route", "--top", "2") == found[:2]


def test_all(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every certificate."""
    (row,) = rows(capsys, log, "--all", "--by", "requester", "--user", "alice")
    assert (row["signed"], row["refused"]) == (6, 1)


def test_table(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people, and nothing in it talks to their terminal."""
    assert main(["usage", "--file", str(log)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == [
        "REQUESTER",
        "SYSTEM",
        "SIGNED",
        "REFUSED",
        "FIRST",
        "(UTC)",
        "LAST",
        "(UTC)",
    ]
    assert "\x1b" not in shown
    assert "bob\\x1b[31m" in shown


def test_a_column_that_there_is_not(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence with those that there are."""
    assert main(["usage", "--file", str(log), "--by", "user"]) == 1
    assert "--by 'user' is none of requester, run_as, system, operation, route" in capsys.readouterr().err


def test_a_damaged_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A summary of half a log must not look whole."""
    with log.open("a") as file:
        file.write("{half\n")
    assert main(["usage", "--file", str(log)]) == 1
    assert "lines are no audit lines" in capsys.readouterr().err
