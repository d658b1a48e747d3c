"""What a Job's submission rests on beside the Job itself: the script in a ConfigMap, and the gjobs that it depends on. Read, never written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from goldcrest.authorised import script_bytes
from goldcrest.errors import Denied, InvalidInput, KubernetesUnavailable, NotFound
from goldcrest.kube import Raw
from goldcrest.models.job import JobResource
from goldcrest.scripts import ScriptChanged, script_of_config_map
from goldcrest.wellknown import Kind, Reason
from goldcrest_operator.reading import read_job
from goldcrest_operator.reconcile.dependencies import named
from goldcrest_operator.reconcile.observation import Refusal, Source, Trouble
from goldcrest_operator.store import Store

RELATED_LIMIT = 1000
"""gjobs that are looked at when a circle of dependencies is looked for."""


class Reads(Protocol):
    """The part of the Kubernetes client that is needed."""

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Raw: ...
    async def request(self, method: str, path: str) -> Raw: ...


class Surroundings:
    """Reads them for Jobs that are not submitted yet."""

    def __init__(self, *, kube: Reads, store: Store) -> None:
        self._kube = kube
        self._store = store

    async def source(self, job: JobResource) -> Source:
        """The script of a Job whose spec names a ConfigMap.

        Raises:
            KubernetesUnavailable: it could not be read.
        """
        key = job.spec.script.config_map
        if key is None or job.spec.suspend or not _is_unsubmitted(job):
            return Source()
        try:
            content = await script_of_config_map(self._kube, key, namespace=job.namespace)
            script_bytes(job.spec, content)
        except ScriptChanged as error:
            return Source(refusal=Refusal(Reason.SCRIPT_CHANGED, f"Not submitted: {error.message}."))
        except KubernetesUnavailable:
            raise
        except (NotFound, Denied, InvalidInput) as error:
            message = f"Its script cannot be read: {error.message}."
            return Source(trouble=Trouble(Reason.SCRIPT_CHANGED, message, stalled=True))
        return Source(script=content)

    async def related(self, job: JobResource) -> Mapping[str, JobResource]:
        """The gjobs that it depends on by name, and those that these depend on in turn as long as they wait.

        Raises:
            KubernetesUnavailable: one could not be read.
        """
        found: dict[str, JobResource] = {}
        waiting = [job] if _is_unsubmitted(job) else []
        while waiting and len(found) < RELATED_LIMIT:
            following = waiting.pop()
            for dependency in named(following):
                assert dependency.name is not None  # noqa: S101 - named() sees to it
                if dependency.name in found or dependency.name == job.name:
                    continue
                other = await self._job(job.namespace, dependency.name, live=following is job)
                if other is not None:
                    found[dependency.name] = other
                    if _is_unsubmitted(other):
                        waiting.append(other)
        return found

    async def _job(self, namespace: str, name: str, *, live: bool) -> JobResource | None:
        raw = self._store.job_named(namespace, name)
        if raw is None and live:  # of another shard, or the watch has not brought it yet
            try:
                raw = await self._kube.get(Kind.JOB, name, namespace=namespace)
            except NotFound:
                return None
        try:
            return read_job(raw) if raw is not None else None
        except InvalidInput:
            return None


def _is_unsubmitted(job: JobResource) -> bool:
    return job.status.job_id is None and not (job.status.phase is not None and job.status.phase.finished)
