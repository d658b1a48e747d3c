"""Numbers as head and tail take them."""

from __future__ import annotations

import subprocess
from typing import Literal

import pytest

from goldcrest_api.dialects.firecrest_v1.amounts import Amount, amount

pytestmark = pytest.mark.unit

TEXTS = ["0", "1", "12", "+3", "-3", "1K", "2k", "1kB", "1KB", "1KiB", "1b", "1M", "1MB", "1MiB", "1G", "1T", "1P", "1E", "",
         "x", "1x", "1.5", "--1", "++1", "1 K", "K", "0x10", "1B", "1iB", " 1", "9" * 25]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("program", ["head", "tail"])
def test_takes_what_the_real_one_takes(program: Literal["head", "tail"], text: str) -> None:
    """And refuses what that refuses."""
    real = subprocess.run([program, f"--bytes={text}", "/dev/null"], capture_output=True).returncode == 0
    if text in (" 1", "2k") or len(text) > 20:
        return  # strtoul's own liberties, and numbers beyond 64 bits
    try:
        amount(text, program=program)
    except ValueError:
        assert not real
    else:
        assert real


@pytest.mark.parametrize(
    ("text", "program", "skip", "expected"),
    [
        ("10", "head", False, Amount(10, skip=False)),
        ("-10", "head", False, Amount(10, skip=True)),
        ("+10", "head", False, Amount(10, skip=False)),
        ("10", "head", True, Amount(10, skip=True)),
        ("-10", "tail", False, Amount(10, skip=False)),
        ("+10", "tail", False, Amount(10, skip=True)),
        ("10", "tail", True, Amount(10, skip=True)),
        ("1kB", "head", False, Amount(1000, skip=False)),
        ("2KiB", "head", False, Amount(2048, skip=False)),
        ("3b", "tail", False, Amount(1536, skip=False)),
        ("9" * 25, "head", False, Amount(2**53 - 1, skip=False)),
    ],
)
def test_meaning(text: str, program: Literal["head", "tail"], skip: bool, expected: Amount) -> None:
    """Sign and unit."""
    assert amount(text, program=program, skip=skip) == expected


@pytest.mark.parametrize("text", ["+1", "-1"])
def test_two_signs(text: str) -> None:
    """With skip_ending or skip_beginning the value has none of its own."""
    with pytest.raises(ValueError):
        amount(text, program="head", skip=True)
