"""Lists of folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple, Self

import orjson

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command, Payload, check_file, check_number, register

ENTRIES_LIMIT = 1_000_000  # that a list may be asked for; the node's own limit is lower by default
_AT_ONCE: Final = 200  # lines that are parsed at once
_ENTRY_BYTES = 32 * 1024  # bytes of one line at most: two names of 4096 bytes, each of which JSON may make four or six


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ListDirectory(Command):
    """What ``ls -l`` shows. The entries come as content, one JSON object a line: :func:`entries`. Answer: :class:`Listed`.

    A path that is no folder is listed as itself, under the name that was given; a link to a folder too, unless the path ends with ``/``.

    Args:
        hidden: also names that begin with a dot, but for ``.`` and ``..`` (``ls -A``).
        recursive: folders within it too (``ls -R``): after a folder's own entries those of each of its folders; names relative to ``path``.
        dereference: attributes of what links lead to (``ls -L``); a link that leads nowhere, or out of the node's roots, is shown as itself and
            named among the skipped.
        numeric_ids: numbers instead of names of users and groups.
        sorted: by the bytes of their names; else as the file system gives them.
        limit: entries; with more, CommandFailed ``limit``.
    """

    path: str
    limit: int
    hidden: bool = False
    recursive: bool = False
    dereference: bool = False
    numeric_ids: bool = False
    sorted: bool = True

    op: ClassVar[str] = "fs.ls"
    idempotent: ClassVar[bool] = True
    sends_content: ClassVar[bool] = True

    @property
    def content_limit(self) -> int:
        return self.limit * _ENTRY_BYTES

    def args(self) -> dict[str, Json]:
        return {
            "path": self.path,
            "limit": self.limit,
            "hidden": self.hidden,
            "recursive": self.recursive,
            "dereference": self.dereference,
            "numericIds": self.numeric_ids,
            "sorted": self.sorted,
        }

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            path=check_file(given.take("path", str)),
            limit=check_number(given.take("limit", int), name="limit", least=1, most=ENTRIES_LIMIT),
            hidden=given.take("hidden", bool),
            recursive=given.take("recursive", bool),
            dereference=given.take("dereference", bool),
            numeric_ids=given.take("numericIds", bool),
            sorted=given.take("sorted", bool),
        )
        given.done()
        return command


class Entry(NamedTuple):
    """One line of a list. A tuple: of a large folder there are many, and a dataclass takes four times as long to make."""

    name: str
    """As :mod:`goldcrest.commands.names` says; may have control characters."""
    type: str
    """The first character of ``ls -l``: ``-``, ``d``, ``l``, ``b``, ``c``, ``p``, ``s``; ``?`` for what is none of these."""
    target: str
    """Where a link leads to; else empty."""
    mode: int
    """Permission bits, 0 to 0o7777."""
    acl: bool
    """Whether it has an access control list (``+`` of ``ls -l``)."""
    links: int
    user: str
    group: str
    size: int
    mtime: int
    """Epoch seconds."""
    device: tuple[int, int] | None
    """Major and minor number of a device."""

    @property
    def permissions(self) -> str:
        """What ``ls -l`` shows behind the type: ``rwxr-xr-x``, with s, S, t, T, and ``+``."""
        return permission_letters(self.mode) + ("+" if self.acl else "")


@cache  # 4096 modes at most, and lists of many files with the same few
def permission_letters(mode: int) -> str:
    """The nine letters of ``ls -l`` for permission bits: ``rwxr-xr-x``, with s, S, t and T."""
    letters = ["rwx"[index % 3] if mode & 0o400 >> index else "-" for index in range(9)]
    for bit, place, letter in ((0o4000, 2, "s"), (0o2000, 5, "s"), (0o1000, 8, "t")):
        if mode & bit:
            letters[place] = letter if letters[place] == "x" else letter.upper()
    return "".join(letters)


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be looked at: its path relative to the one listed, and the errno (``EACCES``)."""

    path: str
    errno_name: str


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer behind the entries."""

    count: int
    directory: bool
    """Whether the path is a folder; else it is the only entry."""
    skipped: tuple[Skipped, ...]
    """The first hundred of them; :attr:`skipped_count` are all."""
    skipped_count: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Listed:
        skipped = tuple(Skipped(str(each["path"]), str(each["name"])) for each in answer["skipped"])
        return cls(int(answer["count"]), bool(answer["directory"]), skipped, int(answer["skippedCount"]))


def entries(content: bytes) -> Iterator[Entry]:
    """The entries of a list, from its content.

    Raises:
        ValueError, KeyError, TypeError: the node said something else than docs/protocol.md.
    """
    lines = filter(None, content.split(b"\n"))
    # Many at once: each call of the parser takes as long as reading a line does.
    while some := list(islice(lines, _AT_ONCE)):
        yield from map(_entry, orjson.loads(b"[%b]" % b",".join(some)))


def _entry(value: object) -> Entry:
    if not isinstance(value, dict):
        raise TypeError("a line of a list is no object")
    device = value.get("rdev")
    return Entry(
        str(value["name"]),
        str(value["type"])[:1],
        str(value.get("target", "")),
        int(value["mode"]) & 0o7777,
        value["acl"] is True,
        int(value["links"]),
        str(value["user"]),
        str(value["group"]),
        int(value["size"]),
        int(value["mtime"]),
        (int(device[0]), int(device[1])) if device is not None else None,
    )
