"""The first and the last part of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command, Payload, check_file, check_number, register
from goldcrest.errors import InvalidInput

LINES = 10  # of head(1) and tail(1), where nothing is said
PATTERN_LIMIT = 4096  # bytes
CONTENT_LIMIT = 64 * 1024 * 1024  # bytes of one answer, as of fs.read

_LARGEST = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part(Command):
    """A part of a regular file, as head(1) and tail(1) cut it; with ``grep`` only the lines of it in which the text occurs.

    The part comes as content; the answer is ``{"size", "fileSize", "matched"}``.

    Args:
        size: in bytes, or
        lines: in lines; 10 lines when neither is given.
        skip: the part that is left when so much is taken away: of head all but the last (``head -n -N``), of tail what begins
            with the N-th (``tail -n +N``).
        grep: text, one or several lines of it, of which a line of the part must have one (``grep --fixed-strings``). The line feed
            at the end of a last line is added then.
        limit: bytes of the answer; a longer one is CommandFailed ``limit``.
    """

    path: str
    limit: int
    size: int | None = None
    lines: int | None = None
    skip: bool = False
    grep: str | None = None

    idempotent: ClassVar[bool] = True
    sends_content: ClassVar[bool] = True

    @property
    def content_limit(self) -> int:
        return self.limit

    def args(self) -> dict[str, Json]:
        args: dict[str, Json] = {"path": self.path, "limit": self.limit, "skip": self.skip}
        if self.size is not None:
            args["bytes"] = self.size
        if self.lines is not None:
            args["lines"] = self.lines
        if self.grep is not None:
            args["grep"] = self.grep
        return args

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        size, lines = given.take("bytes", int, optional=True), given.take("lines", int, optional=True)
        if size is not None and lines is not None:
            raise InvalidInput(f"{cls.op}: bytes and lines cannot both be given")
        for name, value in (("bytes", size), ("lines", lines)):
            if value is not None:
                check_number(value, name=name, most=_LARGEST)
        grep = given.take("grep", str, optional=True)
        if grep is not None:
            check_pattern(grep)
        command = cls(
            path=check_file(given.take("path", str)),
            limit=check_number(given.take("limit", int), name="limit", most=CONTENT_LIMIT),
            size=size,
            lines=lines,
            skip=given.take("skip", bool),
            grep=grep,
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Head(_Part):
    """The first part."""

    op: ClassVar[str] = "fs.head"


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Tail(_Part):
    """The last part."""

    op: ClassVar[str] = "fs.tail"


def check_pattern(text: str) -> str:
    """A text to look for.

    Raises:
        InvalidInput: it has a NUL character, a lone surrogate, or more than 4096 bytes.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput("the text to look for has a lone surrogate") from None
    if "\0" in text or size > PATTERN_LIMIT:
        raise InvalidInput(f"the text to look for has a NUL character or more than {PATTERN_LIMIT} bytes")
    return text
