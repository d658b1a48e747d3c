"""Archives: made and unpacked by ssh-filter itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command, Payload, check_file, register
from goldcrest.errors import InvalidInput


class ArchiveFormat(Enum):
    """How an archive is packed. The value is the text in arguments."""

    TAR = "tar"
    TAR_GZIP = "tgz"
    TAR_BZIP2 = "bz2"
    ZIP = "zip"


@register
@dataclass(frozen=True, slots=True)
class Compress(Command):
    """A tar archive, packed with gzip, of a file or a folder under its own last name. What was there is replaced when it is whole.

    Answer: ``{"bytes"}``, of the archive. CommandFailed ``os`` names in its ``path`` which of the two failed, or the file within the tree;
    ``state``: a file became shorter while it was read. In each case no archive is left.

    Args:
        dereference: what links lead to instead of the links, within the node's roots.
    """

    source: str
    target: str
    dereference: bool = False

    op: ClassVar[str] = "fs.compress"

    def args(self) -> dict[str, Json]:
        return {"source": self.source, "target": self.target, "dereference": self.dereference}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_file(given.take("source", str), name="source"),
            check_file(given.take("target", str), name="target"),
            given.take("dereference", bool),
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Extract(Command):
    """Unpack an archive into a folder that is there; files of the same names are replaced.

    Nothing is made outside of the folder, through no link, no device, and no file with the rights of another user or group
    (set-user-id). Answer: ``{"files", "bytes"}``, of what was made.

    CommandFailed: ``os`` names in its ``path`` which of the two failed, or the member; ``archive``: no archive of this format, a damaged
    one, or a member that is refused; ``limit``: more bytes or members than the node unpacks. What was unpacked before stays.
    """

    source: str
    target: str
    format: ArchiveFormat

    op: ClassVar[str] = "fs.extract"

    def args(self) -> dict[str, Json]:
        return {"source": self.source, "target": self.target, "format": self.format.value}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        named = given.take("format", str)
        if named not in {each.value for each in ArchiveFormat}:
            raise InvalidInput(f"{named[:64]!r} is no format of an archive: tar, tgz, bz2 and zip are known")
        command = cls(
            check_file(given.take("source", str), name="source"),
            check_file(given.take("target", str), name="target"),
            ArchiveFormat(named),
        )
        given.done()
        return command
