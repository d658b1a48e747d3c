"""Takes a Task through its steps until there is nothing to do for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from goldcrest.blocked import BlockFollower, BlockList
from goldcrest.errors import Conflict, InvalidInput, NotFound
from goldcrest.kube import Raw
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.wellknown import ANNOTATION_TRACEPARENT, Kind
from goldcrest_operator.job_controller import Key
from goldcrest_operator.reconcile.steps import Delete, Rest, Retry, Wait
from goldcrest_operator.reconcile.task import Carry, TaskAttempt, TaskObservation, TaskStep, next_task_step
from goldcrest_operator.store import Store
from goldcrest_operator.task_effects import TaskEffects, TaskKubernetes, TaskSubject
from goldcrest_operator.task_store import TaskStore
from goldcrest_operator.workqueue import WorkQueue

_log = Log(__name__)

STEPS_LIMIT = 10
"""Steps of one pass; the longest way that there is takes four."""


class TaskController:
    """The reconciler of Tasks.

    Args:
        seldom_seconds: pause before something is looked at again that only a person can mend.
        epoch: the present time in epoch seconds.
    """

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
        self._kube = kube
        self._store = store
        self._tasks = tasks
        self._effects = effects
        self._queue = queue
        self._seldom_seconds = seldom_seconds
        self._blocks = blocks
        self._epoch = epoch
        self._attempts: dict[str, TaskAttempt] = {}

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
        self._attempts.pop(uid, None)
        self._queue.forget(Key(Kind.TASK, uid))

    async def reconcile(self, uid: str) -> None:
        """One pass over a Task. The worker that calls it holds the Task: nobody else writes it.

        Raises:
            LeaseLost: the process must end.
            KubernetesUnavailable: try again later.
        """
        key = Key(Kind.TASK, uid)
        known = self._attempts.get(uid)
        attempt = replace(known, trouble=None) if known is not None else None
        for _ in range(STEPS_LIMIT):
            subject = await self._subject(uid)
            if subject is None:
                return
            if attempt is None:
                attempt = TaskAttempt(since=subject.now, begun_before=_is_under_way(subject.task))
            observed = TaskObservation(
                now=subject.now,
                attempt=attempt,
                blocked=_why_blocked(subject.task, self._blocks.now),
                crowded=self._tasks.is_crowded(subject.raw),
            )
            step = next_task_step(subject.task, subject.system, observed)
            if self._is_end(step, key):
                break
            try:
                attempt = await self._effects.perform(step, subject, attempt)
            except (Conflict, NotFound, InvalidInput) as error:
                await self._read_again(subject, error)
            except BaseException:
                if isinstance(step, Carry) and not subject.task.is_query:
                    self._attempts[uid] = replace(attempt, begun_before=True)  # what came of it is not known
                raise
            if isinstance(step, Delete):
                return
            self._attempts[uid] = attempt
        else:
            _log.warning("task.restless", uid=uid, steps=STEPS_LIMIT)
            self._queue.retry(key)
        if self._tasks.has_ended(uid):
            self._attempts.pop(uid, None)

    def _is_end(self, step: TaskStep, key: Key) -> bool:
        match step:
            case Rest():
                self._queue.succeeded(key)
            case Wait(seconds):
                self._queue.succeeded(key)
                self._queue.add_after(key, seconds)
            case Retry():
                self._queue.retry(key)
            case _:
                return False
        return True

    async def _subject(self, uid: str) -> TaskSubject | None:
        raw = self._tasks.get(uid)
        if raw is None:
            self.forget(uid)
            return None
        try:
            task = TaskResource.of(raw)
        except InvalidInput as error:
            # Stored by another release, perhaps: a person must see it, and nothing is done on a guess.
            _log.error("task.invalid", uid=uid, message=error.message)
            self._queue.add_after(Key(Kind.TASK, uid), self._seldom_seconds)
            return None
        trace = current_trace.get() or _trace_of(task)
        current_trace.set(trace)
        return TaskSubject(raw, task, await self._system(task.spec.system), trace, self._epoch())

    async def _system(self, name: str) -> SystemSpec | None:
        if self._store.system(name) is None:
            # Not seen is not the same as not there: after a start Tasks may come before Systems.
            try:
                self._store.put_system(await self._kube.get(Kind.SYSTEM, name))
            except NotFound:
                return None
        return self._store.system_spec(name)

    async def _read_again(self, subject: TaskSubject, error: Conflict | NotFound | InvalidInput) -> None:
        """Somebody changed, replaced or removed the Task since it was read: decide anew on what is there now."""
        task = subject.task
        try:
            fresh: Raw = await self._kube.get(Kind.TASK, task.name, namespace=task.namespace)
        except NotFound:
            self.forget(task.uid)
            return
        if fresh["metadata"]["uid"] != task.uid:
            self.forget(task.uid)
            return
        self._tasks.put(fresh)
        if isinstance(error, InvalidInput) and fresh["metadata"]["resourceVersion"] == task.resource_version:
            raise error  # the API server does not accept what we write: a defect, and repeating it would not help


def _is_under_way(task: TaskResource) -> bool:
    """Another process had begun it."""
    return task.status.start_time is not None and not task.finished


def _why_blocked(task: TaskResource, blocks: BlockList) -> str:
    requester = task.spec.requested_by
    return blocks.why(requester=requester.username if requester is not None else "", user=task.spec.run_as)


def _trace_of(task: TaskResource) -> Trace:
    """The trace of the request that made it; else its uid: the same in every pass."""
    given = task.annotations.get(ANNOTATION_TRACEPARENT)
    own = Trace(task.uid.replace("-", ""), "1" * 16)
    return Trace.continued(given if Trace.parse(given) else own.header)
