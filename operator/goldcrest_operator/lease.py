"""The Lease that makes one operator of a shard the active one (coordination.k8s.io/v1), looked at before each effect.

Expiry of somebody else's Lease is judged by our own monotonic clock, from the moment we saw it change, never by comparing wall clocks;
so is the expiry of ours, from the moment before we asked for its renewal. Source: the algorithm of client-go's leaderelection.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from goldcrest.errors import Conflict, GoldcrestError, NotFound
from goldcrest.kube import Raw, pause
from goldcrest.telemetry import Log
from goldcrest.wellknown import NAMESPACE, lease_name

_log = Log(__name__)


class LeaseLost(GoldcrestError):
    """This process is not, or not certainly, the active one: it must not do anything."""

    code = "LeaseLost"


class StoreWentBack(LeaseLost):
    """Kubernetes has the state of an earlier time again: etcd was restored from a snapshot. All that this process knows may be of a history
    that has not happened, and the watch says nothing until the old versions are passed: begin anew.
    """

    code = "StoreWentBack"


class Requests(Protocol):
    """The part of the Kubernetes client that is needed here."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        seconds: float = 10.0,
    ) -> Raw: ...


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds.

    Args:
        duration: how long others wait after our last renewal before they take over.
        renew_deadline: how long after its last renewal this process believes that it is the active one; less than duration.
        retry: pause between renewals, and between looks at somebody else's Lease.
    """

    duration: float
    renew_deadline: float
    retry: float


def new_identity() -> str:
    """``<host name>_<pid>_<random>``: another one with each start."""
    return f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"


class Lease:
    """One shard's Lease, as this process wants or holds it."""

    def __init__(
        self,
        kube: Requests,
        *,
        shard: str,
        identity: str,
        times: LeaseTimes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
        self._name = lease_name(shard)
        self.identity = identity
        self._times = times
        self._clock = clock
        self._renewed_at: float | None = None
        self._seen_version = ""
        self._seen_at = 0.0
        self._newest: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process is certainly the active one."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._times.renew_deadline

    def check(self) -> None:
        """Look before an effect.

        Raises:
            LeaseLost: stop, now.
        """
        if not self.held:
            raise LeaseLost("the Lease is not held, or was not renewed in time")

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Wait until the Lease is ours; false when ``stop`` was set before.

        Raises:
            StoreWentBack: what was read meanwhile is not true any more.
        """
        while not stop.is_set():
            try:
                if await self._try(take=True):
                    _log.info("lease.acquired", lease=self._name, identity=self.identity)
                    return True
            except LeaseLost:
                raise
            except GoldcrestError as error:
                _log.warning("lease.failed", lease=self._name, code=error.code, message=error.message)
            if await pause(self._times.retry, stop):
                break
        return False

    async def keep(self, stop: asyncio.Event) -> None:
        """Renew it until ``stop``.

        Raises:
            LeaseLost: somebody else has it, or it could not be renewed in time.
        """
        while not await pause(self._times.retry, stop):
            try:
                async with asyncio.timeout(self._times.renew_deadline):
                    ours = await self._try(take=False)
                    if not ours:
                        await self.confirm()
            except LeaseLost:
                raise
            except (GoldcrestError, TimeoutError) as error:
                _log.warning("lease.failed", lease=self._name, message=str(error))
                self.check()

    async def confirm(self) -> None:
        """Ask the API server whether it is still ours.

        Raises:
            LeaseLost: it is not.
        """
        stored = await self._read()
        if stored.get("spec", {}).get("holderIdentity") != self.identity:
            self._renewed_at = None
            raise LeaseLost("another operator has the Lease")
        self.check()

    async def release(self) -> None:
        """Give it up, so that a successor need not wait. Errors are left to the Lease's duration."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            stored = await self._kube.request("GET", f"{self._path}/{self._name}")
            if stored.get("spec", {}).get("holderIdentity") == self.identity:
                stored["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
                await self._kube.request("PUT", f"{self._path}/{self._name}", body=stored)
                _log.info("lease.released", lease=self._name, identity=self.identity)
        except GoldcrestError as error:
            _log.warning("lease.failed", lease=self._name, code=error.code, message=error.message)

    async def _try(self, *, take: bool) -> bool:
        """Renew it if it is ours, and take it if it is free and ``take``; whether that was done."""
        asked_at = self._clock()
        try:
            stored = await self._read()
        except NotFound:
            return await self._write("POST", self._path, self._fresh(), asked_at)
        spec = stored.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        if holder != self.identity:
            if stored["metadata"]["resourceVersion"] != self._seen_version:
                self._seen_version, self._seen_at = stored["metadata"]["resourceVersion"], self._clock()
            expired = self._clock() - self._seen_at >= float(spec.get("leaseDurationSeconds") or self._times.duration)
            if not take or (holder and not expired):
                return False
            spec |= {"acquireTime": _micro_time(), "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._whole_seconds(),
            "renewTime": _micro_time(),
        }
        return await self._write("PUT", f"{self._path}/{self._name}", stored, asked_at)

    async def _write(self, method: str, path: str, body: Raw, asked_at: float) -> bool:
        try:
            written = await self._kube.request(method, path, body=body)
        except Conflict:
            return False  # somebody was faster
        self._newest = max(self._newest or 0, _version(written))
        self._renewed_at = asked_at
        return True

    async def _read(self) -> Raw:
        """It is written every few seconds, and its versions grow: one that is older than what was known before the question, or that there is
        none any more, means that the store was put back.
        """
        known = self._newest
        try:
            stored = await self._kube.request("GET", f"{self._path}/{self._name}")
        except NotFound:
            if known is not None:
                self._went_back("the Lease is gone")
            raise
        if known is not None and _version(stored) < known:
            self._went_back(f"the Lease has version {_version(stored)} after {known}")
        self._newest = max(self._newest or 0, _version(stored))
        return stored

    def _went_back(self, why: str) -> NoReturn:
        self._renewed_at = None
        raise StoreWentBack(f"Kubernetes' store was put back to an earlier state: {why}")

    def _fresh(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": NAMESPACE},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self._whole_seconds(),
                "acquireTime": _micro_time(),
                "renewTime": _micro_time(),
                "leaseTransitions": 0,
            },
        }

    def _whole_seconds(self) -> int:
        return max(1, round(self._times.duration))  # the API has whole seconds only


def _version(stored: Raw) -> int:
    return int(stored["metadata"]["resourceVersion"])


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
