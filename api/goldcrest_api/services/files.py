"""Operations on files of a system, done while the client waits: no resource, no state."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from goldcrest.commands import Command, ReadFile, StatFile, WriteFile
from goldcrest.commands.files import READ_LIMIT
from goldcrest.errors import CommandFailed, Denied
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.ports import RemoteAnswer, RemoteCommands
from goldcrest_api.spool import Spool
from goldcrest_api.system_cache import SystemView

_SECONDS_PER_BYTE: Final = 1 / 2**20  # an upload gets a second more for each MiB
_AT_ONCE: Final = (
    256 * 1024
)  # bytes of an upload up to which it shares a channel with other commands, and may be tried again


class Files:
    """Runs typed commands as the caller, within the System's time limit.

    Args:
        connect_seconds: time beside the operation's own: for a connection, a certificate, and the answer's way.
    """

    def __init__(self, remote: RemoteCommands, *, connect_seconds: float) -> None:
        self._remote = remote
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
        self, command: WriteFile, spool: Spool, *, system: SystemView, caller: Caller, trace: Trace
    ) -> RemoteAnswer:
        """Write a file whose bytes wait in a spool.

        Raises:
            GoldcrestError: what kept it from being written; nothing is left of it then.
        """
        _check_covered(system, caller)
        size = command.content.size
        seconds = system.spec.limits.seconds + size * _SECONDS_PER_BYTE
        where: dict[str, Any] = {
            "system": system.name,
            "spec": system.spec,
            "user": caller.user,
            "basis": caller.basis,
            "trace": trace,
            "node_seconds": seconds,
        }
        quiet = system.spec.limits.seconds + self._connect_seconds
        async with aclosing(spool.pieces()) as pieces:
            if size <= _AT_ONCE:
                payload = b"".join([piece async for piece in pieces])
                return await self._remote.run(command, payload=payload, seconds=quiet, **where)
            return await self._remote.upload(command, pieces, seconds=quiet, **where)

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


def _check_covered(system: SystemView, caller: Caller) -> None:
    if not caller.covers(system.name):
        raise Denied(f"tokens of this issuer do not count for the system {system.name}")
