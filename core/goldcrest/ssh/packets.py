"""asyncssh's packets, without what it does for each of them that we have no use for.

- It puts an empty packet before each, against a weakness of CBC ciphers, whose next block somebody could guess (RFC 4251, 9.3.1). We allow
  authenticated ciphers only, which do not have it; and each of those packets is encrypted here and decrypted on the login node.
- It makes a line of each for a log of packets that is never on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

IGNORE: Final = 2  # SSH_MSG_IGNORE (RFC 4253, 11.2)


class Sends(Protocol):
    """What is needed of asyncssh's connections."""

    send_packet: Callable[..., None]


_Connection = TypeVar("_Connection", bound=Sends)


class _NoLog:
    def log_sent_packet(self, *_: Any) -> None: ...


_NO_LOG: Final = _NoLog()


def plain_packets(connection: _Connection) -> _Connection:
    """The same asyncssh connection, which sends what has a meaning only."""
    send = connection.send_packet

    def send_packet(kind: int, *parts: bytes, handler: object = None) -> None:
        if kind != IGNORE:
            send(kind, *parts, handler=_NO_LOG)

    connection.send_packet = send_packet
    return connection
