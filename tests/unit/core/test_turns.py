"""Long work on the loop gives others their turn, short work does not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from goldcrest import turns
from goldcrest.turns import Turns, in_turns

pytestmark = pytest.mark.unit


async def others(counted: list[int]) -> None:
    """What else is on the loop: counts how often its turn came."""
    while True:
        counted[0] += 1
        await asyncio.sleep(0)


class Clock:
    """A clock that runs when work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(turns, "time", self)

    def monotonic(self) -> float:
        return self.now

    def items(self, number: int, seconds: float) -> Iterator[int]:
        for item in range(number):
            self.now += seconds
            yield item


async def turns_of_others(clock: Clock, seconds: float) -> int:
    counted = [0]
    other = asyncio.create_task(others(counted))
    assert [item async for item in in_turns(clock.items(80, seconds))] == list(range(80))
    other.cancel()
    return counted[0]


async def test_long_work_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 ms of items, others have their turn every eight of 1 ms."""
    assert await turns_of_others(Clock(monkeypatch), 0.001) == 10


async def test_short_work_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving way for nothing would make each answer wait for all others."""
    assert await turns_of_others(Clock(monkeypatch), 0.00001) == 0


async def test_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in pieces gives way when the time of a turn is over, and has a whole turn after that."""
    clock, counted = Clock(monkeypatch), [0]
    mine = Turns()
    other = asyncio.create_task(others(counted))
    seen = []
    for seconds in (0.004, 0.002, 0.004, 0.002, 0.0):
        clock.now += seconds
        await mine.give()
        seen.append(counted[0])
    other.cancel()
    assert seen == [0, 1, 1, 2, 2]
