"""Names as ls writes them between quotes, and back."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest_api.dialects.firecrest_v1.c_quotes import escaped, quoted, unescaped

pytestmark = pytest.mark.unit

NAMES = [
    b"plain", b"with space", b"quo\"te", b"apos'trophe", b"new\nline", b"tab\tand\x07bell", b"back\\slash", b"\\n", b"-dash",
    "ünïcödé-日本".encode(), b"\xff\xfe", b"half-\xc3", b"esc\x1b[31m", b"\x7f", b"n" * 255, b"$HOME `id` *?",
]  # fmt: skip


def test_as_the_real_ls(tmp_path: Path) -> None:
    """Byte for byte, for names of each kind."""
    for name in NAMES:
        (Path(os.fsdecode(bytes(tmp_path) + b"/" + name))).touch()
    real = subprocess.run(
        ["ls", "-A", "--quoting-style=c", str(tmp_path)],
        capture_output=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        check=True,
    ).stdout.decode()
    assert sorted(map(quoted, NAMES)) == sorted(real.splitlines())


@pytest.mark.parametrize("name", [name for name in NAMES if b"\\" not in name])
def test_as_the_contract_takes_a_line_apart(name: bytes) -> None:
    """A shell's word list of the quoted name is the name of the record; only a backslash stays doubled here, so that it can be undone."""
    assert shlex.split(quoted(name)) == [escaped(name)]


@given(st.binary(min_size=1, max_size=255))
def test_back_and_forth(name: bytes) -> None:
    """Any name can be written, and is the same when it is read again."""
    assert unescaped(escaped(name)) == name
    assert escaped(name).isprintable()


@pytest.mark.parametrize("text", ["\\", "a\\", "\\x41", "\\9", "\\12", "\\777", "\\q"])
def test_what_is_no_escape(text: str) -> None:
    """Refused, not guessed."""
    with pytest.raises(ValueError, match="no escape"):
        unescaped(text)
