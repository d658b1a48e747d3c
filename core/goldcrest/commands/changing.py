"""What changes names, attributes and trees: each as the program of the same name does it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import PATH_LIMIT, Arguments, Command, Payload, check_file, register
from goldcrest.commands.names import name_bytes
from goldcrest.errors import InvalidInput

MODE_TEXT_LIMIT = 256  # characters
ACCOUNT_NAME_LIMIT = 256  # characters

_ACTION = r"[-+=](?:[rwxXst]*|[ugo])"
_OCTAL = r"0?[0-7]{1,4}"
_CLAUSE = rf"(?:[ugoa]*(?:{_ACTION})+|(?:{_ACTION})*[-+=]{_OCTAL})"
_MODE = re.compile(rf"{_OCTAL}|{_CLAUSE}(?:,{_CLAUSE})*")


@dataclass(frozen=True, slots=True)
class _TwoPaths(Command):
    source: str
    target: str

    def args(self) -> dict[str, Json]:
        return {"source": self.source, "target": self.target}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(
            check_file(given.take("source", str), name="source"), check_file(given.take("target", str), name="target")
        )
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Rename(_TwoPaths):
    """``mv --force``: an existing file is replaced; into a target that is a folder; to another file system by copying. Answer: ``{}``.

    CommandFailed ``os`` names in its ``path`` which of the two failed, ``state`` that both are the same file.
    """

    op: ClassVar[str] = "fs.rename"


@register
@dataclass(frozen=True, slots=True)
class Copy(_TwoPaths):
    """``cp --force -dR --preserve=all``: into a target that is a folder; what cannot be copied is left out, and the first such error
    is the command's. Answer: ``{"files", "bytes"}``.

    CommandFailed ``os`` names in its ``path`` which of the two failed, or the file within the tree, and says ``EINVAL`` of a folder into
    itself; ``state``: the same file.
    """

    op: ClassVar[str] = "fs.copy"


@register
@dataclass(frozen=True, slots=True)
class ChangeMode(Command):
    """``chmod``, of what a link leads to. ``mode`` is octal or symbolic. Answer: ``{"before", "after"}``, permission bits."""

    path: str
    mode: str

    op: ClassVar[str] = "fs.chmod"

    def args(self) -> dict[str, Json]:
        return {"path": self.path, "mode": self.mode}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(check_file(given.take("path", str)), check_mode_text(given.take("mode", str)))
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOwner(Command):
    """``chown``, of what a link leads to; what is not given stays. Names or numbers.

    Answer: ``{"ownerBefore", "groupBefore", "owner", "group"}``, names, or digits where there is none. CommandFailed ``unknown`` says in
    its ``what`` whether the node does not know the ``owner`` or the ``group``.
    """

    path: str
    owner: str | None = None
    group: str | None = None

    op: ClassVar[str] = "fs.chown"

    def args(self) -> dict[str, Json]:
        args: dict[str, Json] = {"path": self.path}
        if self.owner is not None:
            args["owner"] = self.owner
        if self.group is not None:
            args["group"] = self.group
        return args

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        owner, group = given.take("owner", str, optional=True), given.take("group", str, optional=True)
        for name, value in (("owner", owner), ("group", group)):
            if value is not None:
                check_account_name(value, name=name)
        if owner is None and group is None:
            raise InvalidInput("fs.chown: neither owner nor group is given")
        command = cls(path=check_file(given.take("path", str)), owner=owner, group=group)
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class MakeLink(Command):
    """``ln -s``: ``target`` is only text, and stays as it is; within ``path`` where that is a folder. Answer: ``{}``."""

    target: str
    path: str

    op: ClassVar[str] = "fs.symlink"

    def args(self) -> dict[str, Json]:
        return {"target": self.target, "path": self.path}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        target = given.take("target", str)
        if not target or "\0" in target or len(name_bytes(target)) >= PATH_LIMIT:
            raise InvalidInput(f"target is empty, has a NUL character, or {PATH_LIMIT} bytes or more")
        command = cls(target, check_file(given.take("path", str)))
        given.done()
        return command


@register
@dataclass(frozen=True, slots=True)
class Remove(Command):
    """``rm -r --interactive=never``: what cannot be removed is left, and the first such error is the command's.

    Answer: ``{"removed"}``, the number of files and folders.
    """

    path: str

    op: ClassVar[str] = "fs.rm"

    def args(self) -> dict[str, Json]:
        return {"path": self.path}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(check_file(given.take("path", str)))
        given.done()
        return command


def check_mode_text(mode: str) -> str:
    """A mode as chmod(1) takes it: ``0644``, ``u+x``, ``go-w,a=rX`` …

    Raises:
        InvalidInput: it is none.
    """
    if len(mode) > MODE_TEXT_LIMIT or not _MODE.fullmatch(mode):
        raise InvalidInput(f"mode {mode[:MODE_TEXT_LIMIT]!r} is neither octal nor symbolic (chmod(1))")
    return mode


def check_account_name(text: str, *, name: str) -> str:
    """A name or number of a user or a group; whether there is such a one, the node knows.

    Raises:
        InvalidInput: empty, too long, or with characters that no name has.
    """
    if not 0 < len(text) <= ACCOUNT_NAME_LIMIT or not text.isprintable() or ":" in text:
        raise InvalidInput(f"{name} {text[:ACCOUNT_NAME_LIMIT]!r} cannot be a name")
    return text
