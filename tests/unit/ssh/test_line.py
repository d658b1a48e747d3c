"""The waiting line."""

from __future__ import annotations

import asyncio

import pytest

from goldcrest.ssh.line import Line

pytestmark = pytest.mark.unit


async def queue_up(line: Line, served: list[int], count: int) -> list[asyncio.Task[None]]:
    async def wait(number: int) -> None:
        await line.wait(in_front=False)
        served.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_one_at_a_time_in_order():
    """Each call wakes one waiter, the one that waits longest."""
    line, served = Line(), []
    tasks = await queue_up(line, served, 3)
    for expected in ([0], [0, 1], [0, 1, 2]):
        line.call()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert served == expected
    await asyncio.gather(*tasks)


async def test_who_leaves_from_the_front_lets_the_next_look():
    """What was too much for the first may be enough for the second."""
    line, served = Line(), []
    tasks = await queue_up(line, served, 3)
    tasks[1].cancel()
    await asyncio.sleep(0.01)
    assert served == []
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    assert served == [2]


async def test_who_found_no_room_stays_first():
    """A waiter that was called in vain does not lose its turn."""
    line, served = Line(), []
    tasks = await queue_up(line, served, 1)
    first = asyncio.create_task(line.wait(in_front=True))
    await asyncio.sleep(0)
    line.call()
    await asyncio.wait_for(first, 1)
    assert served == []
    line.call_all()
    await asyncio.gather(*tasks)


async def test_a_call_to_somebody_who_leaves_goes_to_the_next():
    """A waiter that is cancelled at the very moment of its call loses nobody's place."""
    line, served = Line(), []
    tasks = await queue_up(line, served, 2)
    line.call()
    tasks[0].cancel()
    await asyncio.wait_for(tasks[1], 1)
    assert served == [1]
    assert len(line) == 0


async def test_who_leaves_is_not_called():
    """A waiter that gave up takes no call away from others."""
    line, served = Line(), []
    tasks = await queue_up(line, served, 2)
    tasks[1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(line) == 1
    line.call()
    await asyncio.wait_for(tasks[0], 1)


async def test_a_call_right_after_who_leaves():
    """A waiter that was cancelled just before the call ends as cancelled, and the call reaches the next."""
    line, served = Line(), []
    tasks = await queue_up(line, served, 2)
    tasks[0].cancel()
    line.call()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await asyncio.wait_for(tasks[1], 1)
    assert served == [1]
