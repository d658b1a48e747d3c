"""The same question of the same user within a moment is asked of the scheduler once, however many Tasks ask it.

Each Task that is answered with another's query is vouched for by delegation first, exactly as if it asked itself: a certificate for its
very command is requested and thrown away. So nobody gets an answer that delegation, policy or a block list would have refused, and the
audit log has every one.

Where the System says that its scheduler shows each job to everybody, the listing of all jobs is the observer's, and is shared between users too; its
age is in the result. Everything else is asked as the user alone: only the scheduler knows what it shows to whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from goldcrest.authority import ByResource
from goldcrest.commands import Command
from goldcrest.errors import GoldcrestError, LoginDenied, SystemUnreachable
from goldcrest.wellknown import Kind
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.scheduler.interface import OperationFailed, Operations, Target

SHARED_SECONDS: Final = 1.5  # for which an answer counts

Vouch = Callable[[Target, Command], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the scheduler said, and when it was asked (epoch seconds)."""

    answer: Mapping[str, Any]
    as_of: float


@dataclass(slots=True)
class _Query:
    began: float
    as_of: float
    task: asyncio.Task[Mapping[str, Any]]
    ended: float | None = None


class _OfSomebodyElse(Exception):
    """What came of that query says nothing about this one."""


_Key = tuple[str, str, Command]


class SharedQueries:
    """Asks, or gives the answer of a moment ago.

    Args:
        operations: asks the scheduler.
        vouch: returns when delegation says that this Task may ask this.
        system_uid: uid of a System; empty when it is not known.
    """

    def __init__(
        self,
        *,
        operations: Operations,
        vouch: Vouch,
        metrics: Metrics,
        system_uid: Callable[[str], str] = lambda _: "",
        seconds: float = SHARED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._operations = operations
        self._vouch = vouch
        self._metrics = metrics
        self._system_uid = system_uid
        self._seconds = seconds
        self._clock = clock
        self._epoch = epoch
        self._queries: dict[_Key, _Query] = {}
        self._changed: dict[tuple[str, str], float] = {}

    def changed(self, system: str, user: str) -> None:
        """Something of this user was changed there: what was asked before does not show it."""
        self._changed[system, user] = self._clock()

    async def answer(self, target: Target, command: Command) -> Answered:
        """
        Raises:
            OperationFailed, SiteRefused, Denied, NotFound, Unavailable.
        """
        self._forget_old()
        public = self._as_observer(target, command)
        if public is not None:
            await self._vouch(target, command)
            with contextlib.suppress(_OfSomebodyElse):
                return await self._observed(public, target, command)
        key = (target.system, target.user, command)
        query = self._queries.get(key)
        if query is not None and self._is_fresh(query, target):
            await self._vouch(target, command)
            with contextlib.suppress(_OfSomebodyElse):
                return await self._shared(query, target)
        self._count(target, "asked")
        return await _of(self._begin(key, target, command))

    async def close(self) -> None:
        """End what is under way."""
        tasks = [query.task for query in self._queries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _as_observer(self, target: Target, command: Command) -> Target | None:
        """Who asks for everybody, where everybody is shown the same."""
        scheduler = target.spec.scheduler
        uid = self._system_uid(target.system)
        if scheduler.queue_is_public is not True or scheduler.observer is None or not uid:
            return None
        if not self._operations.is_whole_queue(command):
            return None
        basis = ByResource(Kind.SYSTEM.value, "", target.system, uid)
        return replace(target, user=scheduler.observer, basis=basis)

    async def _observed(self, observer: Target, target: Target, command: Command) -> Answered:
        key = (observer.system, observer.user, command)
        query = self._queries.get(key)
        if query is not None and self._is_fresh(query, target):
            return await self._shared(query, target)
        self._count(target, "asked")
        try:
            return await _of(self._begin(key, observer, command))
        except GoldcrestError as error:
            if _is_of_the_system(error):
                raise
            raise _OfSomebodyElse from error  # the observer's own: it is asked as the user

    async def _shared(self, query: _Query, target: Target) -> Answered:
        if not self._is_fresh(query, target):  # while delegation was asked
            raise _OfSomebodyElse
        try:
            answered = await _of(query)
        except GoldcrestError as error:
            if not _is_of_the_system(error):  # about the Task that asked
                raise _OfSomebodyElse from error
            self._count(target, "shared")
            raise
        self._count(target, "shared")
        return answered

    def _begin(self, key: _Key, target: Target, command: Command) -> _Query:
        async def asked() -> Mapping[str, Any]:
            try:
                return await self._operations.answer(target, command)
            finally:
                query.ended = self._clock()
                asyncio.get_running_loop().call_later(self._seconds, self._forget_old)

        query = _Query(self._clock(), self._epoch(), asyncio.create_task(asked()))
        self._queries[key] = query
        query.task.add_done_callback(_seen)
        return query

    def _is_fresh(self, query: _Query, target: Target) -> bool:
        if query.began <= self._changed.get((target.system, target.user), float("-inf")):
            return False
        return query.ended is None or self._clock() - query.ended < self._seconds

    def _forget_old(self) -> None:
        now = self._clock()
        for key, query in list(self._queries.items()):
            if query.ended is not None and now - query.ended >= self._seconds:
                del self._queries[key]
        if len(self._changed) > 10_000:
            self._changed = {who: at for who, at in self._changed.items() if now - at < 60}

    def _count(self, target: Target, how: str) -> None:
        self._metrics.task_queries.labels(target.system, how).inc()


async def _of(query: _Query) -> Answered:
    # Shielded: who waits may be cancelled, others wait for the same answer.
    return Answered(await asyncio.shield(query.task), query.as_of)


def _seen(task: asyncio.Task[Mapping[str, Any]]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waited was told


def _is_of_the_system(error: GoldcrestError) -> bool:
    """Whether the system would say the same again, whoever asks."""
    return isinstance(error, OperationFailed | SystemUnreachable) and not isinstance(error, LoginDenied)
