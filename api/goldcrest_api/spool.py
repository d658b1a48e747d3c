"""Bytes that a client sends and that cannot go on yet: it is not known where to, or the login node wants their digest first."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from goldcrest.commands import Payload
from goldcrest.ssh.frames import PIECE

_IN_MEMORY: Final = 512 * 1024  # bytes; more go to a file


class Spools:
    """Where payloads wait, and how much of them altogether.

    Args:
        folder: where the files are made.
        most: bytes of all spools.
    """

    def __init__(self, folder: Path, *, most: int) -> None:
        self.folder = folder
        self._most = most
        self.held = 0
        """Bytes of all spools now."""

    def take(self, size: int) -> None:
        """
        Raises:
            OSError: there are too many.
        """
        if self.held + size > self._most:
            raise OSError(errno.ENOSPC, f"more than {self._most} bytes of uploads wait")
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size

    def open(self) -> Spool:
        """A new one; close it."""
        return Spool(self)


class Spool:
    """A payload on its way: written once, then read. Its file has no name, so nothing is left behind.

    Args:
        all_of_them: bound what it may hold.
    """

    def __init__(self, all_of_them: Spools) -> None:
        self._all = all_of_them
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(all_of_them.folder))  # noqa: SIM115  closed by __exit__
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._all.give_back(self.size)

    async def write(self, data: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError: no room in the folder, or too many wait.
        """
        self._all.take(len(data))
        self.size += len(data)
        self._waiting.append(data)
        self._waiting_size += len(data)
        if self._waiting_size >= PIECE:
            await asyncio.to_thread(self._flush)

    async def payload(self) -> Payload:
        """Digest and size of all that was written."""
        await asyncio.to_thread(self._flush)
        return Payload(self._digest.hexdigest(), self.size)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of it, from the beginning."""
        await asyncio.to_thread(self._file.seek, 0)
        while piece := await asyncio.to_thread(self._file.read, PIECE):
            yield piece

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_size = self._waiting, [], 0
        for data in waiting:
            self._digest.update(data)
            self._file.write(data)
