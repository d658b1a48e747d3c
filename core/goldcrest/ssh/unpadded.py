"""No empty packet before each of ours.

asyncssh puts one there against a weakness of CBC ciphers, whose next block somebody could guess (RFC 4251, 9.3.1). We allow authenticated ciphers only,
which do not have it; and each of those packets is encrypted here and decrypted on the login node, where it is half of all packets.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

IGNORE: Final = 2  # SSH_MSG_IGNORE (RFC 4253, 11.2)

_Connection = TypeVar("_Connection")


def unpadded(connection: _Connection) -> _Connection:
    """The same asyncssh connection, which sends what has a meaning only."""
    send: Any = connection.send_packet  # type: ignore[attr-defined]

    def send_packet(kind: int, *parts: bytes, **more: Any) -> None:
        if kind != IGNORE:
            send(kind, *parts, **more)

    connection.send_packet = send_packet  # type: ignore[attr-defined]
    return connection
