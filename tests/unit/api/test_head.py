"""What head and grep would print."""

from __future__ import annotations

import subprocess

import pytest

from goldcrest_api.dialects.firecrest_v1.head import count, first_bytes, first_lines, matching_lines

pytestmark = pytest.mark.unit

CONTENTS = [b"", b"one", b"one\n", b"one\ntwo\r three\n\nlast", b"\n\n\n", b"a\rb\n"]


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("number", ["0", "1", "2", "3", "100", "-1", "-2", "-100", "1K"])
def test_as_the_real_head(content: bytes, number: str) -> None:
    """Bytes and lines, from the beginning and without the end."""
    for option, ours in (("--lines", first_lines), ("--bytes", first_bytes)):
        real = subprocess.run(["head", f"{option}={number}"], input=content, capture_output=True, check=True).stdout
        assert ours(content, count(number)) == real


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("pattern", ["o", "two", "x", "."])
def test_as_the_real_grep(content: bytes, pattern: str) -> None:
    """Fixed strings, each line with a newline."""
    real = subprocess.run(["grep", "--fixed-strings", f"--regexp={pattern}"], input=content, capture_output=True).stdout
    assert matching_lines(content, pattern.encode()) == real


@pytest.mark.parametrize("text", ["", "x", "1x", "1.5", "--1", "9" * 30])
def test_what_is_no_number(text: str) -> None:
    """Refused."""
    with pytest.raises(ValueError, match="not a number"):
        count(text)
