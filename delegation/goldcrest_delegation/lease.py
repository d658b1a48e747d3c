"""Which operator is in charge of a shard (T8): certificates go to the holder of its Lease only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from goldcrest.errors import LeaseNotHeld, NotFound
from goldcrest.wellknown import lease_name

READ_SECONDS: Final = 1.0


class Requests(Protocol):
    """What is needed of :class:`goldcrest.kube.Kube`."""

    async def request(self, method: str, path: str) -> dict[str, Any]: ...


class Leases:
    """Holders of the shards' Leases, each read at most once a second.

    Whether a Lease has expired is not asked: an operator that nobody replaced does no harm, and clocks differ.
    """

    def __init__(self, kube: Requests, *, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._namespace = namespace
        self._clock = clock
        self._read: dict[str, tuple[float, str]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def check(self, *, shard: str, holder: str) -> None:
        """Refuse a caller that does not hold the shard's Lease.

        Raises:
            LeaseNotHeld: somebody else holds it, or nobody, as of a second ago.
            KubernetesUnavailable: it could not be read.
        """
        present = await self._holder(shard)
        if not present:
            raise LeaseNotHeld(f"nobody holds the Lease {lease_name(shard)}: an operator must take it first")
        if holder != present:
            raise LeaseNotHeld(f"{holder or 'the caller'} does not hold the Lease {lease_name(shard)}; {present} does")

    async def _holder(self, shard: str) -> str:
        async with self._locks.setdefault(shard, asyncio.Lock()):
            read = self._read.get(shard)
            if read is not None and self._clock() - read[0] < READ_SECONDS:
                return read[1]
            path = f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases/{lease_name(shard)}"
            try:
                lease: Mapping[str, Any] = await self._kube.request("GET", path)
            except NotFound:
                lease = {}
            holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
            self._read[shard] = (self._clock(), holder)
            return holder
