"""Finding what REST calls tasks: Jobs that were submitted or cancelled, and Tasks; only their owner's (T5)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from goldcrest.errors import Denied, NotFound
from goldcrest.turns import in_turns
from goldcrest.wellknown import TASK_ID_PATTERN, rest_name
from goldcrest_api.caller import Caller
from goldcrest_api.services.freshness import Freshness
from goldcrest_api.services.lookup import Found, JobLookup
from goldcrest_api.services.namespaces import Namespaces
from goldcrest_api.task_view import TaskCache, TaskView

Shown = Found | TaskView
"""What a task record is made of."""


class TaskLookup:
    """Answers about both kinds."""

    def __init__(
        self, *, jobs: JobLookup, tasks: TaskCache, freshness: Freshness[TaskView], namespaces: Namespaces
    ) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._freshness = freshness
        self._namespaces = namespaces

    async def find(self, task_id: str, caller: Caller) -> Shown:
        """The task with this id.

        Raises:
            NotFound: there is none.
            Denied: it is somebody else's.
            KubernetesUnavailable: nobody knows it here, and Kubernetes does not answer.
        """
        task = self._tasks.by_task(task_id)
        if task is None:
            try:
                return await self._jobs.find(task_id, caller)
            except NotFound:
                # Made through another gateway a moment ago: then it is in the caller's own namespace.
                task = await self._live(task_id, caller)
                if task is None:
                    raise
        if not caller.sees(system=task.system, run_as=task.run_as):
            raise Denied(f"task {task_id} belongs to another user")
        return task

    async def find_some(self, task_ids: Collection[str], caller: Caller) -> list[Shown]:
        """Those of the tasks that exist and are the caller's; in the order of the question.

        Raises:
            KubernetesUnavailable: as :meth:`find`.
        """
        ids = [task_id for task_id in dict.fromkeys(task_ids) if TASK_ID_PATTERN.fullmatch(task_id)]
        jobs = await self._jobs.find_some([one for one in ids if self._tasks.by_task(one) is None], caller)
        found: dict[str, Shown] = {job.task_id: job for job in jobs}
        if any(one not in found and self._tasks.by_task(one) is None for one in ids):
            await self._freshness.refresh(self._namespaces.of(caller.user))
        async for one in in_turns(ids):
            task = self._tasks.by_task(one)
            if task is not None and caller.sees(system=task.system, run_as=task.run_as):
                found[one] = task
        return [found[one] for one in ids if one in found]

    async def find_all(self, caller: Caller) -> list[Shown]:
        """Every task of the caller, with all that was made through any gateway before this was asked.

        Raises:
            KubernetesUnavailable: a cache has never been filled.
        """
        jobs, _ = await asyncio.gather(
            self._jobs.find_all(caller), self._freshness.catch_up(self._namespaces.of(caller.user))
        )
        tasks = self._tasks.of_user(caller.user)
        return [*jobs, *(task for task in tasks if caller.sees(system=task.system, run_as=task.run_as))]

    async def _live(self, task_id: str, caller: Caller) -> TaskView | None:
        if not TASK_ID_PATTERN.fullmatch(task_id):
            return None
        task = await self._freshness.live(self._namespaces.of(caller.user), rest_name(task_id))
        return task if task is not None and task.task_id == task_id else None
