"""Kubernetes events (core/v1): what happened, in the past tense, each once. Posting never holds anything up."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from goldcrest.canonical import sha256_hex
from goldcrest.errors import Conflict, GoldcrestError
from goldcrest.kube import Raw
from goldcrest.models.conditions import now
from goldcrest.telemetry import Log
from goldcrest.wellknown import API_VERSION, SERVICE_ACCOUNT_OPERATOR, Kind
from goldcrest_operator.lease import Requests
from goldcrest_operator.reconcile.steps import Notice

_log = Log(__name__)

QUEUE_LIMIT: Final = 10_000  # events waiting to be posted; more are dropped
BURST: Final = 200
RATE: Final = 10.0
"""Events that are posted at once, and in a second from then on; of further ones only warnings are. Each is a write as large as that of the
status, which says the same: where hundreds of jobs change in a second it would double what the API server has to do."""
REMEMBERED: Final = 50_000  # digests of posted events
MESSAGE_LIMIT: Final = 1024  # characters, limit of core/v1


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an event is about; ``namespace`` is empty for a System."""

    kind: Kind
    namespace: str
    name: str
    uid: str


class Recorder:
    """Posts events in the background; start with :meth:`run`."""

    def __init__(self, kube: Requests, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._left, self._left_at = float(BURST), clock()
        self._left_out = 0
        self._waiting: asyncio.Queue[Raw] = asyncio.Queue(QUEUE_LIMIT)
        self._posted: OrderedDict[str, None] = OrderedDict()
        self._host = socket.gethostname()

    def post(self, regarding: Regarding, notice: Notice) -> None:
        """Have an event posted, unless the same one (object, reason, message) was."""
        digest = sha256_hex("\0".join((regarding.uid, notice.reason.value, notice.message)).encode())[:16]
        if digest in self._posted or not (notice.warning or self._may_post()):
            return
        self._posted[digest] = None
        if len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)
        try:
            self._waiting.put_nowait(self._event(regarding, notice, digest))
        except asyncio.QueueFull:
            _log.warning("event.dropped", kind=regarding.kind, name=regarding.name, reason=notice.reason)

    def _may_post(self) -> bool:
        """Whether the rate allows one more. What is left out is in the status all the same."""
        now = self._clock()
        self._left, self._left_at = min(BURST, self._left + (now - self._left_at) * RATE), now
        if self._left < 1:
            self._left_out += 1
            return False
        if self._left_out and self._left >= BURST / 2:
            _log.info("event.left_out", number=self._left_out)
            self._left_out = 0
        self._left -= 1
        return True

    async def run(self) -> None:
        """Post what waits, for ever."""
        while True:
            await self._send(await self._waiting.get())

    async def flush(self, *, seconds: float) -> None:
        """Post what waits now, for at most this long."""
        try:
            async with asyncio.timeout(seconds):
                while not self._waiting.empty():
                    await self._send(self._waiting.get_nowait())
        except TimeoutError:
            _log.warning("event.dropped", number=self._waiting.qsize())

    async def _send(self, event: Raw) -> None:
        namespace = event["metadata"]["namespace"]
        try:
            await self._kube.request("POST", f"/api/v1/namespaces/{namespace}/events", body=event)
        except Conflict:
            pass  # posted before a restart: its name is made of what it says
        except GoldcrestError as error:  # in a terminating namespace none can be created
            _log.debug("event.failed", name=event["metadata"]["name"], code=error.code)
        except Exception:  # one event that cannot be posted must not end all others
            _log.exception("event.broken", name=event["metadata"]["name"])

    def _event(self, regarding: Regarding, notice: Notice, digest: str) -> Raw:
        namespace = regarding.namespace or "default"  # where events of cluster-scoped objects live
        time = now()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{regarding.name[:200]}.{digest}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": regarding.kind.value,
                "namespace": regarding.namespace,
                "name": regarding.name,
                "uid": regarding.uid,
            },
            "reason": notice.reason.value,
            "message": notice.message[:MESSAGE_LIMIT],
            "type": "Warning" if notice.warning else "Normal",
            "source": {"component": SERVICE_ACCOUNT_OPERATOR, "host": self._host},
            "reportingComponent": SERVICE_ACCOUNT_OPERATOR,
            "reportingInstance": self._host,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
