"""One system call for what is written in one go: a head and its body, a packet and the padding before it.

Without it each piece is a segment of its own, and wakes the other process before there is anything for it to do: on a login node, in delegation and in a client
alike. What is written waits until the event loop has run what is ready, which is no time at all, and goes out as one.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AT_ONCE: Final = 64 * 1024  # bytes that do not wait for more
_LINGER_SECONDS: Final = 30.0  # for the other side to take what was written before the end


class Coalescing:
    """A transport around a transport; all but writing and ending is the inner one's."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """As the inner one's; a buffer that changes later is not taken along."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(bytes(data))
        self._size += len(data)
        if self._size >= _AT_ONCE:
            self.flush()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """What was written still goes out."""
        self.flush()
        left = 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()
        self._transport.close()
        if left:  # whoever reads nothing would keep socket and bytes for ever
            self._loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        self._pieces, self._size = [], 0
        self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def flush(self) -> None:
        """What was written goes out now."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.writelines(pieces)  # of uvloop's, one writev(2)
