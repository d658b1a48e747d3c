"""Advance reservations, through the command that the System names (contract section 8): typed arguments, one program, no shell.

The node's policy file says which program that is; the name travels along so that both sides mean the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command, Payload, check_number, register
from goldcrest.errors import InvalidInput

DEFAULT_COMMAND: Final = "rsvmgmt"
NODES_LIMIT: Final = 1_000_000
COMMAND: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
# None of them can begin with a hyphen, and so be an option.
NAME: Final = re.compile(r"[a-z_$][a-z0-9_$-]{0,127}")
WORD: Final = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9._,:&|$-]{0,127}")
TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")

_WORDS: Final = {
    "command": (COMMAND, "the name of a program"),
    "name": (NAME, "the name of a reservation"),
    "account": (WORD, "the name of an account"),
    "nodeType": (WORD, "a type of node"),
    "startTime": (TIME, "a time such as 2026-01-31T08:00:00"),
    "endTime": (TIME, "a time such as 2026-01-31T08:00:00"),
}


def check_word(value: str, argument: str) -> str:
    """A value in the form of its argument.

    Raises:
        InvalidInput: naming the argument.
    """
    pattern, form = _WORDS[argument]
    if not pattern.fullmatch(value):
        raise InvalidInput(f"{argument} {value!r} is not {form}")
    return value


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class ListReservations(Command):
    """All reservations that the command shows to this user."""

    command: str = DEFAULT_COMMAND

    op: ClassVar[str] = "rsv.list"
    idempotent: ClassVar[bool] = True

    def args(self) -> dict[str, Json]:
        return {"command": self.command}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        found = cls(command=take_word(given, "command"))
        given.done()
        return found


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReservation(Command):
    """A new reservation. Times are local ones of the system."""

    command: str = DEFAULT_COMMAND
    name: str
    account: str
    nodes: int
    node_type: str
    start_time: str
    end_time: str

    op: ClassVar[str] = "rsv.create"

    def args(self) -> dict[str, Json]:
        return {
            "command": self.command,
            "name": self.name,
            "account": self.account,
            "nodes": self.nodes,
            "nodeType": self.node_type,
            "startTime": self.start_time,
            "endTime": self.end_time,
        }

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        found = cls(
            command=take_word(given, "command"),
            name=take_word(given, "name"),
            account=take_word(given, "account"),
            nodes=_nodes(given),
            node_type=take_word(given, "nodeType"),
            start_time=take_word(given, "startTime"),
            end_time=take_word(given, "endTime"),
        )
        given.done()
        return found


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReservation(Command):
    """Another size or time for a reservation."""

    command: str = DEFAULT_COMMAND
    name: str
    nodes: int
    node_type: str
    start_time: str
    end_time: str

    op: ClassVar[str] = "rsv.update"

    def args(self) -> dict[str, Json]:
        return {
            "command": self.command,
            "name": self.name,
            "nodes": self.nodes,
            "nodeType": self.node_type,
            "startTime": self.start_time,
            "endTime": self.end_time,
        }

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        found = cls(
            command=take_word(given, "command"),
            name=take_word(given, "name"),
            nodes=_nodes(given),
            node_type=take_word(given, "nodeType"),
            start_time=take_word(given, "startTime"),
            end_time=take_word(given, "endTime"),
        )
        given.done()
        return found


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteReservation(Command):
    """Give a reservation up."""

    command: str = DEFAULT_COMMAND
    name: str

    op: ClassVar[str] = "rsv.delete"

    def args(self) -> dict[str, Json]:
        return {"command": self.command, "name": self.name}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        found = cls(command=take_word(given, "command"), name=take_word(given, "name"))
        given.done()
        return found


def listed_reservations(stdout: str) -> list[dict[str, str]]:
    """What the command's list says: two lines of heading, one line for each reservation, one line at the end (contract section 8).

    Each word ``Key=value`` becomes an entry with the key in lower case; the first ``=`` counts, so that ``TRES=cpu=2`` is kept.
    """
    lines = stdout.rstrip("\n").split("\n")[2:-1]
    words = [[word.partition("=") for word in line.split() if "=" in word] for line in lines]
    return [{key.lower(): value for key, _, value in entry} for entry in words if entry]


def take_word(given: Arguments, argument: str) -> str:
    return check_word(given.take(argument, str), argument)


def _nodes(given: Arguments) -> int:
    return check_number(given.take("nodes", int), name="nodes", least=1, most=NODES_LIMIT)
