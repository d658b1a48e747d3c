"""The Lease: one holder, taken over when it is not renewed, given up at the end."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

from goldcrest.errors import Conflict, KubernetesUnavailable, NotFound
from goldcrest_operator.lease import Lease, LeaseLost, LeaseTimes, StoreWentBack, new_identity

pytestmark = pytest.mark.unit

TIMES = LeaseTimes(duration=15, renew_deadline=10, retry=0.001)


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Leases:
    """The API server's one Lease."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.before_write: Callable[[], None] = lambda: None

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        if self.down:
            raise KubernetesUnavailable("away")
        if method == "GET":
            if self.stored is None:
                raise NotFound(path)
            return copy.deepcopy(self.stored)
        self.before_write()
        self.before_write = lambda: None
        if method == "POST" and self.stored is not None:
            raise Conflict("exists")
        if method == "PUT" and body["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("changed")
        self.version += 1
        self.stored = copy.deepcopy(body)
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.stored)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.stored is not None
        return dict(self.stored["spec"])


def lease(kube: Leases, clock: Clock, name: str) -> Lease:
    return Lease(kube, shard="default", identity=name, times=TIMES, clock=clock)


async def acquired(candidate: Lease, *, seconds: float = 0.05) -> bool:
    """Whether it can be had within a moment."""
    stop = asyncio.Event()
    task = asyncio.create_task(candidate.acquire(stop))
    await asyncio.wait({task}, timeout=seconds)
    stop.set()
    return await task


async def test_first_come() -> None:
    """The first one gets it, the second does not while it is renewed."""
    kube, clock = Leases(), Clock()
    first, second = lease(kube, clock, "first"), lease(kube, clock, "second")
    assert await acquired(first)
    first.check()
    assert kube.spec["holderIdentity"] == "first"
    assert kube.spec["leaseDurationSeconds"] == 15
    assert not await acquired(second)
    with pytest.raises(LeaseLost):
        second.check()


async def test_taken_over() -> None:
    """A Lease that did not change for its duration, by the successor's own clock, is taken; the transition is counted."""
    kube, clock = Leases(), Clock()
    first, second = lease(kube, clock, "first"), lease(kube, clock, "second")
    assert await acquired(first)
    assert not await acquired(second)
    clock.time += 14.9
    assert not await acquired(second)
    clock.time += 0.2
    assert await acquired(second)
    assert (kube.spec["holderIdentity"], kube.spec["leaseTransitions"]) == ("second", 1)


async def test_holder_stops_before_others_start() -> None:
    """Not renewed for the deadline: the holder stops by itself, five seconds before anybody else may begin."""
    kube, clock = Leases(), Clock()
    first = lease(kube, clock, "first")
    assert await acquired(first)
    clock.time += 9.9
    first.check()
    clock.time += 0.2
    with pytest.raises(LeaseLost):
        first.check()


async def test_kept() -> None:
    """It is renewed while the API server answers; short outages do no harm."""
    kube, clock = Leases(), Clock()
    first, stop = lease(kube, clock, "first"), asyncio.Event()
    assert await acquired(first)
    keeper = asyncio.create_task(first.keep(stop))
    for _ in range(5):
        clock.time += 8
        await asyncio.sleep(0.01)
    kube.down = True
    await asyncio.sleep(0.01)
    kube.down = False
    await asyncio.sleep(0.01)
    assert first.held
    stop.set()
    await keeper


async def test_lost_when_not_renewed() -> None:
    """An outage longer than the deadline ends the holder."""
    kube, clock = Leases(), Clock()
    first = lease(kube, clock, "first")
    assert await acquired(first)
    kube.down = True
    clock.time += 11
    with pytest.raises(LeaseLost):
        await first.keep(asyncio.Event())


async def test_lost_to_another() -> None:
    """A holder that wakes up late finds out that another one has it, and does not take it back."""
    kube, clock = Leases(), Clock()
    first, second = lease(kube, clock, "first"), lease(kube, clock, "second")
    assert await acquired(first)
    assert not await acquired(second)
    clock.time += 16
    assert await acquired(second)
    with pytest.raises(LeaseLost):
        await first.keep(asyncio.Event())
    with pytest.raises(LeaseLost):
        await first.confirm()
    assert kube.spec["holderIdentity"] == "second"


async def test_race() -> None:
    """Of two that try at the same moment one gets it: the other's write meets a changed resourceVersion."""
    kube, clock = Leases(), Clock()
    first, second = lease(kube, clock, "first"), lease(kube, clock, "second")
    assert await acquired(lease(kube, clock, "gone"))
    for candidate in (first, second):
        assert not await acquired(candidate)
    clock.time += 16

    def overtake() -> None:
        assert kube.stored is not None
        kube.version += 1
        kube.stored["metadata"]["resourceVersion"] = str(kube.version)
        kube.stored["spec"]["holderIdentity"] = "second"

    kube.before_write = overtake
    assert not await acquired(first)
    assert kube.spec["holderIdentity"] == "second"


@pytest.mark.parametrize("gone", [False, True])
async def test_store_put_back(gone: bool) -> None:
    """Kubernetes shows an older version of the Lease, or none: etcd was restored. The holder does nothing more, although the Lease is its own."""
    kube, clock = Leases(), Clock()
    first = lease(kube, clock, "first")
    assert await acquired(first)
    early = copy.deepcopy(kube.stored), kube.version
    keeper = asyncio.create_task(first.keep(asyncio.Event()))
    await asyncio.sleep(0.01)
    kube.stored, kube.version = (None, 0) if gone else early
    with pytest.raises(StoreWentBack, match="put back to an earlier state"):
        await asyncio.wait_for(keeper, 1)
    assert not first.held


async def test_store_put_back_under_one_that_waits() -> None:
    """One that waits for the Lease has followed the resources meanwhile: it ends too, instead of taking over with what it knows."""
    kube, clock = Leases(), Clock()
    first, second = lease(kube, clock, "first"), lease(kube, clock, "second")
    assert await acquired(first)
    early = copy.deepcopy(kube.stored), kube.version
    await first.confirm()
    keeper = asyncio.create_task(first.keep(asyncio.Event()))
    waiting = asyncio.create_task(second.acquire(asyncio.Event()))
    await asyncio.sleep(0.02)
    keeper.cancel()
    await asyncio.sleep(0.01)
    kube.stored, kube.version = early
    clock.time += 16
    with pytest.raises(StoreWentBack):
        await asyncio.wait_for(waiting, 1)


async def test_given_up() -> None:
    """At a clean end it is given up, and the successor need not wait."""
    kube, clock = Leases(), Clock()
    first, second = lease(kube, clock, "first"), lease(kube, clock, "second")
    assert await acquired(first)
    await first.release()
    assert not first.held
    assert await acquired(second)


def test_identity() -> None:
    """Each start has another identity."""
    assert new_identity() != new_identity()
    assert len(new_identity().split("_")) >= 3
