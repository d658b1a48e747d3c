"""The queue: each key once, by one worker at a time, and back after failures."""

from __future__ import annotations

import asyncio

import pytest

from goldcrest_operator.metrics import Metrics
from goldcrest_operator.workers import share
from goldcrest_operator.workqueue import QueueClosed, WorkQueue

pytestmark = pytest.mark.unit


def queue(*, first: float = 0.01, most: float = 0.08) -> WorkQueue[str]:
    return WorkQueue(first=first, most=most, chance=lambda: 1.0)


async def test_coalesces() -> None:
    """A key that is added twice while it waits comes once; the order is that of the first additions."""
    keys = queue()
    for key in ("a", "b", "a"):
        keys.add(key)
    assert [await keys.take(), await keys.take()] == ["a", "b"]
    assert len(keys) == 0


async def test_lanes() -> None:
    """One lane gets its share of what is given out at once; what it has more waits for it in order, and holds up no other."""
    keys = WorkQueue[str](
        first=0.01, most=0.08, lane_of=lambda key: key[0] if key[0] != "-" else None, lane_most=lambda _: 2
    )
    for key in ("a1", "a2", "a3", "a4", "b1", "-1", "-2", "-3"):
        keys.add(key)
    assert [await keys.take() for _ in range(6)] == ["a1", "a2", "b1", "-1", "-2", "-3"]
    keys.add("a3")  # it waits already
    assert len(keys) == 2
    taking = asyncio.create_task(keys.take())
    await asyncio.sleep(0.01)
    assert not taking.done()
    keys.done("b1")
    keys.done("a1")
    assert await taking == "a3"
    keys.done("a3")
    keys.done("a2")
    assert await keys.take() == "a4"
    keys.done("a4")
    assert len(keys) == 0


async def test_forgotten_while_it_waits() -> None:
    """What is gone has no place any more, so that one who only watches collects nothing; it can come again."""
    keys = queue()
    for number in range(1000):
        keys.add(f"k{number}")
        keys.forget(f"k{number}")
    assert (len(keys), len(keys._ready)) == (0, 0)
    keys.add("a")
    keys.add("b")
    keys.forget("a")
    keys.add("a")
    assert [await keys.take(), await keys.take()] == ["b", "a"]


async def test_forgotten_in_its_lane() -> None:
    """What is gone while it waits for its lane lets the next one go."""
    keys = WorkQueue[str](first=0.01, most=0.08, lane_of=lambda _: "x")
    for key in "abc":
        keys.add(key)
    assert await keys.take() == "a"
    taking = asyncio.create_task(keys.take())
    await asyncio.sleep(0)
    keys.forget("b")
    keys.done("a")
    keys.forget("b")
    assert await taking == "b"
    keys.done("b")
    assert await keys.take() == "c"


async def test_lane_of_what_is_gone() -> None:
    """A key that has no lane any more when its turn comes does not leave those behind it waiting."""
    lanes: dict[str, str] = dict.fromkeys("abc", "x")
    keys = WorkQueue[str](first=0.01, most=0.08, lane_of=lanes.get)
    for key in "abc":
        keys.add(key)
    assert await keys.take() == "a"
    keys.add("d")
    assert await keys.take() == "d"
    lanes.clear()
    for key in "abc":
        keys.done(key)
        if key != "c":
            assert await asyncio.wait_for(keys.take(), 1) == chr(ord(key) + 1)


@pytest.mark.parametrize(("systems", "expected"), [(0, 32), (1, 32), (2, 16), (4, 8), (50, 8)])
def test_share(systems: int, expected: int) -> None:
    """With several systems none gets more than a quarter of the workers, or an even part."""
    assert share(32, systems=systems) == expected
    assert share(1, systems=systems) == 1


async def test_comes_back_when_added_meanwhile() -> None:
    """A key that is added while it is worked on comes back afterwards, once, and never to a second worker at the same time."""
    keys = queue()
    keys.add("a")
    await keys.take()
    keys.add("a")
    keys.add("a")
    assert len(keys) == 0
    keys.done("a")
    assert await keys.take() == "a"
    keys.done("a")
    assert len(keys) == 0


async def test_pauses_grow() -> None:
    """Pauses after failures double up to the longest; a success begins anew."""
    keys = queue(first=1, most=5)
    assert [keys.retry("a") for _ in range(5)] == [1, 2, 4, 5, 5]
    keys.succeeded("a")
    assert keys.retry("a") == 1
    keys.close()


async def test_pauses_differ_by_chance() -> None:
    """A pause is between half and all of its length."""
    keys: WorkQueue[str] = WorkQueue(first=1, most=5, chance=lambda: 0.0)
    assert keys.retry("a") == 0.5
    keys.close()


async def test_pause_ends_early() -> None:
    """A key that is added during its pause comes at once, and not a second time."""
    keys = queue()
    keys.add_after("a", 0.03)
    keys.add("a")
    assert await keys.take() == "a"
    keys.done("a")
    await asyncio.sleep(0.06)
    assert len(keys) == 0


async def test_the_earlier_pause_counts() -> None:
    """Of two pauses the one that ends first counts."""
    keys = queue()
    keys.add_after("a", 60)
    keys.add_after("a", 0.01)
    keys.add_after("a", 60)
    async with asyncio.timeout(5):
        assert await keys.take() == "a"


async def test_forgotten() -> None:
    """A forgotten key does not come back."""
    keys = queue()
    keys.add_after("a", 0.01)
    keys.forget("a")
    await asyncio.sleep(0.03)
    assert len(keys) == 0


async def test_workers_share() -> None:
    """Many workers, many keys: each key is worked on once, by one worker."""
    keys, seen = queue(), []

    async def work() -> None:
        while True:
            key = await keys.take()
            seen.append(key)
            await asyncio.sleep(0)
            keys.done(key)

    workers = [asyncio.create_task(work()) for _ in range(8)]
    for number in range(200):
        keys.add(str(number))
    async with asyncio.timeout(5):
        while len(seen) < 200:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert sorted(seen, key=int) == [str(number) for number in range(200)]
    keys.close()
    for result in await asyncio.gather(*workers, return_exceptions=True):
        assert isinstance(result, QueueClosed)


async def test_what_is_measured() -> None:
    """How long keys wait and are worked on; the oldest of each now; retries and additions."""
    time, metrics = [100.0], Metrics()
    keys: WorkQueue[str] = WorkQueue(first=0.01, most=0.08, metrics=metrics, clock=lambda: time[0])
    assert (keys.oldest_seconds, keys.longest_seconds) == (0, 0)
    keys.add("a")
    time[0] = 101.0
    keys.add("b")
    keys.add("a")  # it waits already
    time[0] = 103.0
    assert keys.oldest_seconds == 3
    assert await keys.take() == "a"
    assert keys.oldest_seconds == 2
    time[0] = 107.0
    assert keys.longest_seconds == 4
    keys.retry("a")
    keys.done("a")
    keys.close()
    assert keys.longest_seconds == 0
    page = metrics.text().decode()
    for line in ("adds_total 2.0", "retries_total 1.0", "wait_seconds_sum 3.0", "work_seconds_sum 4.0"):
        assert f"goldcrest_operator_queue_{line}" in page
