"""Payloads that are not held in memory: read piece by piece while they are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol


class PayloadSource(Protocol):
    """Where the bytes of a payload are. Their digest was taken before: it is signed."""

    @property
    def size(self) -> int:
        """Bytes altogether."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes from the beginning, in pieces of at most ``frames.PIECE``; asked for again when the command is tried again."""


def size_of(payload: bytes | PayloadSource) -> int:
    """Bytes of a payload, wherever they are."""
    return len(payload) if isinstance(payload, bytes) else payload.size
