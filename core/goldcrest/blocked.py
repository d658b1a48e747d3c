"""Whom the site blocks: the list as delegation serves it (``GET /v1/blocked``), and the eye that gateway and operator keep on it.

Delegation is the authority: it signs nothing for the blocked, whatever its callers know. They follow the list to end what runs already
(sessions), and to say in time what is waited for.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from goldcrest.canonical import canonical, sha256_hex
from goldcrest.errors import Blocked, DelegationUnavailable, GoldcrestError
from goldcrest.telemetry import Log

LOOK_SECONDS: Final = 3.0
"""Default pause between two looks. With the 2 s for which delegation remembers OPA's part, a change is known after 5 s at most; the other
half of the promised 10 s is for what follows from it: a session for the operator, and a hold."""
_ANSWER_SECONDS: Final = 2.0  # delegation answers from memory; a look that hangs must not delay the next one by much

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class BlockList:
    """Blocked names: Unix users, whoever asks for them, and requesters, as whomever."""

    users: frozenset[str] = frozenset()
    requesters: frozenset[str] = frozenset()

    def why(self, *, requester: str, user: str) -> str:
        """In words why nothing is done for this requester as this Unix user; empty when neither is on the list."""
        if requester in self.requesters:
            return f"{requester} is blocked by the site"
        if user in self.users:
            return f"Unix user {user} is blocked by the site"
        return ""

    def check(self, *, requester: str, user: str) -> None:
        """Refuse whoever is on the list.

        Raises:
            Blocked: saying who is.
        """
        why = self.why(requester=requester, user=user)
        if why:
            raise Blocked(why)

    def __or__(self, other: BlockList) -> BlockList:
        return BlockList(self.users | other.users, self.requesters | other.requesters)

    def dump(self) -> dict[str, Any]:
        """As it is served; ``version`` is a digest: the same for the same names."""
        names: dict[str, Any] = {"users": sorted(self.users), "requesters": sorted(self.requesters)}
        return {**names, "version": sha256_hex(canonical(names))}

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`dump` made.

        Raises:
            DelegationUnavailable: it is something else.
        """
        return cls(_names(value.get("users")), _names(value.get("requesters")))


def _names(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DelegationUnavailable("delegation answered something that is no block list")
    return frozenset(value)


class BlockSource(Protocol):
    """What is needed of :class:`goldcrest.authority.Authority`."""

    async def blocked(self) -> BlockList: ...


Seen = Callable[[BlockList, BlockList], object]
"""Called after every look that was answered, with the list before and the list now."""


class BlockFollower:
    """Knows the list as of the last look that was answered; while none is, the last list stays.

    Args:
        seconds: longest pause between two looks; each is up to a quarter shorter by chance, so that replicas do not ask together.
    """

    def __init__(
        self,
        source: BlockSource,
        *,
        seconds: float,
        seen: Iterable[Seen] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._seconds = seconds
        self._seen = tuple(seen)
        self._clock = clock
        self._silent_since: float | None = None
        self.now = BlockList()

    @property
    def silent_seconds(self) -> float:
        """For how long the source has not answered; 0 while it does."""
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except Exception:
                _log.exception("blocklist.broken")  # to end here would be to follow it never again
            await asyncio.sleep(self._seconds * random.uniform(0.75, 1))  # noqa: S311 - no secret

    async def look(self) -> None:
        """Look once, and tell."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._source.blocked()
        except (GoldcrestError, TimeoutError) as error:
            if self._silent_since is None:
                self._silent_since = self._clock()
                message = error.message if isinstance(error, GoldcrestError) else f"no answer in {_ANSWER_SECONDS:g} s"
                _log.warning("blocklist.unknown", message=message, in_force="the last list")
            return
        if self._silent_since is not None:
            _log.info("blocklist.known", after_seconds=round(self._clock() - self._silent_since, 1))
            self._silent_since = None
        before, self.now = self.now, found
        if found != before:
            _log.warning("blocklist.changed", users=sorted(found.users), requesters=sorted(found.requesters))
        for tell in self._seen:
            tell(before, found)
