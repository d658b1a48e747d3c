"""A queue of keys: each key is in it once, is worked on by one worker at a time, and comes back after failures with growing pauses."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from goldcrest_operator.metrics import Metrics

K = TypeVar("K", bound=Hashable)


class QueueClosed(Exception):
    """No more keys: the process is ending."""


class WorkQueue(Generic[K]):
    """Keys to be worked on, first in, first out.

    A key that is added while it waits is there once. One that is added while it is worked on comes back when that is done, so nothing that
    happened meanwhile is missed, and never two workers hold the same key.

    Args:
        first: seconds of the pause after a first failure; doubled with each further one.
        most: seconds of the longest pause.
        lane_of: what a key needs and shares with others (a system); None: nothing that could hold it up.
        lane_most: keys of a lane that are given out at once, as it is now; the others wait without a worker.
        chance: number from 0 to 1; the pause is between half and all of its length, so that keys do not come back together.
        metrics: is told how long keys wait and are worked on.
    """

    def __init__(
        self,
        *,
        first: float,
        most: float,
        lane_of: Callable[[K], str | None] = lambda _: None,
        lane_most: Callable[[str], int] = lambda _: 1,
        chance: Callable[[], float] = random.random,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._first = first
        self._most = most
        self._lane_of = lane_of
        self._lane_most = lane_most
        self._chance = chance
        self._lane_of_held: dict[K, str] = {}
        self._held_of_lane: Counter[str] = Counter()
        self._lane_returned_from: dict[K, str] = {}
        self._parked: dict[str, deque[K]] = {}  # queued, but their lane has its share
        self._ready: OrderedDict[K, None] = OrderedDict()
        self._queued: dict[K, float] = {}  # and since when, the longest first
        self._held: dict[K, float] = {}
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queued)

    @property
    def held(self) -> int:
        """Keys being worked on now."""
        return len(self._held)

    @property
    def oldest_seconds(self) -> float:
        """How long the key has waited that waits longest; 0 when none waits."""
        return self._clock() - next(iter(self._queued.values())) if self._queued else 0.0

    @property
    def longest_seconds(self) -> float:
        """How long the key has been worked on that takes longest; 0 when none is."""
        return self._clock() - next(iter(self._held.values())) if self._held else 0.0

    def add(self, key: K) -> None:
        """Have the key worked on as soon as a worker is free; a pause that it was in is over."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._held:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = self._clock()
            if self._metrics is not None:
                self._metrics.queue_adds.inc()
            self._ready[key] = None
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Add it after a pause, unless it is added before; of two pauses the one that ends first counts."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        timer = self._timers.get(key)
        if self._closed or (timer is not None and timer.when() <= at):
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(at, self._due, key)

    def retry(self, key: K) -> float:
        """Add it after the pause that its failures so far are worth; returns the seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause = min(self._first * 2.0 ** min(count, 30), self._most) * (1 + self._chance()) / 2
        self.add_after(key, pause)
        if self._metrics is not None:
            self._metrics.queue_retries.inc()
        return pause

    def succeeded(self, key: K) -> None:
        """Its next failure is a first one."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """It is gone: no pauses, no failures, no place. (A place behind others of its lane is kept: its end is what lets the next one go.)"""
        self._failures.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._ready and key not in self._lane_returned_from:
            del self._ready[key]
            del self._queued[key]

    async def take(self) -> K:
        """The next key; call :meth:`done` when its work is done.

        Raises:
            QueueClosed: there will be no more.
        """
        while True:
            while not self._ready and not self._closed:
                self._wake.clear()
                await self._wake.wait()
            if self._closed:
                raise QueueClosed
            key, _ = self._ready.popitem(last=False)
            lane = self._lane_returned_from.pop(key, None) or self._lane_of(key)
            if lane is not None and self._held_of_lane[lane] >= self._lane_most(lane):
                self._parked.setdefault(lane, deque()).append(key)
                continue
            if lane is not None:
                self._lane_of_held[key] = lane
                self._held_of_lane[lane] += 1
            now = self._held[key] = self._clock()
            since = self._queued.pop(key, now)
            if self._metrics is not None:
                self._metrics.queue_waits.observe(now - since)
            return key

    def done(self, key: K) -> None:
        """The work is done; if the key was added meanwhile, it comes back now."""
        since = self._held.pop(key, None)
        if self._metrics is not None and since is not None:
            self._metrics.queue_work.observe(self._clock() - since)
        lane = self._lane_of_held.pop(key, None)
        if lane is not None:
            self._leave(lane)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Give out no more keys; what is being worked on can be finished."""
        self._closed = True
        self._wake.set()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _leave(self, lane: str) -> None:
        self._held_of_lane[lane] -= 1
        if not self._held_of_lane[lane]:
            del self._held_of_lane[lane]
        parked = self._parked.get(lane)
        if parked:
            key = parked.popleft()
            self._lane_returned_from[key] = lane  # also when it has none by now: its end lets the next one go
            self._ready[key] = None
            self._ready.move_to_end(key, last=False)
            self._wake.set()
        if not parked:
            self._parked.pop(lane, None)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
