"""What ``head`` and ``grep --fixed-strings`` would make of a file's bytes (contract 4.3)."""

from __future__ import annotations

import re
from typing import Final

_COUNT: Final = re.compile(r"(-?)([0-9]{1,18})(b|kB|KB|K|KiB|MB|M|MiB|GB|G|GiB)?")
_UNITS: Final = {
    None: 1,
    "b": 512,
    "kB": 1000,
    "KB": 1000,
    "K": 1024,
    "KiB": 1024,
    "MB": 1000**2,
    "M": 1024**2,
    "MiB": 1024**2,
    "GB": 1000**3,
    "G": 1024**3,
    "GiB": 1024**3,
}


def count(text: str) -> int:
    """The number in ``--bytes`` or ``--lines`` (head(1)), with its unit; negative: all but the last ones.

    Raises:
        ValueError: it is none.
    """
    match = _COUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number")
    number = int(match[2]) * _UNITS[match[3]]
    return -number if match[1] else number


def first_bytes(content: bytes, number: int) -> bytes:
    """The first bytes; all but the last ones for a negative number."""
    return content[:number] if number else b""


def first_lines(content: bytes, number: int) -> bytes:
    """The first lines; all but the last ones for a negative number."""
    return b"".join(_lines(content)[:number]) if number else b""


def matching_lines(content: bytes, pattern: bytes) -> bytes:
    """The lines that hold the pattern; like grep, each with a newline at its end."""
    lines = content.split(b"\n")
    if lines and lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\n" for line in lines if pattern in line)


def _lines(content: bytes) -> list[bytes]:
    # bytes.splitlines would also end lines at a lone carriage return, which head does not.
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
