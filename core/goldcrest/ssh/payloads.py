"""Payloads on their way to a node, piece by piece: as many bytes as were signed, or as they come, with their number behind them. No I/O."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from goldcrest.commands.base import Command
from goldcrest.errors import InvalidInput, TooLarge


class Pieces:
    """What a command's payload is made of. Its source is asked for a piece only when the one before was taken.

    Args:
        source: pieces of any size.
        command: its payload says how many bytes there must be, or how many there may be.
    """

    def __init__(self, source: AsyncIterable[bytes], command: Command) -> None:
        self._source = source
        self._op = command.op
        payload = command.payload
        self._streamed = payload is not None and payload.is_streamed
        self._size = payload.size if payload is not None else 0
        self.begun = False
        self.waits = False
        """Whether it is the source of a streamed payload that is waited for: it has a clock of its own."""
        self.end: int | None = None
        """Once all was taken of a payload whose size was not signed: its bytes."""

    @property
    def known(self) -> int:
        """Bytes that there will be, as far as that is known."""
        return 0 if self._streamed else self._size

    def bound(self, most: int | None) -> None:
        """The node takes no more than this of a payload whose size was not signed."""
        if self._streamed and most is not None:
            self._size = min(self._size, most)

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self.begun = True
        pieces = self._as_they_come() if self._streamed else self._as_signed()
        async for piece in pieces:
            yield piece

    async def _as_they_come(self) -> AsyncGenerator[bytes, None]:
        size = 0
        source = aiter(self._source)
        while True:
            self.waits = True
            try:
                piece = await anext(source, None)
            finally:
                self.waits = False
            if piece is None:
                break
            size += len(piece)
            if size > self._size:
                raise TooLarge(f"{self._op}: the payload has more than {self._size} bytes")
            yield piece
        self.end = size

    async def _as_signed(self) -> AsyncGenerator[bytes, None]:
        left = self._size
        last = b""  # kept back until it is known that nothing follows: with it, the node would take the payload as complete
        async for piece in self._source:
            left -= len(piece)
            if left < 0:
                raise InvalidInput(f"{self._op}: the payload has more bytes than were signed")
            if last and piece:
                yield last
            last = piece or last
        if left:
            raise InvalidInput(f"{self._op}: the payload has {left} bytes less than were signed")
        if last:
            yield last
