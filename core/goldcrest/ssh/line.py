"""A waiting line: who came first is called first, and one at a time, so that a thousand waiters do not wake for one place."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Line:
    """Waiters for something that others give back.

    Whoever is called looks whether there is room, and after taking it calls the next (:meth:`call`); who finds none waits
    again, in front.
    """

    def __init__(self) -> None:
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    def call(self) -> None:
        """Call the first."""
        while self._waiters:
            future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
                return

    def call_all(self) -> None:
        """Call everybody: there is nothing to wait for any more."""
        for _ in range(len(self._waiters)):
            self.call()

    async def wait(self, *, in_front: bool) -> None:
        """Wait to be called.

        Args:
            in_front: for who was called before, in vain.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if in_front:
            self._waiters.appendleft(future)
        else:
            self._waiters.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.call()  # we were called and go away: the next one's turn
            else:
                first = bool(self._waiters) and self._waiters[0] is future
                with suppress(ValueError):  # called in the same moment, when it was already cancelled
                    self._waiters.remove(future)
                if first:
                    self.call()  # there may be room for less than was wanted here
            raise
