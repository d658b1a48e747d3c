"""Keeps the health of Systems: probes their login hosts, writes transitions, and wakes the Jobs that waited."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from goldcrest.errors import Conflict, GoldcrestError, InvalidInput, NotFound
from goldcrest.kube import Raw
from goldcrest.telemetry import Log
from goldcrest.wellknown import EventReason, Kind
from goldcrest_operator.controller import Key
from goldcrest_operator.effects import Kubernetes
from goldcrest_operator.lease import Lease
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.reconcile.steps import Notice
from goldcrest_operator.reconcile.system import Probed, SystemResource, ready_condition, status_after
from goldcrest_operator.recorder import Recorder, Regarding
from goldcrest_operator.store import Store
from goldcrest_operator.workqueue import WorkQueue

_log = Log(__name__)

Probe = Callable[[SystemResource], Awaitable[Probed]]
"""Looks at a System's login hosts, scheduler and file systems."""


class SystemController:
    """The reconciler of Systems.

    Args:
        probe_seconds: pause between probes of a System.
        write_seconds: pause after which an unchanged status is written again.
        follow: called with each System that is looked at, to see to it that its queue is.
    """

    def __init__(
        self,
        *,
        kube: Kubernetes,
        store: Store,
        lease: Lease,
        recorder: Recorder,
        queue: WorkQueue[Key],
        probe: Probe,
        metrics: Metrics,
        probe_seconds: float,
        write_seconds: float,
        follow: Callable[[str], None] = lambda _: None,
        epoch: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._store = store
        self._lease = lease
        self._recorder = recorder
        self._queue = queue
        self._probe = probe
        self._metrics = metrics
        self._probe_seconds = probe_seconds
        self._write_seconds = write_seconds
        self._follow = follow
        self._epoch = epoch
        self._clock = clock
        self._probed: dict[str, tuple[str, int, float]] = {}  # uid, generation and time of the last probe

    async def reconcile(self, name: str) -> None:
        """Probe a System if that is due, and write what is worth it.

        Raises:
            LeaseLost, KubernetesUnavailable.
        """
        raw = self._store.system(name)
        if raw is None:
            self._probed.pop(name, None)
            return
        try:
            system = SystemResource.of(raw)
        except InvalidInput as error:
            _log.error("system.invalid", system=name, message=error.message)
            return
        uid, generation, at = self._probed.get(name, ("", -1, 0.0))
        left = at + self._probe_seconds - self._clock()
        if (uid, generation) == (system.uid, system.generation) and left > 0:
            self._queue.add_after(Key(Kind.SYSTEM, name), left)
            return
        self._follow(name)
        probed = await self._probed_now(system)
        self._metrics.system_ready.labels(name).set(int(probed.ready))
        if await self._write(raw, system, probed):  # else what was seen is lost, and it is looked at again
            self._probed[name] = (system.uid, system.generation, self._clock())
        self._queue.succeeded(Key(Kind.SYSTEM, name))
        self._queue.add_after(Key(Kind.SYSTEM, name), self._probe_seconds)

    def tell_unclaimed(self, name: str, message: str) -> None:
        """Say at a System what of its queue nobody claims."""
        raw = self._store.system(name)
        if raw is not None:
            regarding = Regarding(Kind.SYSTEM, "", name, raw["metadata"]["uid"])
            self._recorder.post(regarding, Notice(EventReason.UNCLAIMED, message, warning=True))

    async def _probed_now(self, system: SystemResource) -> Probed:
        try:
            return await self._probe(system)
        except GoldcrestError as error:
            return Probed(False, error.message)

    async def _write(self, raw: Raw, system: SystemResource, probed: Probed) -> bool:
        """Whether it is written, or need not be."""
        status = status_after(system, probed, now=self._epoch(), write_seconds=self._write_seconds)
        if status is None:
            return True
        self._lease.check()
        try:
            written = await self._kube.replace_status(Kind.SYSTEM, raw, status.dump())
        except (Conflict, NotFound):
            return False  # the watch brings what is there now
        self._store.put_system(written)
        before = ready_condition(system.status)
        if before is None or (before.status == "True") != probed.ready:
            _log.info("system.health", system=system.name, ready=probed.ready, message=probed.message)
            if probed.ready:
                self._wake(system.name)
            else:
                notice = Notice(EventReason.DELAYED, probed.message, warning=True)
                self._recorder.post(Regarding(Kind.SYSTEM, "", system.name, system.uid), notice)
        return True

    def _wake(self, name: str) -> None:
        for uid in self._store.unfinished(name):
            self._queue.add(Key(Kind.JOB, uid))
