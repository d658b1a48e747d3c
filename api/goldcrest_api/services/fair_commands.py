"""Commands on login hosts, each in its turn: what the rest of the gateway runs commands with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Literal

from goldcrest.authority import Basis
from goldcrest.commands import Command
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Trace
from goldcrest_api.ports import RemoteAnswer, RemoteCommands
from goldcrest_api.services.turns import Turns
from goldcrest_api.settings import LimitSettings

Kind = Literal["command", "stream"]


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

    async def run(
        self,
        command: Command,
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        payload: bytes = b"",
        seconds: float | None = None,
        node_seconds: float | None = None,
    ) -> RemoteAnswer:
        """As :meth:`RemoteCommands.run`; ``seconds`` begin with the turn.

        Raises:
            TooManyRequests: no turn for it.
            GoldcrestError: as there.
        """
        async with self.turns(system).turn(user):
            return await self._remote.run(
                command,
                system=system,
                spec=spec,
                user=user,
                basis=basis,
                trace=trace,
                payload=payload,
                seconds=seconds,
                node_seconds=node_seconds,
            )

    async def upload(
        self,
        command: Command,
        pieces: AsyncIterable[bytes],
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        seconds: float | None = None,
        node_seconds: float | None = None,
    ) -> RemoteAnswer:
        """As :meth:`RemoteCommands.upload`; in the turns of streams.

        Raises:
            TooManyRequests: no turn for it.
            GoldcrestError: as there.
        """
        async with self.turns(system, "stream").turn(user):
            return await self._remote.upload(
                command,
                pieces,
                system=system,
                spec=spec,
                user=user,
                basis=basis,
                trace=trace,
                seconds=seconds,
                node_seconds=node_seconds,
            )

    async def stream(
        self,
        command: Command,
        *,
        system: str,
        spec: SystemSpec,
        user: str,
        basis: Basis,
        trace: Trace,
        seconds: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """As :meth:`RemoteCommands.stream`. Streams have turns of their own: slow readers hold up no commands.

        Raises:
            TooManyRequests: no turn for it.
            GoldcrestError: as there.
        """
        async with self.turns(system, "stream").turn(user):
            pieces = self._remote.stream(
                command, system=system, spec=spec, user=user, basis=basis, trace=trace, seconds=seconds
            )
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
