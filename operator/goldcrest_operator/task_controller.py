"""Takes a Task through its steps until there is nothing to do for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from goldcrest.blocked import BlockFollower
from goldcrest.kube import Raw
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.telemetry import Trace, current_trace
from goldcrest.wellknown import ANNOTATION_TRACEPARENT, Kind
from goldcrest_operator.controller import Controller, Key
from goldcrest_operator.reconcile.task import Carry, TaskAttempt, TaskObservation, TaskStep, next_task_step
from goldcrest_operator.store import Store
from goldcrest_operator.task_effects import TaskEffects, TaskKubernetes, TaskSubject
from goldcrest_operator.task_store import TaskStore
from goldcrest_operator.workqueue import WorkQueue


class TaskController(Controller[TaskResource, TaskAttempt, TaskSubject]):
    """The reconciler of Tasks: asks :func:`next_task_step`.

    Args:
        seldom_seconds: pause before something is looked at again that only a person can mend.
        epoch: the present time in epoch seconds.
    """

    kind = Kind.TASK
    steps_limit = 10  # the longest way that there is takes four

    def __init__(
        self,
        *,
        kube: TaskKubernetes,
        store: Store,
        tasks: TaskStore,
        effects: TaskEffects,
        queue: WorkQueue[Key],
        seldom_seconds: float,
        blocks: BlockFollower,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(kube=kube, store=store, queue=queue, seldom_seconds=seldom_seconds, blocks=blocks, epoch=epoch)
        self._tasks = tasks
        self._effects = effects

    def changed(self, raw: Raw) -> None:
        """The watch brought a Task."""
        uid = raw["metadata"]["uid"]
        new = self._tasks.get(uid) is None
        if not self._tasks.put(raw):
            return
        self._queue.add(Key(Kind.TASK, uid))
        if new and self._tasks.is_crowded(raw):
            for other in list(self._tasks.read_beside(raw)):
                self._queue.add(Key(Kind.TASK, other))

    def wake(self, system: str) -> None:
        """The System was changed: perhaps that is what its Tasks wait for."""
        for uid in self._tasks.unfinished(system):
            self._queue.add(Key(Kind.TASK, uid))

    def forget(self, uid: str) -> None:
        """The Task is gone."""
        self._tasks.remove(uid)
        super().forget(uid)

    def _raw(self, uid: str) -> Raw | None:
        return self._tasks.get(uid)

    def _put(self, raw: Raw) -> bool:
        return self._tasks.update(raw)

    def _read(self, raw: Raw) -> TaskResource:
        return TaskResource.of(raw)

    def _trace(self, resource: TaskResource) -> Trace:
        """The trace of the request that made it; else its uid: the same in every pass."""
        given = resource.annotations.get(ANNOTATION_TRACEPARENT)
        own = Trace(resource.uid.replace("-", ""), "1" * 16)
        return Trace.continued(given if Trace.parse(given) else own.header)

    def _subject(
        self, raw: Raw, resource: TaskResource, system: SystemSpec | None, *, before: TaskSubject | None
    ) -> TaskSubject:
        return TaskSubject(raw, resource, system, current_trace.get() or self._trace(resource), self._epoch())

    def _begun(self, resource: TaskResource) -> TaskAttempt:
        # Another process had begun it.
        begun = resource.status.start_time is not None and not resource.finished
        return TaskAttempt(since=self._epoch(), begun_before=begun)

    async def _next(self, subject: TaskSubject, attempt: TaskAttempt) -> TaskStep:
        observed = TaskObservation(
            now=subject.now,
            attempt=attempt,
            blocked=self._why_blocked(subject.task),
            crowded=self._tasks.is_crowded(subject.raw),
        )
        return next_task_step(subject.task, subject.system, observed)

    async def _perform(self, step: Any, subject: TaskSubject, attempt: TaskAttempt) -> TaskAttempt:
        return await self._effects.perform(step, subject, attempt)

    def _interrupted(self, step: Any, resource: TaskResource, attempt: TaskAttempt) -> TaskAttempt:
        unknown = isinstance(step, Carry) and not resource.is_query
        return replace(attempt, begun_before=True) if unknown else attempt  # what came of it is not known

    def _passed(self, uid: str) -> None:
        if self._tasks.has_ended(uid):
            self._attempts.pop(uid, None)
