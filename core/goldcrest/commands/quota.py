"""A user's quota, as the command that the site names tells it: no arguments, one program, no shell.

The node's policy file says which program that is; the name travels along so that both sides mean the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command, Payload, register
from goldcrest.commands.reservations import take_word


@register
@dataclass(frozen=True, slots=True)
class ShowQuota(Command):
    """What this user may use and has used, in the words of the site's command."""

    command: str

    op: ClassVar[str] = "fs.quota"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return {"command": self.command}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(take_word(given, "command"))
        given.done()
        return command
