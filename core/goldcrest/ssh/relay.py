"""The way through a jump host: its sshd runs a relay for whoever logs in, and SSH to the login host is spoken through that.

No forwarding is asked for: our certificates have no extensions, so no sshd would grant it (T2). The jump host sees encrypted bytes only; the
login host proves its pinned key through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import asyncssh

from goldcrest.ssh.packets import plain_packets

_COMMAND: Final = ":"  # sshd starts the relay whatever is asked for; where it does not, this does nothing
_PACKET: Final = 128 * 1024  # bytes


class Relay:
    """What asyncssh opens a connection through; its interface of a tunnel.

    Args:
        jump: the connection to the jump host.
    """

    def __init__(self, jump: asyncssh.SSHClientConnection) -> None:
        self._jump = jump

    async def create_connection(
        self, factory: Callable[[], Any], host: str, port: int
    ) -> tuple[asyncssh.SSHClientChannel[bytes], Any]:
        """Start the relay, and speak through it. Where it leads to is the jump host's own matter; the pinned key tells.

        Raises:
            ConnectionRefusedError: the jump host does not start it.
        """
        inner = plain_packets(factory())
        try:
            channel, _ = await self._jump.create_session(
                lambda: _Pipe(inner), _COMMAND, encoding=None, request_pty=False, max_pktsize=_PACKET
            )
        except asyncssh.ChannelOpenError as error:
            raise ConnectionRefusedError(f"the jump host starts no relay: {error.reason}") from None
        return channel, inner

    def close(self) -> None:
        self._jump.close()

    async def wait_closed(self) -> None:
        await self._jump.wait_closed()


class _Pipe(asyncssh.SSHClientSession[bytes]):
    """Hands a channel's bytes to the connection that is spoken through it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._inner.connection_made(chan)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is None:  # what the relay says of itself is not part of it
            self._inner.data_received(data)

    def eof_received(self) -> bool:
        self._inner.eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
