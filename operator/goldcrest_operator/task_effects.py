"""Carries out one step of a Task. What it learns goes into the attempt; what must survive the process, into the Task's status."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from goldcrest.authority import ByResource
from goldcrest.canonical import sha256_hex
from goldcrest.errors import AnswerLost, Blocked, Denied, GoldcrestError, InvalidInput, LeaseNotHeld, NotFound, TooLarge
from goldcrest.kube import AlreadyExists, Raw
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import (
    CHUNK_LIMIT,
    INLINE_RESULT,
    RESULT_LIMIT,
    Operation,
    TaskResource,
    TaskResultRecord,
)
from goldcrest.task_results import Accounting, Cancelled, Jobs, Result, encode
from goldcrest.telemetry import Log, Trace
from goldcrest.wellknown import API_VERSION, Kind, Reason
from goldcrest_operator.faults import Faults
from goldcrest_operator.lease import Lease
from goldcrest_operator.metrics import Metrics
from goldcrest_operator.paging import check_page, paged
from goldcrest_operator.reconcile.observation import Refusal, Trouble
from goldcrest_operator.reconcile.statuses import iso
from goldcrest_operator.reconcile.steps import Delete
from goldcrest_operator.reconcile.task import Carry, Outcome, TaskAttempt, TaskStep, WriteTask
from goldcrest_operator.reconcile.troubles import trouble_of
from goldcrest_operator.scheduler.interface import OperationFailed, Operations, SiteRefused, Target
from goldcrest_operator.shared_queries import Answered, SharedQueries
from goldcrest_operator.store import Store
from goldcrest_operator.task_store import TaskStore

_log = Log(__name__)

_SYSTEM_KNOWN_SECONDS: Final = 10.0  # after which a denial is not about a System that delegation does not know yet


class TaskKubernetes(Protocol):
    """The part of the Kubernetes client that is needed."""

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Raw: ...
    async def create(self, kind: Kind, resource: Raw, *, namespace: str | None = None) -> Raw: ...
    async def replace_status(self, kind: Kind, resource: Raw, status: Raw) -> Raw: ...
    async def delete(self, kind: Kind, name: str, *, namespace: str | None = None, uid: str | None = None) -> None: ...


@dataclass(slots=True)
class TaskSubject:
    """The Task that a step is for, as it was read; ``now`` is epoch seconds."""

    raw: Raw
    task: TaskResource
    system: SystemSpec | None
    trace: Trace
    now: float


class TaskEffects:
    """The hands of the reconciler of Tasks. Every method checks the Lease first and raises LeaseLost without it.

    Args:
        operations: asks the scheduler of what changes something there; that is never shared.
    """

    def __init__(
        self,
        *,
        kube: TaskKubernetes,
        queries: SharedQueries,
        operations: Operations,
        lease: Lease,
        store: Store,
        tasks: TaskStore,
        faults: Faults,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._queries = queries
        self._operations = operations
        self._lease = lease
        self._store = store
        self._tasks = tasks
        self._faults = faults
        self._metrics = metrics
        self._clock = clock
        self._epoch = epoch

    async def perform(self, step: TaskStep, subject: TaskSubject, attempt: TaskAttempt) -> TaskAttempt:
        """Carry out one step; the attempt afterwards.

        Raises:
            LeaseLost, Conflict, NotFound, KubernetesUnavailable.
        """
        self._lease.check()
        name, began = f"Task{type(step).__name__}", self._clock()
        self._faults.before(step)
        try:
            match step:
                case WriteTask(status):
                    written = await self._kube.replace_status(Kind.TASK, subject.raw, status.dump())
                    self._tasks.update(written)
                    if status.phase is not None and status.phase.finished:
                        _log.info(
                            "task.finished", **self._names(subject), phase=status.phase.value, message=status.message
                        )
                case Carry(begun_before):
                    attempt = await self._carry(subject, attempt, begun_before=begun_before)
                case Delete():
                    await self._delete(subject)
            if attempt.trouble is None:
                self._faults.after(step)
            return attempt
        finally:
            self._metrics.steps.labels(name).inc()
            self._metrics.step_seconds.labels(name).observe(self._clock() - began)

    async def _carry(self, subject: TaskSubject, attempt: TaskAttempt, *, begun_before: bool) -> TaskAttempt:
        operation = subject.task.spec.operation
        try:
            check_page(operation)
            self._operations.check(operation)
            answered = await self._answer(subject)
            result = paged(operation, self._operations.result(operation, answered.answer, begun_before=begun_before))
            record = await self._stored(subject, result, answered)
        except OperationFailed as error:
            return self._refused(subject, attempt, Reason.REJECTED_BY_SCHEDULER, error.message)
        except SiteRefused as error:
            return self._refused(subject, attempt, Reason.REJECTED_BY_SITE, error.message)
        except (InvalidInput, TooLarge) as error:
            return self._refused(subject, attempt, Reason.REJECTED_BY_SITE, error.message)
        except GoldcrestError as error:
            return await self._failed(error, subject, attempt)
        return replace(attempt, outcome=Outcome(record=record, message=_summary(result)))

    async def _answer(self, subject: TaskSubject) -> Answered:
        target = self._target(subject)
        command = self._operations.command(subject.task.spec.operation, target.spec)
        if subject.task.is_query:
            return await self._queries.answer(target, command)
        as_of = self._epoch()
        try:
            answer = await self._operations.answer(target, command)
        finally:
            self._queries.changed(target.system, target.user)
        return Answered(answer, as_of)

    async def _stored(self, subject: TaskSubject, result: Result, answered: Answered) -> TaskResultRecord:
        """Where the result is; all of it, or none.

        Raises:
            TooLarge: etcd is no database.
        """
        content = await asyncio.to_thread(encode, result)  # a thousand rows would hold others up
        if len(content) > RESULT_LIMIT:
            raise TooLarge(
                f"the result has {len(content)} bytes, and {RESULT_LIMIT} is the most: ask for less, with ids, names, pages or times"
            )
        record = TaskResultRecord(sha256=sha256_hex(content), size=len(content), as_of=iso(answered.as_of))
        if len(content) <= INLINE_RESULT:
            return record.model_copy(update={"inline": content.decode()})
        packed = await asyncio.to_thread(gzip.compress, content, 6, mtime=0)
        names = []
        for number, begin in enumerate(range(0, len(packed), CHUNK_LIMIT)):
            # Named by what it holds: after a crash the successor's result is another one, or the same.
            name = f"{subject.task.name[:180].rstrip('-.')}-{record.sha256[:16]}-{number}"
            await self._create_chunk(subject, name, packed[begin : begin + CHUNK_LIMIT])
            names.append(name)
        return record.model_copy(update={"names": names})

    async def _create_chunk(self, subject: TaskSubject, name: str, data: bytes) -> None:
        task = subject.task
        owner = {"apiVersion": API_VERSION, "kind": Kind.TASK.value, "name": task.name, "uid": task.uid}
        resource = {
            "apiVersion": API_VERSION,
            "kind": Kind.TASK_RESULT.value,
            "metadata": {"name": name, "namespace": task.namespace, "ownerReferences": [owner]},
            "data": base64.b64encode(data).decode(),
        }
        self._lease.check()
        with contextlib.suppress(AlreadyExists):  # of the same bytes; whoever reads it compares the digest
            await self._kube.create(Kind.TASK_RESULT, resource, namespace=task.namespace)

    def _refused(self, subject: TaskSubject, attempt: TaskAttempt, reason: Reason, message: str) -> TaskAttempt:
        _log.info("task.refused", **self._names(subject), reason=reason.value, message=message)
        return replace(attempt, outcome=Outcome(refusal=Refusal(reason, message)))

    async def _failed(self, error: GoldcrestError, subject: TaskSubject, attempt: TaskAttempt) -> TaskAttempt:
        _log.warning("task.step_failed", **self._names(subject), code=error.code, message=error.message)
        self._metrics.failures.labels(error.code).inc()
        if isinstance(error, AnswerLost):
            attempt = replace(attempt, begun_before=True)
        if isinstance(error, LeaseNotHeld):
            # Either we were replaced and end here, or delegation, which reads the Lease once a second, does not know us yet.
            await self._lease.confirm()
        elif isinstance(error, Blocked):
            return replace(
                attempt,
                outcome=Outcome(refusal=Refusal(Reason.BLOCKED, f"Stopped by an administrator: {error.message}.")),
            )
        elif isinstance(error, Denied | NotFound):
            # Delegation judges what is stored now. So was it judged what we had in mind?
            task = subject.task
            fresh = await self._kube.get(Kind.TASK, task.name, namespace=task.namespace)
            if fresh["metadata"]["uid"] != task.uid:
                raise NotFound(f"Task {task.namespace}/{task.name} was replaced by another of its name")
            self._tasks.update(fresh)
            if fresh["metadata"]["resourceVersion"] != task.resource_version:
                return attempt
            if self._store.system_unchanged_for(task.spec.system) >= _SYSTEM_KNOWN_SECONDS:
                return replace(attempt, outcome=Outcome(refusal=Refusal(Reason.POLICY_DENIED, error.message)))
            return replace(attempt, trouble=Trouble(Reason.POLICY_DENIED, error.message))
        return replace(attempt, trouble=trouble_of(error))

    async def _delete(self, subject: TaskSubject) -> None:
        task = subject.task
        for name in task.status.result.names if task.status.result is not None else ():
            try:
                await self._kube.delete(Kind.TASK_RESULT, name, namespace=task.namespace)
            except NotFound:
                continue
        await self._kube.delete(Kind.TASK, task.name, namespace=task.namespace, uid=task.uid)
        _log.info("task.expired", **self._names(subject))

    def _target(self, subject: TaskSubject) -> Target:
        task = subject.task
        assert subject.system is not None  # noqa: S101 - nothing is carried out without one
        return Target(
            system=task.spec.system,
            spec=subject.system,
            user=task.spec.run_as,
            basis=ByResource(Kind.TASK.value, task.namespace, task.name, task.uid),
            trace=subject.trace,
        )

    def _names(self, subject: TaskSubject) -> dict[str, str]:
        task = subject.task
        return {
            "namespace": task.namespace,
            "name": task.name,
            "uid": task.uid,
            "system": task.spec.system,
            "user": task.spec.run_as,
            "operation": operation_name(task.spec.operation),
        }


def operation_name(operation: Operation) -> str:
    """``listJobs`` and so on, for logs."""
    return " and ".join(operation.names)


def _summary(result: Result) -> str:
    match result:
        case Jobs(jobs=rows, total=total) | Accounting(rows=rows, total=total):
            return f"{len(rows)} of {total} jobs." if len(rows) != total else f"{total} jobs."
        case Cancelled(text=text):
            return text
        case _:
            return f"{len(result.rows)} found."
