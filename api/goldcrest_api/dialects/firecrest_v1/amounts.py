"""The numbers that head(1) and tail(1) take (contract 4.3): with a sign, and with a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_MOST: Final = 2**53 - 1  # larger ones mean the same: all of any file
_AMOUNT: Final = re.compile(r"([+-]?)([0-9]{0,30})(b|(?:[KMGTPE](?:iB|B)?|kB)?)")
_POWERS: Final = "KMGTPE"


@dataclass(frozen=True, slots=True)
class Amount:
    """So many bytes or lines.

    Args:
        skip: what is left when they are taken away is meant: of head all but the last, of tail what begins with that one.
    """

    number: int
    skip: bool


def amount(text: str, *, program: Literal["head", "tail"], skip: bool = False) -> Amount:
    """Read the value of ``--bytes`` or ``--lines``.

    Args:
        skip: ``skip_ending`` or ``skip_beginning``: a sign is put before the value, which then has none of its own.

    Raises:
        ValueError: it is no number.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None or (skip and match[1]) or not (match[2] or match[3]):
        raise ValueError(text)
    number = min(int(match[2] or 1) * _unit(match[3]), _MOST)
    return Amount(number, skip or match[1] == ("-" if program == "head" else "+"))


def _unit(suffix: str) -> int:
    if suffix in ("", "b"):
        return 512 if suffix else 1
    base = 1000 if len(suffix) == 2 else 1024  # kB, MB …; K and KiB are powers of 1024
    return int(base ** (_POWERS.index(suffix[0].upper()) + 1))
