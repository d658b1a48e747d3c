from __future__ import annotations

from typing import Any

import pytest

from goldcrest.ssh import login
from goldcrest.ssh.packets import IGNORE, plain_packets

pytestmark = pytest.mark.unit


class Connection:
    """Sends as asyncssh does: an empty packet before each."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, tuple[bytes, ...]]] = []
        self.logged = 0

    def send_packet(self, kind: int, *parts: bytes, handler: Any = None) -> None:
        if kind != IGNORE:
            self.send_packet(IGNORE, b"")
        self.sent.append((kind, parts))
        (handler or self).log_sent_packet(kind, 1, b"")

    def log_sent_packet(self, *_: Any) -> None:
        self.logged += 1


def test_nothing_without_a_meaning() -> None:
    """Packets go out as they are, and those before them do not."""
    connection = plain_packets(Connection())
    connection.send_packet(94, b"a", b"b", handler=connection)
    assert (connection.sent, connection.logged) == ([(94, (b"a", b"b"))], 0)


def test_authenticated_ciphers_only() -> None:
    """With one of the others, what is left out is needed (RFC 4251, 9.3.1)."""
    assert login._CIPHERS
    assert all("gcm" in name or "poly1305" in name for name in login._CIPHERS)
