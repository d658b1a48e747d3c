"""When schedulers are asked: lanes, one for each series of queries, and the pause between two queries of a lane."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrackerTimes:
    """Seconds between queries.

    Args:
        hot: while something was submitted or changed within ``hot_for``.
        few: while at most ``few_jobs`` jobs of the system are active.
        active: while more are.
        idle: while none is (observer account only; it still finds doubles).
        per_second: queries of one system, over all users' lanes; with many lanes each pauses longer. Lanes that are hot count by
            themselves, so that there may be twice as many for a moment.
        rest: a lane pauses for this many times as long as its last look at the queue took, up to ``active``: neither the controller nor we are
            kept busy by thousands of jobs of which some change all the time.
        at_once: queries of one system under way; further ones wait their turn.
        usage: seconds after the end of a job at which accounting is asked what it used, until it knows.
    """

    hot: float = 1.0
    hot_for: float = 15.0
    few: float = 1.5
    few_jobs: int = 200
    active: float = 4.0
    idle: float = 30.0
    per_second: float = 20.0
    rest: float = 3.0
    at_once: int = 4
    usage: tuple[float, ...] = (3.0, 10.0, 60.0)


@dataclass(slots=True)
class Lane:
    """One series of queries: of a system, as one account."""

    system: str
    user: str
    """Whose jobs; empty for all, asked as the observer."""
    hot_until: float = 0.0
    failures: int = 0
    took: float = 0.0
    """Seconds of the last look at the queue."""
    turn: int = 0
    settling: asyncio.Task[None] | None = None
    """What is found out about jobs that have ended, while it goes on."""
    with_strays: frozenset[str] = frozenset()
    """uids of Jobs whose doubles this lane saw last."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    answered_at: float = 0.0
    """When the scheduler answered last, or the lane began."""

    @property
    def of_observer(self) -> bool:
        return self.user == ""

    async def pause(self, seconds: float) -> bool:
        """Wait; true when something woke the lane before."""
        self.wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return False
        return True


def interval(
    lane: Lane, lanes: Iterable[Lane], *, times: TrackerTimes, now: float, own: int, all_jobs: int, owed: bool
) -> float:
    """Seconds between the beginnings of two rounds of a lane.

    Args:
        lanes: all there are, of whatever system.
        own: active jobs of this lane.
        all_jobs: active jobs of its system.
        owed: accounting is still to be asked about some that have ended.
    """
    hot = now < lane.hot_until
    if not own:
        base = times.active if owed else times.idle
    elif hot:
        base = times.hot
    else:
        base = times.few if all_jobs <= times.few_jobs else times.active
    # What the controller is asked in a second does not grow with the number of users.
    like_it = sum(other.system == lane.system and (now < other.hot_until) == hot for other in lanes)
    base = max(base, like_it / times.per_second)
    base = max(base, min(lane.took * (1 + times.rest), times.active))
    if lane.failures:
        base = max(base, min(times.hot * 2.0 ** min(lane.failures, 10), times.idle) * random.uniform(0.75, 1.25))  # noqa: S311
    return base
