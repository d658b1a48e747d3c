"""Turns on one system: so many commands at once, so many of one user, and a bounded queue in which the user with the fewest goes first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from goldcrest_api.overload import TooManyRequests

_COME_AGAIN_SECONDS: Final = 2.0  # a turn takes about as long as a command


class Turns:
    """Of one system; lives on one event loop.

    A free turn goes to the user who has the fewest commands under way, among those who wait; between equals to who waits longest.
    So nobody gets more than others who want it too, however many requests they send, and a turn is never left unused.

    Args:
        system: its name, for messages.
        at_once: commands under way.
        of_user: commands of one user under way.
        waiting: commands of one user that may wait.
        seconds: how long one waits at most.
    """

    def __init__(self, *, system: str, at_once: int, of_user: int, waiting: int, seconds: float) -> None:
        self._system = system
        self._at_once = at_once
        self._of_user = of_user
        self._most_waiting = waiting
        self._seconds = seconds
        self._running: dict[str, int] = {}
        self.under_way = 0
        """Commands that have a turn."""
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by user, in the order of their oldest request

    @property
    def waiting(self) -> int:
        """Commands that wait for one."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end.

        Raises:
            TooManyRequests: too many of this user's wait already, or it did not come in time.
        """
        await self._take(user)
        try:
            yield
        finally:
            self._give_back(user)

    async def _take(self, user: str) -> None:
        if self.under_way < self._at_once and self._may(user) and user not in self._waiting:
            self._start(user)
            return
        queue = self._waiting.get(user, ())
        if len(queue) >= self._most_waiting:
            raise self._too_many(
                f"user {user} has {self._running.get(user, 0)} commands under way on {self._system} and {len(queue)} waiting: "
                f"no more than {self._most_waiting} may wait"
            )
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(mine)
        try:
            async with asyncio.timeout(self._seconds):
                await mine
        except TimeoutError:
            self._leave(user, mine)
            raise self._too_many(
                f"a command of user {user} on {self._system} waited {self._seconds:g} s for its turn"
            ) from None
        except asyncio.CancelledError:
            self._leave(user, mine)
            raise

    def _leave(self, user: str, mine: asyncio.Future[None]) -> None:
        if mine.done() and not mine.cancelled():
            self._give_back(user)  # its turn came in the same instant
            return
        queue = self._waiting.get(user)
        if queue is not None and mine in queue:
            queue.remove(mine)
            if not queue:
                del self._waiting[user]

    def _give_back(self, user: str) -> None:
        self.under_way -= 1
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
        if self._waiting:
            self._hand_out()

    def _hand_out(self) -> None:
        while self.under_way < self._at_once:
            able = [user for user in self._waiting if self._may(user)]
            if not able:
                return
            user = min(able, key=lambda user: self._running.get(user, 0))  # the first of equals: who waits longest
            queue = self._waiting.pop(user)
            mine = queue.popleft()
            if queue:
                self._waiting[user] = queue  # behind the others
            if not mine.done():  # else given up, and its task has not run since
                self._start(user)
                mine.set_result(None)

    def _start(self, user: str) -> None:
        self.under_way += 1
        self._running[user] = self._running.get(user, 0) + 1

    def _may(self, user: str) -> bool:
        return self._running.get(user, 0) < self._of_user

    def _too_many(self, why: str) -> TooManyRequests:
        return TooManyRequests(f"{why}; come again later", code="TooManyCommands", retry_seconds=_COME_AGAIN_SECONDS)
