"""The workers of the queue: each takes a key, has it reconciled, and decides what an error means."""

from __future__ import annotations

import asyncio

from goldcrest.errors import GoldcrestError
from goldcrest.measures import DEFECT
from goldcrest.telemetry import Log, current_trace
from goldcrest.wellknown import Kind
from goldcrest_operator.controller import Key
from goldcrest_operator.job_controller import JobController
from goldcrest_operator.lease import LeaseLost
from goldcrest_operator.metrics import CODES, Metrics
from goldcrest_operator.system_controller import SystemController
from goldcrest_operator.task_controller import TaskController
from goldcrest_operator.workqueue import QueueClosed, WorkQueue

_log = Log(__name__)


def share(workers: int, *, systems: int) -> int:
    """Workers that the Jobs of one system get at most, so that one that does not answer leaves some to the others: a quarter, or an even
    part where there are fewer systems."""
    return max(1, workers // max(1, min(systems, 4)))


TASKS_LANE = "tasks of "
"""What the lane of a system's Tasks begins with; its Jobs have one of their own."""


def lane_share(lane: str, workers: int, *, systems: int) -> int:
    """Workers for one lane: questions never hold jobs up, so all Tasks of a system get half of what its Jobs get."""
    whole = share(workers, systems=systems)
    return max(1, whole // 2) if lane.startswith(TASKS_LANE) else whole


class Workers:
    """A fixed number of workers; almost all of their time is waiting for others."""

    def __init__(
        self,
        *,
        queue: WorkQueue[Key],
        jobs: JobController,
        tasks: TaskController,
        systems: SystemController,
        metrics: Metrics,
        number: int,
    ) -> None:
        self._queue = queue
        self._tasks = tasks
        self._jobs = jobs
        self._systems = systems
        self._metrics = metrics
        self._number = number

    async def run(self) -> None:
        """Work until the queue is closed.

        Raises:
            LeaseLost: nothing may be done any more.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self._number):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.take()
            except QueueClosed:
                return
            current_trace.set(None)
            try:
                await self._reconcile(key)
            finally:
                self._queue.done(key)
            # Most keys of a start need no I/O, and ten thousand of them in one go would keep the Lease from being renewed.
            await asyncio.sleep(0)

    async def _reconcile(self, key: Key) -> None:
        try:
            match key.kind:
                case Kind.JOB:
                    await self._jobs.reconcile(key.id)
                case Kind.TASK:
                    await self._tasks.reconcile(key.id)
                case _:
                    await self._systems.reconcile(key.id)
        except LeaseLost:
            raise
        except GoldcrestError as error:
            self._metrics.failures.labels(CODES.of(error)).inc()
            pause = self._queue.retry(key)
            _log.warning("reconcile.failed", key=key.id, code=error.code, message=error.message, retry_seconds=pause)
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            # What it waited for was cancelled, not the worker: that would end without a word, and its TaskGroup would not mind.
            self._broken(key)
        except Exception:
            self._broken(key)

    def _broken(self, key: Key) -> None:
        self._metrics.failures.labels(DEFECT).inc()
        self._queue.retry(key)
        _log.exception("reconcile.broken", kind=key.kind, key=key.id)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
