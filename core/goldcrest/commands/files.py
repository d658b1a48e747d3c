"""What is read, written and looked at as one file. All of it is done by ssh-filter itself, but for ``fs.type``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command, Payload, check_file, check_number, register
from goldcrest.errors import InvalidInput

READ_LIMIT = 64 * 1024 * 1024  # bytes of one fs.read
WRITE_LIMIT = 2**40  # bytes of one fs.write: what a certificate may say. The node's policy sets the limit (streamLimit)


@register
@dataclass(frozen=True, slots=True)
class WhoAmI(Command):
    """Who am I on the node; also the probe whether the user may come in at all."""

    op: ClassVar[str] = "sys.whoami"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return {}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        Arguments(cls.op, args).done()
        return cls()


@register
@dataclass(frozen=True, slots=True)
class StatFile(Command):
    """Attributes of a file."""

    path: str
    dereference: bool = False

    op: ClassVar[str] = "fs.stat"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return {"path": self.path, "dereference": self.dereference}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(check_file(given.take("path", str)), given.take("dereference", bool))
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class MakeDirectory(Command):
    """Make a directory; with ``parents``, an existing one is no error."""

    path: str
    parents: bool = False
    mode: int = 0o755

    op: ClassVar[str] = "fs.mkdir"

    def args(self) -> dict[str, Json]:
        return {"path": self.path, "parents": self.parents, "mode": self.mode}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_file(given.take("path", str)),
            given.take("parents", bool),
            check_number(given.take("mode", int), name="mode", most=0o7777),
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class ReadFile(Command):
    """Bytes of a file: ``length`` bytes at most, from ``offset``. The bytes come as data, the answer gives the sizes."""

    path: str
    offset: int = 0
    length: int = READ_LIMIT

    op: ClassVar[str] = "fs.read"
    idempotent: ClassVar[bool] = True
    sends_content: ClassVar[bool] = True

    @property
    def content_limit(self) -> int:
        return self.length

    def args(self) -> dict[str, Json]:
        return {"path": self.path, "offset": self.offset, "length": self.length}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_file(given.take("path", str)),
            check_number(given.take("offset", int), name="offset", most=2**53 - 1),
            check_number(given.take("length", int), name="length", most=READ_LIMIT),
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class WriteFile(Command):
    """Write a file in one step: what is there is the old file or the whole new one. The bytes are the payload.

    They are written as they arrive, and their digest or size, which was signed or follows them, is compared before the file gets its name.
    """

    path: str
    content: Payload
    mode: int = 0o644
    """Permission bits of a new file, of which the node's umask is taken off; what is written over keeps its own."""
    overwrite: bool = False

    op: ClassVar[str] = "fs.write"
    streams_payload: ClassVar[bool] = True
    needs: ClassVar[str] = "payload-size"

    def args(self) -> dict[str, Json]:
        return {"path": self.path, "mode": self.mode, "overwrite": self.overwrite}

    @property
    def payload(self) -> Payload:
        return self.content

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        if payload is None:
            raise InvalidInput("fs.write: the payload is missing")
        check_number(payload.size, name="size of the payload", most=WRITE_LIMIT)
        given = Arguments(cls.op, args)
        command = cls(
            path=check_file(given.take("path", str)),
            mode=check_number(given.take("mode", int), name="mode", most=0o7777),
            overwrite=given.take("overwrite", bool),
            content=payload,
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Checksum(Command):
    """SHA-256 of a file of at most ``limit`` bytes."""

    path: str
    limit: int

    op: ClassVar[str] = "fs.checksum"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return {"path": self.path, "limit": self.limit}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_file(given.take("path", str)),
            check_number(given.take("limit", int), name="limit", most=2**53 - 1),
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class FileType(Command):
    """What kind of file it is, in the words of ``file -b``: for regular files that program's own."""

    path: str

    op: ClassVar[str] = "fs.type"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return {"path": self.path}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(check_file(given.take("path", str)))
        given.done()
        return command
