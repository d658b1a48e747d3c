"""Bytes that a client sends, kept until their digest is known: it is signed before they may go on to a login node."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from goldcrest.commands import Payload
from goldcrest.ssh.frames import PIECE

_IN_MEMORY: Final = 512 * 1024  # bytes; more go to a file


class Spool:
    """A payload on its way: written once, then read. Its file has no name, so nothing is left behind.

    Args:
        folder: where the file is made, when there is one.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder))  # noqa: SIM115  closed by __exit__
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the bytes up."""
        self._file.close()

    async def write(self, data: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError: no room in the folder.
        """
        self._waiting.append(data)
        self._waiting_size += len(data)
        self.size += len(data)
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
