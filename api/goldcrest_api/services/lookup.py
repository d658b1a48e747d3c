"""Finding the Jobs that a caller may see (T5): in the cache, and live where the cache cannot know yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from goldcrest.commands.base import JOB_ID
from goldcrest.errors import Denied, GoldcrestError, InvalidInput, KubernetesUnavailable, NotFound
from goldcrest.kube import PAGE, Kube, Raw
from goldcrest.telemetry import Log
from goldcrest.wellknown import TASK_ID_PATTERN, Kind, rest_name
from goldcrest_api.caller import Caller
from goldcrest_api.job_cache import JobCache
from goldcrest_api.job_view import JobView
from goldcrest_api.reflector import Reflector
from goldcrest_api.services.namespaces import Namespaces

_log = Log(__name__)
_ANSWER_SECONDS = 1.0  # for Kubernetes to say what there is
_LOOKS, _LOOK_SECONDS = 25, 0.02  # for the watch to tell it too: it mostly has, or does within milliseconds
_LIVE_SECONDS = 5.0  # for reading a namespace whole


class Action(Enum):
    """What a task is about."""

    SUBMIT = auto()
    CANCEL = auto()


@dataclass(frozen=True, slots=True)
class Found:
    """A task: something that was asked for, and the Job that shows how far it is."""

    task_id: str
    action: Action
    job: JobView


class JobLookup:
    """Answers about Jobs.

    Args:
        reflector: who fills the cache: tells whether it is whole.
        live_lookups: how many tasks of one request are asked of Kubernetes.
    """

    def __init__(
        self, *, kube: Kube, jobs: JobCache, reflector: Reflector, namespaces: Namespaces, live_lookups: int
    ) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._jobs = jobs
        self._reflector = reflector
        self._live_lookups = live_lookups

    async def find(self, task_id: str, caller: Caller) -> Found:
        """The task with this id.

        Raises:
            NotFound: there is none.
            Denied: it is somebody else's.
            KubernetesUnavailable: nobody knows it here, and Kubernetes does not answer.
        """
        found = await self._find(task_id, caller, live=True)
        if found is None:
            raise NotFound(f"Task {task_id} does not exist")
        if not caller.sees(system=found.job.system, run_as=found.job.run_as):
            raise Denied(f"task {task_id} belongs to another user")
        return found

    async def find_some(self, task_ids: Iterable[str], caller: Caller) -> list[Found]:
        """Those of the tasks that exist and are the caller's.

        Raises:
            KubernetesUnavailable: as :meth:`find`.
        """
        tasks: list[Found] = []
        live_left = self._live_lookups
        for task_id in dict.fromkeys(task_ids):
            found = await self._find(task_id, caller, live=False)
            if found is None and live_left > 0:
                live_left -= 1
                found = await self._find(task_id, caller, live=True)
            if found is not None and caller.sees(system=found.job.system, run_as=found.job.run_as):
                tasks.append(found)
        return tasks

    async def find_all(self, caller: Caller) -> list[Found]:
        """Every task of the caller, oldest first, with all that was made through any gateway before this was asked.

        Raises:
            KubernetesUnavailable: the cache has never been filled.
        """
        if not self._reflector.synced.is_set():
            raise KubernetesUnavailable("the gateway has not read the Jobs yet")
        await self._catch_up(self._namespaces.of(caller.user))
        tasks: list[Found] = []
        for job in self._jobs.of_user(caller.user):
            if not caller.sees(system=job.system, run_as=job.run_as):
                continue
            tasks.append(Found(job.task_id, Action.SUBMIT, job))
            if job.has_cancel_task:
                tasks.append(Found(job.cancel_task_id, Action.CANCEL, job))
        return tasks

    async def of_scheduler_id(self, system: str, job_id: str, caller: Caller) -> JobView:
        """The caller's Job with this id of the scheduler; the newest where the scheduler used it twice.

        Raises:
            NotFound: there is none.
            KubernetesUnavailable: nobody knows it here, and Kubernetes does not answer.
        """
        job = self._of_scheduler_id(system, job_id, caller)
        if job is None and JOB_ID.fullmatch(job_id):
            # Another gateway may have told it to the caller a moment ago.
            await self._learn_all(self._namespaces.of(caller.user))
            job = self._of_scheduler_id(system, job_id, caller)
        if job is not None:
            return job
        raise NotFound(f"no job {job_id} of {caller.user} on {system} was submitted through this service")

    def _of_scheduler_id(self, system: str, job_id: str, caller: Caller) -> JobView | None:
        jobs = self._jobs.by_scheduler_id(system, job_id)
        return next((job for job in jobs if caller.sees(system=job.system, run_as=job.run_as)), None)

    async def _catch_up(self, namespace: str) -> None:
        """Wait until the cache has what the namespace holds now. On a quiet cluster the watch says nothing for a minute, so that
        its position alone tells nothing: the objects' versions are compared.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                there = await self._kube.versions(Kind.JOB, namespace=namespace)
            for _ in range(_LOOKS):
                if self._jobs.has_all(there):
                    return
                await asyncio.sleep(_LOOK_SECONDS)
            await self._learn_all(namespace)  # the watch is cut, or slow
        except (GoldcrestError, TimeoutError) as error:
            # An old answer is better than none while the API server is away.
            _log.warning("lookup.behind", namespace=namespace, reason=str(error) or type(error).__name__)

    async def _learn_all(self, namespace: str) -> None:
        query = {"limit": str(PAGE)}
        try:
            async with asyncio.timeout(_LIVE_SECONDS):
                while True:
                    page = await self._kube.list_all(Kind.JOB, namespace=namespace, query=query)
                    for raw in page.get("items") or []:
                        self._learn(raw)
                    following = page["metadata"].get("continue")
                    if not following:
                        return
                    query = {"limit": str(PAGE), "continue": following}
        except TimeoutError as error:
            raise KubernetesUnavailable(f"the Jobs were not read within {_LIVE_SECONDS:g} s") from error

    def _learn(self, raw: Raw) -> None:
        try:
            self._jobs.learn(raw)
        except InvalidInput as error:  # of another release; it hides no others
            _log.warning("lookup.unreadable", name=raw["metadata"].get("name"), reason=error.message)

    async def _find(self, task_id: str, caller: Caller, *, live: bool) -> Found | None:
        if not TASK_ID_PATTERN.fullmatch(task_id):
            return None
        job = self._jobs.by_task(task_id)
        if job is not None:
            return Found(task_id, Action.SUBMIT, job)
        job = self._jobs.by_cancel_task(task_id)
        if job is not None:
            if not job.has_cancel_task and live:
                job = await self._live(job.namespace, job.name)  # asked of another gateway a moment ago
            return Found(task_id, Action.CANCEL, job) if job is not None and job.has_cancel_task else None
        if not live:
            return None
        # Made by another gateway a moment ago: then it is in the caller's own namespace.
        job = await self._live(self._namespaces.of(caller.user), rest_name(task_id))
        return Found(task_id, Action.SUBMIT, job) if job is not None and job.task_id == task_id else None

    async def _live(self, namespace: str, name: str) -> JobView | None:
        try:
            return self._jobs.learn(await self._kube.get(Kind.JOB, name, namespace=namespace))
        except NotFound:
            return None
