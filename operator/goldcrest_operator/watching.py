"""Jobs, Tasks and Systems as the API server tells of them: each change goes into the store, and its key into the queue.

Jobs and Tasks, of which there are tens of thousands, come by our own list and watch, as in the gateway: page by page, and kept in one piece.
kopf brings Systems and the frame of the process. Of all Jobs its list was half of the CPU of a start, and an object that is gone without the
watch having said so stayed. No kopf state: no finalizers, no annotations, no progress or diff base, no peering, no events of kopf's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any

import kopf
from kubernetes_asyncio import config as kube_config
from kubernetes_asyncio.client import Configuration

from goldcrest.kube import Kube, Raw
from goldcrest.reflector import Reflector
from goldcrest.wellknown import GROUP, LABEL_SHARD, VERSION, Kind
from goldcrest_operator.controller import Key
from goldcrest_operator.job_controller import JobController
from goldcrest_operator.store import Store, is_later
from goldcrest_operator.task_controller import TaskController
from goldcrest_operator.task_store import TaskStore
from goldcrest_operator.workqueue import WorkQueue

DEFAULT_SHARD = "default"
_PAGE = 250  # objects of one answer: here nobody waits for the event loop as the gateway's callers do


class _Told:
    """What a reflector fills: one kind of the watch."""

    def __init__(
        self,
        *,
        changed: Callable[[str | None, Raw], None],
        gone: Callable[[str], None],
        known: Callable[[], Iterable[tuple[str, str]]],
        heard: Callable[[], None],
    ) -> None:
        self._changed = changed
        self._gone = gone
        self._known = known
        self._heard = heard

    def listed(self, raw: Raw, *, resource_version: str) -> None:
        # After the restore of an old snapshot the process ends (StoreWentBack): later versions are known of our own writes only.
        self._changed(None, raw)

    def apply(self, raw: Raw) -> None:
        self._changed("MODIFIED", raw)

    def remove(self, raw: Raw) -> None:
        self._changed("DELETED", raw)

    def retain(self, uids: Set[str], *, resource_version: str) -> None:
        self._heard()
        for uid, version in list(self._known()):
            if uid not in uids and not is_later(version, than=resource_version):
                self._gone(uid)

    def advance(self, resource_version: str) -> None:
        self._heard()


class Watch:
    """The watch of Jobs, Tasks and Systems.

    Args:
        kube: as whom Jobs and Tasks are listed and watched.
        kubeconfig: for kopf; None for the pod's service account.
        shard: Jobs of other shards are left out.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        store: Store,
        known_tasks: TaskStore,
        queue: WorkQueue[Key],
        jobs: JobController,
        tasks: TaskController,
        kubeconfig: Path | None,
        shard: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._store = store
        self._known_tasks = known_tasks
        self._queue = queue
        self._jobs = jobs
        self._tasks = tasks
        self._kubeconfig = kubeconfig
        self._shard = shard
        self._clock = clock
        # For which uid and generation of each System its Jobs were woken.
        self._woken: dict[str, tuple[str, int | None]] = {}
        self._heard = dict.fromkeys((Kind.JOB, Kind.TASK, Kind.SYSTEM), clock())

    @property
    def age(self) -> float:
        """Seconds since the kind that is silent for longest brought anything."""
        return self._clock() - min(self._heard.values())

    async def run(self, *, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Watch until ``stop``; ``ready`` is set when the watching begins."""
        # Before kopf begins: at its end it waits for every task in the loop that is younger than itself.
        reflecting = [asyncio.create_task(reflector.run(), name="watch") for reflector in self._reflectors()]
        try:
            await kopf.operator(
                registry=self._registry(),
                settings=self._settings(),
                clusterwide=True,
                standalone=True,
                ready_flag=ready,
                stop_flag=stop,
            )
        finally:
            for task in reflecting:
                task.cancel()
            await asyncio.gather(*reflecting, return_exceptions=True)

    def _reflectors(self) -> tuple[Reflector, ...]:
        # Jobs of the default shard need not have the label.
        labels = f"{LABEL_SHARD}={self._shard}" if self._shard != DEFAULT_SHARD else ""
        jobs = _Told(
            changed=self.job_changed,
            gone=self._job_is_gone,
            known=self._store.job_versions,
            heard=lambda: self._note(Kind.JOB),
        )
        tasks = _Told(
            changed=self.task_changed,
            gone=self._tasks.forget,
            known=self._known_tasks.versions,
            heard=lambda: self._note(Kind.TASK),
        )
        return tuple(
            Reflector(self._kube, kind, told, labels=labels, page=_PAGE)
            for kind, told in ((Kind.JOB, jobs), (Kind.TASK, tasks))
        )

    def _note(self, kind: Kind) -> None:
        self._heard[kind] = self._clock()

    def job_changed(self, type_: str | None, raw: Raw) -> None:
        """An event of a Job."""
        uid = raw["metadata"]["uid"]
        if type_ == "DELETED" or not self._is_ours(raw):
            self._jobs.forget(uid)
        elif self._store.put_job(raw):
            self._queue.add(Key(Kind.JOB, uid))
        self._jobs.wake_dependents(raw)  # also of our own writes, which the watch repeats

    def _job_is_gone(self, uid: str) -> None:
        raw = self._store.job(uid)
        self._jobs.forget(uid)
        if raw is not None:
            self._jobs.wake_dependents(raw)

    def task_changed(self, type_: str | None, raw: Raw) -> None:
        """An event of a Task."""
        if type_ == "DELETED" or not self._is_ours(raw):
            self._tasks.forget(raw["metadata"]["uid"])
        else:
            self._tasks.changed(raw)

    def system_changed(self, type_: str | None, raw: Raw) -> None:
        """An event of a System."""
        self._note(Kind.SYSTEM)
        name = raw["metadata"]["name"]
        if type_ == "DELETED":
            self._store.remove_system(name, raw["metadata"]["uid"])
            self._woken.pop(name, None)
            self._wake_jobs(name)
            return
        # What follows is not left out when the store had this version before: one of its Jobs may have had it read, and others wait for it.
        self._store.put_system(raw)
        version = raw["metadata"]["uid"], raw["metadata"].get("generation")
        if self._woken.get(name) != version:
            self._woken[name] = version
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
