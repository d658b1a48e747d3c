"""In which line of a TOML document something stands: the standard library's parser does not say."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from typing import Any


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Line, from 1, in which a table or key begins; for one that is not there, the line of the nearest one around it.

    The parser itself is asked, with the first lines only: what ``path`` names stands where it is seen for the first time.

    Args:
        text: a document that parses.
        path: names of keys, and positions in arrays from 0, e.g. ``("issuer", 0, "audience")``.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    whole = _depth(tomllib.loads("\n".join(lines)), path)
    if whole == 0:
        return 1
    last = _first(len(lines), lambda count: _depth(_longest(lines, count)[1], path) == whole)
    # An array may take several lines, of which no part parses: it begins behind the last line before it that does.
    return _longest(lines, last - 1)[0] + 1


def _longest(lines: Sequence[str], count: int) -> tuple[int, dict[str, Any]]:
    """The longest beginning of at most ``count`` lines that is a document, and what it says."""
    for length in range(count, 0, -1):
        try:
            return length, tomllib.loads("\n".join(lines[:length]))
        except tomllib.TOMLDecodeError:
            continue  # within an array or a text of several lines
    return 0, {}


def _first(most: int, holds: Callable[[int], bool]) -> int:
    """The smallest number from 1 to ``most`` for which it holds, as it then does for all larger ones."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _depth(document: Any, path: Sequence[str | int]) -> int:
    """How many parts of the path lead somewhere."""
    for depth, part in enumerate(path):
        if isinstance(document, dict):
            known = part in document
        else:
            known = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if not known:
            return depth
        document = document[part]
    return len(path)
