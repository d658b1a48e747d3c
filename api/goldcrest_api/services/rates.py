"""How many requests a user, a route of a user, and a client may send in a time. Counted by ``limits``, in memory or in Redis or Valkey.

A store that does not answer takes nothing down: this replica then counts for itself, in memory, so that as many times more pass as there
are replicas, and asks the store again after a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.exceptions import RedisError

from goldcrest.telemetry import Log
from goldcrest_api.overload import TooManyRequests
from goldcrest_api.settings import RateSettings

ALONE_SECONDS: Final = 5.0
"""After the store did not answer, each replica counts for itself for so long."""
_PREFIX: Final = "goldcrest"

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request it is, and on which route.

    Args:
        issuer, user: who the token speaks for.
        client: the OAuth client that sent it, else its address.
        route: method and path template.
    """

    issuer: str
    user: str
    client: str
    route: str


@dataclass(frozen=True, slots=True)
class _Limit:
    item: RateLimitItem
    key: tuple[str, ...]
    words: str  # who has used it up


@dataclass(frozen=True, slots=True)
class _Count:
    limit: _Limit
    passed: bool
    remaining: int
    reset_seconds: float

    @property
    def headers(self) -> dict[str, str]:
        """The three of draft-ietf-httpapi-ratelimit-headers-02, which clients of the original know."""
        return {
            "RateLimit-Limit": str(self.limit.item.amount),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(int(self.reset_seconds) + 1),
        }


class Rates:
    """Counts requests."""

    def __init__(self, settings: RateSettings) -> None:
        self._user = parse_many(settings.user) if settings.user else []
        self._client = parse_many(settings.client) if settings.client else []
        self._routes = [(name, parse_many(rate)) for name, rate in settings.routes.items() if rate]
        self._seconds = settings.store_seconds
        self._own = MemoryStorage()
        url = settings.store.get_secret_value()
        self._shared = _store(url, settings.store_seconds) if url else None
        self._alone_until = 0.0
        self._alone = False

    @property
    def alone(self) -> bool:
        """Whether a store was given, and did not answer when it was asked last."""
        return self._alone

    async def count(self, asker: Asker) -> Mapping[str, str]:
        """Count a request; the headers for its answer, those of the limit that is nearest.

        Raises:
            TooManyRequests: a limit is reached.
        """
        limits = list(self._limits(asker))
        if not limits:
            return {}
        counts = await self._counted(limits)
        refused = [count for count in counts if not count.passed]
        if refused:
            count = max(refused, key=lambda count: count.reset_seconds)
            raise TooManyRequests(
                f"{count.limit.words} may send {count.limit.item}; come again in {int(count.reset_seconds) + 1} s",
                code="RateLimited",
                retry_seconds=count.reset_seconds,
                headers=count.headers,
            )
        return min(counts, key=lambda count: count.remaining / count.limit.item.amount).headers

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._shared is not None:
            await cast("RedispyBridge", self._shared.bridge).storage.aclose()

    def _limits(self, asker: Asker) -> Iterator[_Limit]:
        for item in self._user:
            yield _Limit(item, ("user", asker.issuer, asker.user), f"user {asker.user}")
        for item in self._client:
            yield _Limit(item, ("client", asker.issuer, asker.client), f"client {asker.client}")
        for name, items in self._routes:
            if name == asker.route or (name.endswith("*") and asker.route.startswith(name[:-1])):
                for item in items:
                    yield _Limit(item, ("route", asker.issuer, asker.user, name), f"user {asker.user} on {name}")
                return

    async def _counted(self, limits: list[_Limit]) -> list[_Count]:
        if self._shared is None or time.monotonic() < self._alone_until:
            return [await _one(self._own, limit) for limit in limits]  # it answers without waiting
        try:
            async with asyncio.timeout(self._seconds):
                counts = await _all(self._shared, limits)
        except (RedisError, OSError, TimeoutError) as error:
            self._alone_until = time.monotonic() + ALONE_SECONDS
            if not self._alone:
                self._alone = True
                effect = "this replica counts requests for itself"
                _log.warning("rates.store.silent", reason=type(error).__name__, effect=effect)
            return await _all(self._own, limits)
        if self._alone:
            self._alone = False
            _log.info("rates.store.answers", effect="the replicas count requests together")
        return counts


async def _all(storage: Storage, limits: list[_Limit]) -> list[_Count]:
    return list(await asyncio.gather(*(_one(storage, limit) for limit in limits)))


async def _one(storage: Storage, limit: _Limit) -> _Count:
    """A fixed window, as the library's strategy counts it; that would ask the storage again for what it has just said."""
    key, most = limit.item.key_for(*limit.key), limit.item.amount
    used = await storage.incr(key, limit.item.get_expiry())
    ends = await storage.get_expiry(key)
    return _Count(limit, used <= most, max(0, most - used), max(0.0, ends - time.time()))


def _store(url: str, seconds: float) -> RedisStorage:
    # Redis and Valkey speak the same protocol; one client is enough.
    scheme, _, rest = url.partition("://")
    return RedisStorage(
        f"async+{scheme.replace('valkey', 'redis')}://{rest}",
        implementation="redispy",
        key_prefix=_PREFIX,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
    )
