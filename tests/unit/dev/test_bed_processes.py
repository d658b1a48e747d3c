"""A process is known by pid and start time: a reused pid is somebody else."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import pytest

from goldcrest_bed import processes

pytestmark = pytest.mark.unit


def sleeper(folder: Path, mark: str, code: str = "import time; time.sleep(60)") -> processes.ProcessRecord:
    return processes.spawn(
        [sys.executable, "-c", code], env=dict(os.environ), cwd=None, log=folder / "log", mark=mark, digest="d"
    )


def test_start_time_is_read_past_a_name_with_blanks_and_parentheses() -> None:
    fields = " ".join(str(number) for number in range(1, 50))
    assert processes.parse_stat(f"12 (a b) c)) S {fields}") == 19


def test_a_zombie_is_not_alive() -> None:
    assert processes.parse_stat("12 (x) Z " + " ".join(["0"] * 49)) is None


def test_another_process_with_the_same_pid_is_not_it(tmp_path: Path) -> None:
    record = sleeper(tmp_path, "test-reuse;")
    try:
        assert record.alive()
        assert not dataclasses.replace(record, start_ticks=record.start_ticks + 1).alive()
        assert not dataclasses.replace(record, boot_id="another boot").alive()
    finally:
        processes.end(record.pid)
    assert not record.alive()


def test_a_record_survives_saving_and_a_broken_file_is_none(tmp_path: Path) -> None:
    record = processes.ProcessRecord(pid=1, start_ticks=2, boot_id="b", digest="d")
    record.save(tmp_path / "p.json")
    assert processes.ProcessRecord.load(tmp_path / "p.json") == record
    (tmp_path / "p.json").write_text('{"pid": 1}')
    assert processes.ProcessRecord.load(tmp_path / "p.json") is None


def test_a_process_without_record_is_found_by_its_mark(tmp_path: Path) -> None:
    record = sleeper(tmp_path, f"{tmp_path}:part;")
    try:
        deadline = time.monotonic() + 5  # its environment shows a moment after it was started
        while list(processes.marked(f"{tmp_path}:part;")) != [record.pid]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert list(processes.marked(f"{tmp_path}:par;")) == []
    finally:
        processes.end(record.pid)


def test_end_takes_the_group_and_kills_what_ignores_term(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    record = sleeper(tmp_path, "test-end;", code)
    while not (text := (tmp_path / "log").read_text()).strip():
        time.sleep(0.01)
    processes.end(record.pid, grace=0.2)
    assert not record.alive()
    deadline = time.monotonic() + 5  # a killed process needs a moment to be gone
    while _state(int(text)) not in ("", "Z"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _state(pid: int) -> str:
    """The letter of proc(5), empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def test_the_former_log_is_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before")
    processes.end(sleeper(tmp_path, "test-log;").pid)
    assert (tmp_path / "log.1").read_text() == "before"
