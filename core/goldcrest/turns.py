"""Long work on the event loop, in turns with everything else that waits there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

_T = TypeVar("_T")
_TURN_SECONDS: Final = (
    0.005  # a request that comes meanwhile waits this long; giving way itself costs some microseconds
)
_LOOK_EVERY: Final = 8  # items between two looks at the clock: what is done with one takes less than 100 µs


class Turns:
    """For work that comes piece by piece: what is read from a buffer that is full never waits by itself."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _TURN_SECONDS

    async def give(self) -> None:
        """Let others on the loop have their turn, if some milliseconds are over; call it between two pieces."""
        if time.monotonic() > self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + _TURN_SECONDS


async def in_turns(items: Iterable[_T]) -> AsyncIterator[_T]:
    """The items, one by one; after some milliseconds others on the loop get their turn.

    What the items are taken from may change meanwhile: give a copy of it, or what nobody else changes.
    """
    turns = Turns()
    for number, item in enumerate(items):
        yield item
        if number % _LOOK_EVERY == _LOOK_EVERY - 1:
            await turns.give()
