"""Finding the Jobs that a caller may see (T5): in the cache, and live where the cache cannot know yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from goldcrest.commands.base import JOB_ID
from goldcrest.errors import Denied, NotFound
from goldcrest.turns import in_turns
from goldcrest.wellknown import TASK_ID_PATTERN, rest_name
from goldcrest_api.caller import Caller
from goldcrest_api.job_cache import JobCache
from goldcrest_api.job_view import JobView
from goldcrest_api.services.freshness import Freshness
from goldcrest_api.services.namespaces import Namespaces


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
    """Answers about Jobs."""

    def __init__(self, *, jobs: JobCache, freshness: Freshness[JobView], namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._jobs = jobs
        self._freshness = freshness

    async def find(self, task_id: str, caller: Caller) -> Found:
        """The task with this id.

        Raises:
            NotFound: there is none.
            Denied: it is somebody else's.
            KubernetesUnavailable: nobody knows it here, and Kubernetes does not answer.
        """
        found = self._known(task_id) or await self._find_live(task_id, caller)
        if found is None:
            raise NotFound(f"Task {task_id} does not exist")
        if not caller.sees(system=found.job.system, run_as=found.job.run_as):
            raise Denied(f"task {task_id} belongs to another user")
        return found

    async def find_some(self, task_ids: Collection[str], caller: Caller) -> list[Found]:
        """Those of the tasks that exist and are the caller's. However many are unknown here, Kubernetes is asked once.

        Raises:
            KubernetesUnavailable: as :meth:`find`.
        """
        ids = [task_id for task_id in dict.fromkeys(task_ids) if TASK_ID_PATTERN.fullmatch(task_id)]
        known = [self._known(task_id) async for task_id in in_turns(ids)]
        if None in known:
            await self._freshness.refresh(self._namespaces.of(caller.user))
            known = [self._known(task_id) async for task_id in in_turns(ids)]
        return [task for task in known if task and caller.sees(system=task.job.system, run_as=task.job.run_as)]

    async def find_all(self, caller: Caller) -> list[Found]:
        """Every task of the caller, oldest first, with all that was made through any gateway before this was asked.

        Raises:
            KubernetesUnavailable: the cache has never been filled.
        """
        await self._freshness.catch_up(self._namespaces.of(caller.user))
        tasks: list[Found] = []
        async for job in in_turns(self._jobs.of_user(caller.user)):
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
            await self._freshness.refresh(self._namespaces.of(caller.user))
            job = self._of_scheduler_id(system, job_id, caller)
        if job is not None:
            return job
        raise NotFound(f"no job {job_id} of {caller.user} on {system} was submitted through this service")

    def _of_scheduler_id(self, system: str, job_id: str, caller: Caller) -> JobView | None:
        jobs = self._jobs.by_scheduler_id(system, job_id)
        return next((job for job in jobs if caller.sees(system=job.system, run_as=job.run_as)), None)

    def _known(self, task_id: str) -> Found | None:
        job = self._jobs.by_task(task_id)
        if job is not None:
            return Found(task_id, Action.SUBMIT, job)
        job = self._jobs.by_cancel_task(task_id)
        return Found(task_id, Action.CANCEL, job) if job is not None and job.has_cancel_task else None

    async def _find_live(self, task_id: str, caller: Caller) -> Found | None:
        """Made or cancelled through another gateway a moment ago: one read of that very resource."""
        if not TASK_ID_PATTERN.fullmatch(task_id):
            return None
        cancelled = self._jobs.by_cancel_task(task_id)
        if cancelled is not None:
            job = await self._freshness.live(cancelled.namespace, cancelled.name)
            return Found(task_id, Action.CANCEL, job) if job is not None and job.has_cancel_task else None
        # What is made through REST is in the caller's own namespace.
        job = await self._freshness.live(self._namespaces.of(caller.user), rest_name(task_id))
        return Found(task_id, Action.SUBMIT, job) if job is not None and job.task_id == task_id else None
