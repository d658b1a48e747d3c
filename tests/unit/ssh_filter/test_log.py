"""Lines for syslog."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_values_cannot_leave_their_place(f: Any, value: Any) -> None:
    """Whatever a value holds, its form is one plain word or one JSON text: printable ASCII, no blank outside quotes."""
    escaped = f.Log.escape(value)
    assert re.fullmatch(r'[A-Za-z0-9_.:/@,+-]+|"([ !#-\[\]-~]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*"', escaped), escaped


def test_terminal_escapes_are_visible(f: Any) -> None:
    """Somebody reads the log on a terminal: nothing in it may speak to that terminal."""
    assert f.Log.escape("a\x1b[2J\nb\x9b") == '"a\\u001b[2J\\nb\\u009b"'


def test_long_values_are_cut(f: Any) -> None:
    """A line stays within what syslog takes."""
    assert len(f.Log.escape("x" * 100000)) < 1100


def test_line(f: Any, tmp_path: Path) -> None:
    """Priority authpriv.info, time, name, process, and fields in order."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        log = f.Log(str(tmp_path / "log"), user="alice")
        log.info("open", serial=5)
        log.warning("refused", reason="key")
        lines = [server.recv(4096).decode() for _ in range(2)]
    assert re.fullmatch(
        r"<86>[A-Z][a-z]{2} [ 1-3][0-9] [0-9:]{8} goldcrest-ssh-filter\[[0-9]+\]: event=open user=alice serial=5",
        lines[0],
    )
    assert lines[1].startswith("<84>")


def test_without_syslog_the_work_goes_on(f: Any, tmp_path: Path) -> None:
    """No socket there, and one that appears later: neither raises, and the later one is used."""
    log = f.Log(str(tmp_path / "log"))
    log.info("lost")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        log.info("seen")
        assert b"event=seen" in server.recv(4096)
    log.info("lost again")


def test_a_full_syslog_does_not_delay(f: Any, tmp_path: Path) -> None:
    """A daemon that does not read: lines are dropped instead of waiting for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        log = f.Log(str(tmp_path / "log"))
        for _ in range(2000):
            log.info("flood", text="x" * 500)
