"""Records of ``/utilities/ls`` (contract 4.2), as its parser would make them of ``ls -l --quoting-style=c``. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

from goldcrest.commands.listing import Entry
from goldcrest.commands.names import name_bytes
from goldcrest_api.dialects.firecrest_v1.c_quotes import escaped, quoted

Record = dict[str, str]
_DAY: Final = 86_400  # seconds
_T = TypeVar("_T")


def record(entry: Entry) -> Record:
    """One entry; times are UTC."""
    device = entry.device
    return {
        "name": _name(entry.name),
        "type": entry.type,
        "link_target": _name(entry.target),
        "user": entry.user,
        "group": entry.group,
        "permissions": entry.permissions,
        "last_modified": _time(entry.mtime),
        "size": str(entry.size) if device is None else f"{device[0]}, {device[1]}",
    }


def line(entry: Entry) -> str:
    """One entry of a list without attributes: its name between quotes, as a line of ls."""
    return quoted(name_bytes(entry.name))


def page(items: Sequence[_T], *, size: str | None, number: str | None) -> Sequence[_T]:
    """One page; pages are counted from 1. Without two whole numbers, or out of range: everything (D10)."""
    try:
        length, index = int(size or ""), int(number or "")
    except ValueError:
        return items
    start = (index - 1) * length
    if length < 1 or index < 1 or start >= len(items):
        return items
    return items[start : start + length]


def _time(mtime: int) -> str:
    day, second = divmod(mtime, _DAY)
    return f"{_date(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


@lru_cache(maxsize=4096)  # files of a folder are of few days
def _date(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * _DAY))


def _name(text: str) -> str:
    # Nearly all names are what they look like.
    if "\\" not in text and text.isprintable():
        return text
    return escaped(name_bytes(text))
