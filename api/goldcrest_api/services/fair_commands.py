"""Commands on login hosts, each in its turn: what the rest of the gateway runs commands with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Literal, NotRequired, TypedDict, Unpack

from goldcrest.authority import Basis
from goldcrest.commands import Command
from goldcrest.commands.shapes import check_answer
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Trace
from goldcrest_api.ports import RemoteAnswer, RemoteCommands
from goldcrest_api.services.turns import Turns
from goldcrest_api.settings import LimitSettings

Kind = Literal["command", "stream"]


class Where(TypedDict):
    """Where and for whom a command runs, as :class:`RemoteCommands` takes it."""

    system: str
    spec: SystemSpec
    user: str
    basis: Basis
    trace: Trace
    seconds: NotRequired[float | None]
    node_seconds: NotRequired[float | None]


class FairCommands:
    """:class:`RemoteCommands` with turns for each system, so that neither one user nor one slow system holds up the others.

    Args:
        remote: runs them.
    """

    def __init__(self, remote: RemoteCommands, limits: LimitSettings) -> None:
        self._remote = remote
        self._limits = limits
        self._turns: dict[tuple[str, str], Turns] = {}

    def turns(self, system: str, kind: Kind = "command") -> Turns:
        """Those of a system."""
        found = self._turns.get((system, kind))
        if found is None:
            limits = self._limits
            found = self._turns[system, kind] = Turns(
                system=system,
                at_once=limits.commands_per_system,
                of_user=limits.commands_per_user,
                waiting=limits.waiting_per_user,
                seconds=limits.waiting_seconds,
            )
        return found

    async def run(self, command: Command, *, payload: bytes = b"", **where: Unpack[Where]) -> RemoteAnswer:
        """As :meth:`RemoteCommands.run`; ``seconds`` begin with the turn.

        Raises:
            TooManyRequests: no turn for it.
            GoldcrestError: as there.
        """
        async with self.turns(where["system"]).turn(where["user"]):
            answer = await self._remote.run(command, payload=payload, **where)
        check_answer(command.op, answer.result)
        return answer

    async def upload(self, command: Command, pieces: AsyncIterable[bytes], **where: Unpack[Where]) -> RemoteAnswer:
        """As :meth:`RemoteCommands.upload`; in the turns of streams.

        Raises:
            TooManyRequests: no turn for it.
            GoldcrestError: as there.
        """
        async with self.turns(where["system"], "stream").turn(where["user"]):
            answer = await self._remote.upload(command, pieces, **where)
        check_answer(command.op, answer.result)
        return answer

    async def stream(self, command: Command, **where: Unpack[Where]) -> AsyncGenerator[bytes, None]:
        """As :meth:`RemoteCommands.stream`. Streams have turns of their own: slow readers hold up no commands.

        Raises:
            TooManyRequests: no turn for it.
            GoldcrestError: as there.
        """
        async with (
            self.turns(where["system"], "stream").turn(where["user"]),
            aclosing(self._remote.stream(command, **where)) as pieces,
        ):
            async for piece in pieces:
                yield piece
