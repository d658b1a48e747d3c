"""All Jobs, with indexes by task id, cancel task id and scheduler id."""

from __future__ import annotations

from goldcrest.wellknown import Kind
from goldcrest_api.job_view import JobView
from goldcrest_api.resource_cache import ResourceCache


class JobCache(ResourceCache[JobView]):
    """Jobs by all the ids under which REST speaks of them."""

    def __init__(self) -> None:
        super().__init__(Kind.JOB, JobView.of)
        self._tasks = self.indexed(lambda job: [job.task_id])
        self._cancel_tasks = self.indexed(lambda job: [job.cancel_task_id])
        self._scheduler_ids = self.indexed(lambda job: [(job.system, job.job_id)] if job.job_id else [])

    def by_task(self, task_id: str) -> JobView | None:
        return self._tasks.last(task_id)

    def by_cancel_task(self, task_id: str) -> JobView | None:
        return self._cancel_tasks.last(task_id)

    def by_scheduler_id(self, system: str, job_id: str) -> list[JobView]:
        """Jobs with this id on this system, newest first: schedulers start counting anew one day."""
        found = self._scheduler_ids.all((system, job_id))
        return sorted(found, key=lambda job: job.created, reverse=True)
