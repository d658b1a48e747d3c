"""Operations on files of a system, done while the client waits: no resource, no state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from goldcrest.commands import Command, Payload, ReadFile, StatFile, WriteFile
from goldcrest.commands.files import READ_LIMIT
from goldcrest.errors import CommandFailed, Denied
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.overload import TooManyRequests
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
        spools: where uploads wait whose form does not begin with where they go.
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
        seconds = system.spec.limits.seconds(command.op)
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
        least: int,
        most: int,
        system: SystemView,
        caller: Caller,
        trace: Trace,
    ) -> RemoteAnswer:
        """Write a file, over what is there, with bytes that go on as they come: the node holds back who sends them.

        Args:
            mode: permission bits of a new file.
            least: bytes that will come, as far as that is known.
            most: bytes that may come.

        Raises:
            GoldcrestError: what kept it from being written; nothing is left of it then. And whatever ``pieces`` raises.
        """
        _check_covered(system, caller)
        first: list[bytes] = []
        if least <= _AT_ONCE:  # else its certificate is asked for while it comes
            first, all_came = await _beginning(pieces)
            if all_came:
                data = b"".join(first)
                command = WriteFile(path, Payload.of(data), mode=mode, overwrite=True)
                where = self._where(command, len(data), system, caller, trace)
                return await self._remote.run(command, payload=data, **where)
        command = WriteFile(path, Payload.streamed(most), mode=mode, overwrite=True)
        where = self._where(command, None, system, caller, trace)
        return await self._remote.upload(command, _chained(first, pieces), **where)

    async def write_spooled(
        self, path: str, spool: Spool, *, mode: int, system: SystemView, caller: Caller, trace: Trace
    ) -> RemoteAnswer:
        """Write a file, over what is there, with bytes that wait in a spool.

        Raises:
            GoldcrestError: what kept it from being written; nothing is left of it then.
        """
        _check_covered(system, caller)
        command = WriteFile(path, await spool.payload(), mode=mode, overwrite=True)
        where = self._where(command, spool.size, system, caller, trace)
        async with aclosing(spool.pieces()) as pieces:
            if spool.size <= _AT_ONCE:
                return await self._remote.run(command, payload=b"".join([piece async for piece in pieces]), **where)
            return await self._remote.upload(command, pieces, **where)

    def _where(self, command: Command, size: int | None, system: SystemView, caller: Caller, trace: Trace) -> Where:
        """``size``: None for what comes as fast as the client sends it, who has a time elsewhere; the node has its own limits."""
        seconds = system.spec.limits.seconds(command.op)
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
        self, path: str, *, most: int, system: SystemView, caller: Caller, trace: Trace
    ) -> tuple[int, AsyncGenerator[bytes, None]]:
        """The size of a file, and its bytes as they come; a slow reader holds the node back.

        Reading begins while the size is asked for. Close the bytes (``contextlib.aclosing``) when not all are read.

        Args:
            most: bytes; of a larger file there are none.

        Raises:
            GoldcrestError: why nothing is known of the file. What keeps it from being read is raised by its bytes: also CommandFailed
                ``changed``: it became shorter, or another took its place.
        """
        _check_covered(system, caller)
        reader = _Reader(self, path, system, caller, trace)
        first = _Ahead(reader.part(0, min(READ_LIMIT, most)))
        try:
            found = await self.run(StatFile(path, dereference=True), system=system, caller=caller, trace=trace)
        except BaseException:
            await first.close()
            raise
        size = int(found.result["size"])
        if 0 < size <= most:
            return size, reader.pieces(first, size, _identity(found))
        await first.close()
        return size, _nothing()

    def read(
        self, path: str, offset: int, length: int, *, system: SystemView, caller: Caller, trace: Trace
    ) -> AsyncGenerator[bytes, None]:
        """A part of a file as it comes.

        Raises:
            GoldcrestError: what kept it from being read.
        """
        command = ReadFile(path, offset=offset, length=length)
        return self._remote.stream(command, **self._where(command, None, system, caller, trace))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one file in parts, of which each opens its path anew."""

    files: Files
    path: str
    system: SystemView
    caller: Caller
    trace: Trace

    def part(self, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        return self.files.read(self.path, offset, length, system=self.system, caller=self.caller, trace=self.trace)

    async def _further(self, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """A part behind the first one; waits for its turn for as long as it takes, for the answer has begun."""
        begun = False
        while True:
            try:
                async with aclosing(self.part(offset, length)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except TooManyRequests as error:
                if begun:
                    raise
                await asyncio.sleep(error.retry_seconds)

    async def _stat(self) -> RemoteAnswer:
        while True:
            try:
                stat = StatFile(self.path, dereference=True)
                return await self.files.run(stat, system=self.system, caller=self.caller, trace=self.trace)
            except TooManyRequests as error:
                await asyncio.sleep(error.retry_seconds)

    async def pieces(self, part: _Ahead, size: int, file: tuple[int, int]) -> AsyncGenerator[bytes, None]:
        """All of it; the end of a part only when it is known to be of the same file."""
        offset = 0
        try:
            while True:
                end, last = min(offset + READ_LIMIT, size), b""
                async for piece in part:
                    if offset == end:
                        break  # it has grown since
                    if last:
                        yield last
                    last = piece[: end - offset]
                    offset += len(last)
                if offset < end:
                    raise _changed(self.path, f"the file became shorter while it was read: {offset} of {size} bytes")
                await part.close()
                if size > READ_LIMIT:  # what was renamed over it meanwhile is another file
                    if end < size:
                        part = _Ahead(self._further(end, min(READ_LIMIT, size - end)))
                    if _identity(await self._stat()) != file:
                        raise _changed(self.path, "another file took its place while it was read")
                yield last
                if end == size:
                    return
        finally:
            await part.close()


class _Ahead:
    """Pieces of which the first is asked for at once, not when somebody wants it."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces
        self._first: asyncio.Task[bytes | None] | None = asyncio.create_task(_next(pieces))

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        if self._first is not None:
            first = await self._first
            self._first = None
            if first is None:
                return
            yield first
        async for piece in self._pieces:
            yield piece

    async def close(self) -> None:
        """No more are wanted."""
        first, self._first = self._first, None
        if first is not None:
            first.cancel()
            await asyncio.wait((first,))
            if not first.cancelled():
                first.exception()  # nobody asks any more
        await self._pieces.aclose()


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(pieces, None)


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""


def _identity(found: RemoteAnswer) -> tuple[int, int]:
    return int(found.result["dev"]), int(found.result["ino"])


def _changed(path: str, message: str) -> CommandFailed:
    return CommandFailed(message, kind="changed", path=path)


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


def _chained(first: list[bytes], pieces: AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    async def chained() -> AsyncGenerator[bytes, None]:
        while first:
            yield first.pop(0)
        async for piece in pieces:
            yield piece

    return chained() if first else pieces


def _check_covered(system: SystemView, caller: Caller) -> None:
    if not caller.covers(system.name):
        raise Denied(f"tokens of this issuer do not count for the system {system.name}")
