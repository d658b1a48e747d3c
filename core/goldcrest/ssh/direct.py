"""The way to a host that is reached directly: a TCP connection on which packets that belong together leave together.

asyncssh writes each packet by itself; sshd would wake up for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from goldcrest.coalescing import Coalescing
from goldcrest.ssh.packets import plain_packets


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


class _Wire(asyncio.Protocol):
    """Hands the connection over to asyncssh as soon as it is there."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        stream.set_protocol(self._inner)
        self._inner.connection_made(Coalescing(stream))
