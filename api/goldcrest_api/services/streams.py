"""Answers that go on for long: how many somebody may have at once, and what ends them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from goldcrest.errors import GoldcrestError, Unauthenticated
from goldcrest.identity import RefusalCode
from goldcrest_api.caller import Caller

_EXPIRED = "the token has expired"
_STOPPING = "the gateway is stopping"


class TooManyStreams(GoldcrestError):
    """More answers that go on are not given now."""

    code = "TooManyStreams"
    retryable = True


class Cut(GoldcrestError):
    """The answer ends before its end: the connection is closed in the midst of it, so that nobody takes it for whole."""

    code = "Cut"


class Stream:
    """One such answer. ``reason`` says why it must end; None while it may go on."""

    def __init__(self, caller: Caller, clock: Callable[[], float]) -> None:
        self.caller = caller
        self._clock = clock
        self._reason: str | None = None
        self._wake = asyncio.Event()

    @property
    def reason(self) -> str | None:
        # What was permitted by a token goes on no longer than the token does (T3).
        if self._reason is None and self._clock() >= self.caller.expires:
            self._reason = _EXPIRED
        return self._reason

    def end(self, reason: str) -> None:
        """It must end, for this reason."""
        self._reason = self._reason or reason
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    async def pause(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as there is something to do, or it must end."""
        seconds = min(seconds, max(0.0, self.caller.expires - self._clock()))
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()


class Streams:
    """All that are open.

    Args:
        per_user: of one Unix user at once; others of the same user are refused.
        most: of all users together.
        clock: seconds of the epoch.
    """

    def __init__(self, *, per_user: int, most: int, clock: Callable[[], float] = time.time) -> None:
        self._per_user = per_user
        self._most = most
        self._clock = clock
        self._open: dict[str, set[Stream]] = {}
        self._stopping = False

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    @contextmanager
    def open(self, caller: Caller) -> Iterator[Stream]:
        """One more, until the context ends.

        Raises:
            TooManyStreams: the user, or all together, have as many as they may.
            Unauthenticated: the token's time is over. Other requests may take it for some seconds more, as clocks differ; of this one
                nothing would be left but its end.
        """
        if self._clock() >= caller.expires:
            raise Unauthenticated(_EXPIRED, code=RefusalCode.TOKEN_EXPIRED)
        own = self._open.setdefault(caller.user, set())
        stream = Stream(caller, self._clock)
        try:
            if len(own) >= self._per_user:
                raise TooManyStreams(
                    f"{caller.user} has {len(own)} answers open that go on, which is all one may have: close one, or read them by turns"
                )
            if len(self) >= self._most:
                raise TooManyStreams("the gateway has as many answers open that go on as it can: try again in a moment")
            own.add(stream)
            if self._stopping:
                stream.end(_STOPPING)
            yield stream
        finally:
            own.discard(stream)
            if not own and self._open.get(caller.user) is own:
                del self._open[caller.user]

    def end_of(self, users: Collection[str], *, reason: str) -> None:
        """End those of these Unix users."""
        for user in set(users) & self._open.keys():
            for stream in self._open[user]:
                stream.end(reason)

    def stop(self) -> None:
        """End all, now and from now on: the process is asked to stop, and would else wait for them."""
        self._stopping = True
        self.end_of(list(self._open), reason=_STOPPING)
