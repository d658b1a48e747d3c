"""kopf brings the watching, and nothing else: each event puts the object into the store and its key into the queue.

No kopf state: no finalizers, no annotations, no progress or diff base, no peering, no events of kopf's own (measured: with create and
update handlers 10 000 Jobs were not through after 145 s; with these events they are after 8 s, and nothing is written).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kopf
from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import Configuration

from goldcrest.kube import Raw
from goldcrest.wellknown import GROUP, LABEL_SHARD, VERSION, Kind
from goldcrest_operator.controller import Key
from goldcrest_operator.job_controller import JobController
from goldcrest_operator.store import Store
from goldcrest_operator.task_controller import TaskController
from goldcrest_operator.workqueue import WorkQueue

DEFAULT_SHARD = "default"


class Watch:
    """The watch of Jobs, Tasks and Systems.

    Args:
        kubeconfig: None for the pod's service account.
        shard: Jobs of other shards are left out.
    """

    def __init__(
        self,
        *,
        store: Store,
        queue: WorkQueue[Key],
        jobs: JobController,
        tasks: TaskController,
        kubeconfig: Path | None,
        shard: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._queue = queue
        self._jobs = jobs
        self._tasks = tasks
        self._kubeconfig = kubeconfig
        self._shard = shard
        self._clock = clock
        self._last_event = clock()

    @property
    def age(self) -> float:
        """Seconds since it brought anything."""
        return self._clock() - self._last_event

    async def run(self, *, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Watch until ``stop``; ``ready`` is set when the watching begins."""
        await kopf.operator(
            registry=self._registry(),
            settings=self._settings(),
            clusterwide=True,
            standalone=True,
            ready_flag=ready,
            stop_flag=stop,
        )

    def job_changed(self, type_: str | None, raw: Raw) -> None:
        """An event of a Job."""
        self._last_event = self._clock()
        uid = raw["metadata"]["uid"]
        before = self._store.place_of(uid)
        if type_ == "DELETED" or not self._is_ours(raw):
            self._jobs.forget(uid)
        elif self._store.put_job(raw):
            self._queue.add(Key(Kind.JOB, uid))
            now = self._store.place_of(uid)
            if before is not None and now is not None and before.asked_at != now.asked_at:
                self._jobs.look_again(uid)
        self._jobs.wake_dependents(raw)  # also of our own writes, which the watch repeats

    def task_changed(self, type_: str | None, raw: Raw) -> None:
        """An event of a Task."""
        self._last_event = self._clock()
        if type_ == "DELETED" or not self._is_ours(raw):
            self._tasks.forget(raw["metadata"]["uid"])
        else:
            self._tasks.changed(raw)

    def system_changed(self, type_: str | None, raw: Raw) -> None:
        """An event of a System."""
        self._last_event = self._clock()
        name = raw["metadata"]["name"]
        if type_ == "DELETED":
            self._store.remove_system(name, raw["metadata"]["uid"])
            self._wake_jobs(name)
            return
        before = self._store.system(name)
        if not self._store.put_system(raw):
            return
        if before is None or before["metadata"].get("generation") != raw["metadata"].get("generation"):
            self._wake_jobs(name)  # new addresses or keys may be what its Jobs waited for
        if self._is_ours(raw):  # every shard reads a System, one writes its health
            self._queue.add(Key(Kind.SYSTEM, name))

    def _wake_jobs(self, system: str) -> None:
        for uid in self._store.unfinished(system):
            self._queue.add(Key(Kind.JOB, uid))
        self._tasks.wake(system)

    def _is_ours(self, raw: Raw) -> bool:
        labels = raw["metadata"].get("labels") or {}
        return bool(labels.get(LABEL_SHARD, DEFAULT_SHARD) == self._shard)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.event(GROUP, VERSION, Kind.JOB.plural, registry=registry)
        async def job_event(event: Any, **_: Any) -> None:
            self.job_changed(event["type"], event["object"])

        @kopf.on.event(GROUP, VERSION, Kind.TASK.plural, registry=registry)
        async def task_event(event: Any, **_: Any) -> None:
            self.task_changed(event["type"], event["object"])

        @kopf.on.event(GROUP, VERSION, Kind.SYSTEM.plural, registry=registry)
        async def system_event(event: Any, **_: Any) -> None:
            self.system_changed(event["type"], event["object"])

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.ConnectionInfo:
            return await self._connection()

        return registry

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False  # events are ours to post
        settings.peering.standalone = True  # the Lease decides who is active
        settings.watching.reconnect_backoff = 0.1
        settings.watching.connect_timeout = 5
        settings.networking.connect_timeout = 5
        settings.networking.request_timeout = 60
        settings.process.ultimate_exiting_timeout = 60
        if self._shard != DEFAULT_SHARD:  # Jobs of the default shard need not have the label
            for kind in (Kind.JOB, Kind.TASK):
                resource = (GROUP, VERSION, kind.plural)
                settings.watching.label_selectors[resource] = f"{LABEL_SHARD}={self._shard}"
        return settings

    async def _connection(self) -> kopf.ConnectionInfo:
        """Where and as whom kopf watches: the same cluster and account as our own client. Asked again when a token has expired."""
        configuration = Configuration()
        if self._kubeconfig is None:
            kube_config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        else:
            await kube_config.load_kube_config(config_file=str(self._kubeconfig), client_configuration=configuration)
        token = configuration.api_key.get("BearerToken")
        return kopf.ConnectionInfo(
            server=str(configuration.host),
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            token=token.removeprefix("Bearer ") if token else None,
        )
