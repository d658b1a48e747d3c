"""The way to a host that is reached directly: a TCP connection on which packets that belong together leave together, and arrive in small reads.

asyncssh writes each packet by itself; sshd would wake up for each. Of what it has read it copies all that is left for each packet, twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from goldcrest.coalescing import Coalescing
from goldcrest.ssh.packets import plain_packets

_READ: Final = 64 * 1024  # bytes: two packets


class Direct:
    """What asyncssh opens a connection through; its interface of a tunnel."""

    async def create_connection(
        self, factory: Callable[[], Any], host: str, port: int
    ) -> tuple[asyncio.BaseTransport, Any]:
        """Connect.

        Raises:
            OSError: as sockets do.
        """
        inner = plain_packets(factory())
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: _Wire(inner), host, port)
        return transport, inner


class _Wire(asyncio.BufferedProtocol):
    """What comes goes to asyncssh, from a buffer that is used again and again."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._buffer = memoryview(bytearray(_READ))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(Coalescing(cast(asyncio.Transport, transport)))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._inner.data_received(self._buffer[:nbytes])  # which copies it

    def eof_received(self) -> bool | None:
        ended: bool | None = self._inner.eof_received()
        return ended

    def connection_lost(self, error: Exception | None) -> None:
        self._inner.connection_lost(error)
