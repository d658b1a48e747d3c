"""Operations on files of a system, done while the client waits: no resource, no state."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Final

from goldcrest.commands import Command, Payload, ReadFile, StatFile, WriteFile
from goldcrest.commands.files import READ_LIMIT
from goldcrest.errors import CommandFailed, Denied, OldFilter
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.ports import RemoteAnswer, RemoteCommands
from goldcrest_api.services.fair_commands import Where
from goldcrest_api.spool import Spool, Spools
from goldcrest_api.system_cache import SystemView

_SECONDS_PER_BYTE: Final = 1 / 2**20  # an upload gets a second more for each MiB
_AT_ONCE: Final = (
    256 * 1024
)  # bytes of an upload up to which it shares a channel with other commands, and may be tried again


class Files:
    """Runs typed commands as the caller, within the System's time limit.

    Args:
        spools: where uploads wait that cannot go on as they come.
        connect_seconds: time beside the operation's own: for a connection, a certificate, and the answer's way.
    """

    def __init__(self, remote: RemoteCommands, *, spools: Spools, connect_seconds: float) -> None:
        self._remote = remote
        self.spools = spools
        self._connect_seconds = connect_seconds

    async def run(self, command: Command, *, system: SystemView, caller: Caller, trace: Trace) -> RemoteAnswer:
        """Run one command and wait for its end.

        Raises:
            GoldcrestError: what kept it from being run, or how it failed.
        """
        _check_covered(system, caller)
        seconds = system.spec.limits.seconds
        return await self._remote.run(
            command,
            system=system.name,
            spec=system.spec,
            user=caller.user,
            basis=caller.basis,
            trace=trace,
            seconds=seconds + self._connect_seconds,
            node_seconds=seconds,
        )

    async def write(
        self,
        path: str,
        pieces: AsyncGenerator[bytes, None],
        *,
        mode: int,
        most: int,
        system: SystemView,
        caller: Caller,
        trace: Trace,
    ) -> RemoteAnswer:
        """Write a file, over what is there, with bytes that go on as they come: the node holds back who sends them.

        Args:
            mode: permission bits of a new file.
            most: bytes that may come.

        Raises:
            OSError: the login node wants their digest first, and there is no room for them.
            GoldcrestError: what kept it from being written; nothing is left of it then. And whatever ``pieces`` raises.
        """
        _check_covered(system, caller)
        first, all_came = await _beginning(pieces)
        if all_came:
            data = b"".join(first)
            command = WriteFile(path, Payload.of(data), mode=mode, overwrite=True)
            return await self._remote.run(command, payload=data, **self._where(len(data), system, caller, trace))
        source = _chained(first, pieces)
        command = WriteFile(path, Payload.streamed(most), mode=mode, overwrite=True)
        try:
            return await self._remote.upload(command, source, **self._where(None, system, caller, trace))
        except OldFilter:
            with self.spools.open() as spool:
                async for piece in source:
                    await spool.write(piece)
                return await self.write_spooled(path, spool, mode=mode, system=system, caller=caller, trace=trace)

    async def write_spooled(
        self, path: str, spool: Spool, *, mode: int, system: SystemView, caller: Caller, trace: Trace
    ) -> RemoteAnswer:
        """Write a file, over what is there, with bytes that wait in a spool.

        Raises:
            GoldcrestError: what kept it from being written; nothing is left of it then.
        """
        _check_covered(system, caller)
        command = WriteFile(path, await spool.payload(), mode=mode, overwrite=True)
        where = self._where(spool.size, system, caller, trace)
        async with aclosing(spool.pieces()) as pieces:
            if spool.size <= _AT_ONCE:
                return await self._remote.run(command, payload=b"".join([piece async for piece in pieces]), **where)
            return await self._remote.upload(command, pieces, **where)

    def _where(self, size: int | None, system: SystemView, caller: Caller, trace: Trace) -> Where:
        """``size``: None for what comes as fast as the client sends it, who has a time elsewhere; the node has its own limits."""
        seconds = system.spec.limits.seconds
        return {
            "system": system.name,
            "spec": system.spec,
            "user": caller.user,
            "basis": caller.basis,
            "trace": trace,
            "seconds": seconds + self._connect_seconds,
            "node_seconds": None if size is None else seconds + size * _SECONDS_PER_BYTE,
        }

    async def content(
        self, path: str, size: int, *, system: SystemView, caller: Caller, trace: Trace
    ) -> AsyncGenerator[bytes, None]:
        """The first ``size`` bytes of a file as they come; a slow reader holds the node back.

        Close it (``contextlib.aclosing``) when not all is read.

        Raises:
            CommandFailed: also ``changed``: the file became shorter, or another took its place.
            GoldcrestError: what kept it from being run.
        """
        _check_covered(system, caller)
        first = await self._identity(path, system, caller, trace) if size > READ_LIMIT else None
        for offset in range(0, size, READ_LIMIT):
            length = min(READ_LIMIT, size - offset)
            received = 0
            pieces = self._remote.stream(
                ReadFile(path, offset=offset, length=length),
                system=system.name,
                spec=system.spec,
                user=caller.user,
                basis=caller.basis,
                trace=trace,
                seconds=system.spec.limits.seconds + self._connect_seconds,
            )
            async with aclosing(pieces):
                async for piece in pieces:
                    received += len(piece)
                    yield piece
            if received < length:
                raise CommandFailed(
                    f"the file became shorter while it was read: {offset + received} of {size} bytes",
                    kind="changed",
                    path=path,
                )
            # Each part opens the path anew: what was renamed over it meanwhile is another file.
            if first is not None and await self._identity(path, system, caller, trace) != first:
                raise CommandFailed("another file took its place while it was read", kind="changed", path=path)

    async def _identity(self, path: str, system: SystemView, caller: Caller, trace: Trace) -> tuple[int, int]:
        answer = await self.run(StatFile(path, dereference=True), system=system, caller=caller, trace=trace)
        return int(answer.result["dev"]), int(answer.result["ino"])


async def _beginning(pieces: AsyncGenerator[bytes, None]) -> tuple[list[bytes], bool]:
    """As much as may share a channel, and whether that is all."""
    first: list[bytes] = []
    size = 0
    while size <= _AT_ONCE:
        piece = await anext(pieces, None)
        if piece is None:
            return first, True
        first.append(piece)
        size += len(piece)
    return first, False


async def _chained(first: list[bytes], pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    while first:
        yield first.pop(0)
    async for piece in pieces:
        yield piece


def _check_covered(system: SystemView, caller: Caller) -> None:
    if not caller.covers(system.name):
        raise Denied(f"tokens of this issuer do not count for the system {system.name}")
