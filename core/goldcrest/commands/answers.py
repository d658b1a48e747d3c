"""Answers of file operations as typed values. Pure: the JSON object of the ANSWER frame in, a frozen value out.

A node that says something else than docs/protocol.md makes ``of`` raise KeyError, TypeError or ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class PartRead:
    """Of ``fs.read``, ``fs.head`` and ``fs.tail``. Sizes in bytes."""

    size: int
    """Bytes that came as content."""
    file_size: int
    matched: bool
    """Whether a line had the text that was asked for; true where none was."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        return cls(int(answer["size"]), int(answer["fileSize"]), answer.get("matched", True) is True)


@dataclass(frozen=True, slots=True)
class ModeChanged:
    """Of ``fs.chmod``: permission bits, 0 to 0o7777."""

    before: int
    after: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        return cls(int(answer["before"]) & 0o7777, int(answer["after"]) & 0o7777)


@dataclass(frozen=True, slots=True)
class OwnerChanged:
    """Of ``fs.chown``: names, or digits where a number has no name."""

    owner_before: str
    group_before: str
    owner: str
    group: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        return cls(*(str(answer[name]) for name in ("ownerBefore", "groupBefore", "owner", "group")))


@dataclass(frozen=True, slots=True)
class Moved:
    """Of ``fs.copy`` and ``fs.extract``: what was made."""

    files: int
    size: int
    """Bytes of content."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        return cls(int(answer["files"]), int(answer["bytes"]))


def type_text(answer: Mapping[str, Any]) -> str:
    """Of ``fs.type``: the words of ``file -b``."""
    return str(answer["text"])


def archive_size(answer: Mapping[str, Any]) -> int:
    """Of ``fs.compress``: bytes of the archive."""
    return int(answer["bytes"])


def removed_count(answer: Mapping[str, Any]) -> int:
    """Of ``fs.rm``: files and folders."""
    return int(answer["removed"])
