"""Which login host to try: order of preference, and a circuit breaker with jittered back-off for each. No I/O."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from goldcrest.errors import GoldcrestError

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure: of which kind, what happened, how many in a row, and when the host may be tried again (clock of Breakers)."""

    kind: type[GoldcrestError]
    reason: str
    count: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """Hosts to try, in this order, and those that are left alone for now."""

    candidates: tuple[T, ...]
    resting: tuple[tuple[T, Failure], ...]


class Breakers(Generic[T]):
    """A circuit breaker for each key.

    Closed: no failure since the last success. Open: failed, and its time is not over: it is not tried. Half open: its time
    is over: it is tried, after those that are closed.

    Args:
        first: seconds that a host rests after its first failure; doubled with each further one.
        most: seconds that it rests at most.
        clock: monotonic seconds.
        chance: number from 0 to 1; up to half of the time is added by it, so that clients do not come back together.
    """

    def __init__(
        self,
        *,
        first: float,
        most: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._most = most
        self._clock = clock
        self._chance = chance
        self._failures: dict[T, Failure] = {}

    def failed(self, key: T, error: GoldcrestError) -> None:
        """Remember a failure. One that began while the host was already resting does not count again."""
        before = self._failures.get(key)
        now = self._clock()
        if before is not None and now < before.retry_at:
            return
        count = before.count + 1 if before else 1
        pause = min(self._first * 2.0 ** min(count - 1, 30), self._most)
        self._failures[key] = Failure(
            type(error), error.message, count, now + min(pause * (1 + self._chance() / 2), self._most)
        )

    def succeeded(self, key: T) -> None:
        self._failures.pop(key, None)

    def failure(self, key: T) -> Failure | None:
        """The failure that keeps it from being tried now."""
        failure = self._failures.get(key)
        return failure if failure is not None and self._clock() < failure.retry_at else None

    def suspicious(self, key: T) -> bool:
        """Whether the last attempt failed, however long ago."""
        return key in self._failures

    def seconds_left(self, failure: Failure) -> float:
        return max(0.0, failure.retry_at - self._clock())

    def choose(self, keys: Sequence[T]) -> Choice[T]:
        """Closed ones in the given order, then half-open ones; open ones apart."""
        if not self._failures:
            return Choice(tuple(keys), ())
        resting = tuple((key, failure) for key in keys if (failure := self.failure(key)) is not None)
        tired = {key for key, _ in resting}
        ready = [key for key in keys if key not in tired]
        return Choice(tuple(sorted(ready, key=self.suspicious)), resting)

    @property
    def open_count(self) -> int:
        """How many are left alone now."""
        now = self._clock()
        return sum(now < failure.retry_at for failure in self._failures.values())

    def forget(self, *, older_than: float) -> None:
        """Drop failures whose time was over this many seconds ago, so that the table does not grow for ever."""
        limit = self._clock() - older_than
        self._drop(key for key, failure in self._failures.items() if failure.retry_at < limit)

    def _drop(self, keys: Iterable[T]) -> None:
        for key in tuple(keys):
            del self._failures[key]
