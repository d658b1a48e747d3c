"""Who gets the next turn on a system."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from goldcrest_api.overload import TooManyRequests
from goldcrest_api.services.turns import Turns

pytestmark = pytest.mark.unit


def turns(*, at_once: int = 2, of_user: int = 2, waiting: int = 10, seconds: float = 5) -> Turns:
    return Turns(system="cluster", at_once=at_once, of_user=of_user, waiting=waiting, seconds=seconds)


class Commands:
    """Commands that end when they are told to; remembers in which order they began."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.begun: list[str] = []
        self._end: list[asyncio.Event] = []

    def start(self, user: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._run(user))

    async def _run(self, user: str) -> None:
        async with self._turns.turn(user):
            self.begun.append(user)
            end = asyncio.Event()
            self._end.append(end)
            await end.wait()

    async def end_one(self) -> None:
        self._end.pop(0).set()
        await _settle()


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_requests_of_one_do_not_hold_up_another() -> None:
    """Bob comes behind ten of Alice, and gets the next turn that is free."""
    commands = Commands(turns())
    tasks = [commands.start("alice") for _ in range(10)]
    await _settle()
    tasks.append(commands.start("bob"))
    await _settle()
    assert commands.begun == ["alice", "alice"]
    await commands.end_one()
    assert commands.begun[2] == "bob"
    while not all(task.done() for task in tasks):
        await commands.end_one()
    assert Counter(commands.begun) == {"alice": 10, "bob": 1}


async def test_who_want_the_same_get_the_same() -> None:
    """However uneven their queues are: turn by turn."""
    commands = Commands(turns(at_once=3, of_user=3, waiting=100))
    tasks = [commands.start("alice") for _ in range(60)] + [commands.start("bob") for _ in range(20)]
    tasks += [commands.start("carol") for _ in range(20)]
    await _settle()
    while len(commands.begun) < 60:
        await commands.end_one()
    shares = Counter(commands.begun[3:])
    assert max(shares.values()) - min(shares.values()) <= 3
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_user_alone_may_not_have_it_all() -> None:
    """Some turns stay free for others, and the limit of a user counts while they wait."""
    system = turns(at_once=10, of_user=2)
    commands = Commands(system)
    tasks = [commands.start("alice") for _ in range(4)]
    await _settle()
    assert (system.under_way, system.waiting) == (2, 2)
    tasks.append(commands.start("bob"))
    await _settle()
    assert commands.begun == ["alice", "alice", "bob"]
    while not all(task.done() for task in tasks):
        await commands.end_one()
    assert (system.under_way, system.waiting) == (0, 0)


async def test_queue_is_bounded_for_each() -> None:
    """The one too many is refused at once, with when to come again; another user may still wait."""
    system = turns(at_once=1, of_user=1, waiting=2)
    commands = Commands(system)
    tasks = [commands.start("alice") for _ in range(3)]
    await _settle()
    with pytest.raises(TooManyRequests, match="user alice has 1 commands under way on cluster and 2 waiting") as caught:
        async with system.turn("alice"):
            pytest.fail("it had no turn")
    assert caught.value.headers == {"Retry-After": "2"}
    tasks.append(commands.start("bob"))
    await _settle()
    assert system.waiting == 3
    while not all(task.done() for task in tasks):
        await commands.end_one()


async def test_waiting_ends() -> None:
    """Nobody waits longer than stated; the place in the queue is given up."""
    system = turns(at_once=1, seconds=0.05)
    commands = Commands(system)
    task = commands.start("alice")
    await _settle()
    with pytest.raises(TooManyRequests, match=r"waited 0\.05 s"):
        async with system.turn("bob"):
            pytest.fail("it had no turn")
    assert system.waiting == 0
    await commands.end_one()
    await task
    assert system.under_way == 0


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _nothing(_: asyncio.Task[None]) -> None:
    pass


@pytest.mark.parametrize("before", [_cancel, _nothing])
@pytest.mark.parametrize("after", [_cancel, _nothing])
async def test_client_that_goes_away_takes_no_turn_with_it(
    before: Callable[[asyncio.Task[None]], None], after: Callable[[asyncio.Task[None]], None]
) -> None:
    """Cancelled in the queue, in the very moment when its turn comes, or while it runs: no turn is lost, and none is there twice."""
    system = turns(at_once=1)
    commands = Commands(system)
    first, second, third = (commands.start(user) for user in ("alice", "bob", "carol"))
    await _settle()
    before(second)
    commands._end.pop(0).set()
    await asyncio.sleep(0)
    after(second)
    await _settle()
    assert system.under_way == 1
    while commands._end:
        await commands.end_one()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert (system.under_way, system.waiting) == (0, 0)
    async with system.turn("dave"):
        assert system.under_way == 1
