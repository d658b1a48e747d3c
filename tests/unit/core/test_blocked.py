"""The block list as a value, and the eye that gateway and operator keep on it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from goldcrest.authority import error_of
from goldcrest.blocked import LOOK_SECONDS, BlockFollower, BlockList
from goldcrest.errors import Blocked, DelegationUnavailable, GoldcrestError
from goldcrest_api.settings import DelegationSettings as ApiDelegation
from goldcrest_delegation.blocking import OPA_SECONDS
from goldcrest_operator.settings import DelegationSettings as OperatorDelegation

pytestmark = pytest.mark.unit

MALLORY = BlockList(frozenset({"mallory"}))
CONTROLLER = BlockList(requesters=frozenset({"system:serviceaccount:argocd:controller"}))


class Source:
    """Answers what it is told."""

    def __init__(self, answer: BlockList | Exception) -> None:
        self.answer = answer
        self.asked = asyncio.Semaphore(0)

    async def blocked(self) -> BlockList:
        self.asked.release()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_there_and_back() -> None:
    """What is served is read as it was; the version is that of the names, whatever their order."""
    both = MALLORY | CONTROLLER
    assert BlockList.load(both.dump()) == both
    assert both.dump()["version"] == (CONTROLLER | MALLORY).dump()["version"] != MALLORY.dump()["version"]


@pytest.mark.parametrize(
    "value", [{}, {"users": []}, {"users": "mallory", "requesters": []}, {"users": [1], "requesters": []}]
)
def test_what_is_no_list(value: dict[str, object]) -> None:
    """Anything else is no answer, and never an empty list."""
    with pytest.raises(DelegationUnavailable, match="no block list"):
        BlockList.load(value)


def test_refused_in_words() -> None:
    """Who is blocked is named, and the code tells it from other refusals."""
    with pytest.raises(Blocked, match="Unix user mallory is blocked by the site") as refused:
        MALLORY.check(requester="alice", user="mallory")
    assert refused.value.code == "Blocked"
    MALLORY.check(requester="mallory", user="alice")


async def test_tells_before_and_now() -> None:
    """Each answered look is told with the list before."""
    told: list[tuple[BlockList, BlockList]] = []
    source = Source(MALLORY)
    follower = BlockFollower(source, seconds=1, seen=[lambda before, now: told.append((before, now))])
    await follower.look()
    source.answer = CONTROLLER
    await follower.look()
    assert told == [(BlockList(), MALLORY), (MALLORY, CONTROLLER)]
    assert follower.now == CONTROLLER


@pytest.mark.parametrize("error", [DelegationUnavailable("delegation does not answer"), TimeoutError()])
async def test_the_last_list_stays(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """While delegation is silent the last list counts and nobody is told anything else; the log says it once, and when it is over."""
    told: list[BlockList] = []
    source = Source(MALLORY)
    follower = BlockFollower(source, seconds=1, seen=[lambda _, now: told.append(now)])
    await follower.look()
    caplog.clear()
    source.answer = error
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await follower.look()
        assert caplog.messages == ["blocklist.unknown"]
        assert follower.now == MALLORY
        assert told == [MALLORY]
        source.answer = MALLORY
        await follower.look()
    assert caplog.messages == ["blocklist.unknown", "blocklist.known"]


async def test_looks_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """A defect in what is told does not end the looking."""
    source = Source(MALLORY)

    def break_down(before: BlockList, now: BlockList) -> None:
        raise ValueError("a defect")

    task = asyncio.create_task(BlockFollower(source, seconds=0.005, seen=[break_down]).run())
    for _ in range(3):
        await source.asked.acquire()
    task.cancel()
    assert set(caplog.messages) == {"blocklist.changed", "blocklist.broken"}


def test_a_refusal_keeps_its_class() -> None:
    """Delegation's client makes the same exception of the code."""
    error: GoldcrestError = error_of({"code": "Blocked", "message": "no", "retryable": False})
    assert isinstance(error, Blocked)


def test_the_times_that_are_promised() -> None:
    """Within 5 s gateway and operator know of a change, whichever list it was made in, so that 5 s are left for a session and a hold."""
    assert LOOK_SECONDS + OPA_SECONDS <= 5
    gateway = ApiDelegation(url="unix:/x").blocked_seconds
    operator = OperatorDelegation(url="unix:/x").blocked_seconds
    assert gateway == operator == LOOK_SECONDS
