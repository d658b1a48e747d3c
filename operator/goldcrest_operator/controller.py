"""What the reconcilers of kinds that run once (Jobs, Tasks) share: ask for the next step, have it carried out, and ask again, until there is
nothing to do for now."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from goldcrest.blocked import BlockFollower
from goldcrest.errors import Conflict, InvalidInput, NotFound
from goldcrest.kube import Raw
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.wellknown import Kind
from goldcrest_operator.reconcile.observation import Attempt
from goldcrest_operator.reconcile.steps import Delete, Rest, Retry, Wait
from goldcrest_operator.reconcile.task import TaskAttempt
from goldcrest_operator.store import Store
from goldcrest_operator.workqueue import WorkQueue

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """What waits in the queue: a Job or Task by its uid, a System by its name."""

    kind: Kind
    id: str


class Reads(Protocol):
    """The part of the Kubernetes client that is needed."""

    async def get(self, kind: Kind, name: str, *, namespace: str | None = None) -> Raw: ...


R = TypeVar("R", JobResource, TaskResource)
A = TypeVar("A", Attempt, TaskAttempt)
S = TypeVar("S")
"""What a step is for: the resource as it was read, and what is known beside it."""


class Controller(ABC, Generic[R, A, S]):
    """The reconciler of one kind.

    Args:
        seldom_seconds: pause before something is looked at again that only a person can mend.
        epoch: the present time in epoch seconds.
    """

    kind: ClassVar[Kind]
    steps_limit: ClassVar[int]
    """Steps of one pass; more means that somebody else edits the resource all the time."""

    def __init__(
        self,
        *,
        kube: Reads,
        store: Store,
        queue: WorkQueue[Key],
        seldom_seconds: float,
        blocks: BlockFollower,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._store = store
        self._queue = queue
        self._seldom_seconds = seldom_seconds
        self._blocks = blocks
        self._epoch = epoch
        self._attempts: dict[str, A] = {}

    async def reconcile(self, uid: str) -> None:
        """One pass over a resource. The worker that calls it holds it: nobody else writes it.

        Raises:
            LeaseLost: the process must end.
            KubernetesUnavailable: try again later.
        """
        known = self._attempts.get(uid)
        attempt = replace(known, trouble=None) if known is not None else None
        subject: S | None = None
        for _ in range(self.steps_limit):
            resource = await self._resource(uid)
            if resource is None:
                return
            raw, read, system = resource
            subject = self._subject(raw, read, system, before=subject)
            if attempt is None:
                attempt = self._attempts[uid] = self._begun(read)
            step = await self._next(subject, attempt)
            if self._is_end(step, Key(self.kind, uid)):
                break
            try:
                attempt = await self._perform(step, subject, attempt)
            except (Conflict, NotFound, InvalidInput) as error:
                await self._read_again(read, error)
            except BaseException:
                self._attempts[uid] = self._interrupted(step, read, attempt)
                raise
            self._attempts[uid] = attempt
            if isinstance(step, Delete):
                return
        else:
            _log.warning(f"{self.kind.value.lower()}.restless", uid=uid, steps=self.steps_limit)
            self._queue.retry(Key(self.kind, uid))
        self._passed(uid)

    def forget(self, uid: str) -> None:
        """It is gone."""
        self._attempts.pop(uid, None)
        self._queue.forget(Key(self.kind, uid))

    @abstractmethod
    def _raw(self, uid: str) -> Raw | None:
        """It as it is known now."""

    @abstractmethod
    def _put(self, raw: Raw) -> bool:
        """Keep it, unless a later version is known; whether it was kept."""

    @abstractmethod
    def _read(self, raw: Raw) -> R:
        """
        Raises:
            InvalidInput: it is not understood.
        """

    @abstractmethod
    def _trace(self, resource: R) -> Trace:
        """That of whoever made it."""

    @abstractmethod
    def _subject(self, raw: Raw, resource: R, system: SystemSpec | None, *, before: S | None) -> S:
        """What the next step is for; ``before`` is that of the step before in the same pass."""

    @abstractmethod
    def _begun(self, resource: R) -> A:
        """The attempt of a process that sees it for the first time."""

    @abstractmethod
    async def _next(self, subject: S, attempt: A) -> Any:
        """The next step."""

    @abstractmethod
    async def _perform(self, step: Any, subject: S, attempt: A) -> A:
        """Carry it out; the attempt afterwards."""

    @abstractmethod
    def _interrupted(self, step: Any, resource: R, attempt: A) -> A:
        """The attempt after a step of which nobody knows what came of it."""

    @abstractmethod
    def _passed(self, uid: str) -> None:
        """A pass is over, and it is still there."""

    def _unreadable(self, raw: Raw, error: InvalidInput) -> None:
        """It is not understood."""

    def _why_blocked(self, resource: R) -> str:
        """Why its requester or user is blocked; empty when they are not."""
        requester = resource.spec.requested_by
        names = {"requester": requester.username if requester is not None else "", "user": resource.spec.run_as}
        return self._blocks.now.why(**names)

    def _is_end(self, step: object, key: Key) -> bool:
        """Whether the pass is over; if so, when the next one is due is arranged."""
        match step:
            case Rest():
                self._queue.succeeded(key)
            case Wait(seconds):
                self._queue.succeeded(key)
                self._queue.add_after(key, seconds)
            case Retry(seldom=False):
                self._queue.retry(key)
            case Retry(seldom=True):
                self._queue.add_after(key, self._seldom_seconds)
            case _:
                return False
        return True

    async def _resource(self, uid: str) -> tuple[Raw, R, SystemSpec | None] | None:
        """It as it is now, with its System; None when it is gone or not understood."""
        raw = self._raw(uid)
        if raw is None:
            self.forget(uid)
            return None
        try:
            resource = self._read(raw)
        except InvalidInput as error:
            # Stored by a newer release, perhaps: a person must see it, and nothing is done on a guess.
            _log.error(f"{self.kind.value.lower()}.invalid", uid=uid, message=error.message)
            self._unreadable(raw, error)
            self._queue.add_after(Key(self.kind, uid), self._seldom_seconds)
            return None
        current_trace.set(current_trace.get() or self._trace(resource))
        return raw, resource, await self._system(resource.spec.system)

    async def _system(self, name: str) -> SystemSpec | None:
        if self._store.system(name) is None:
            # Not seen is not the same as not there: after a start they may come before Systems.
            try:
                self._store.put_system(await self._kube.get(Kind.SYSTEM, name))
            except NotFound:
                return None
        return self._store.system_spec(name)

    async def _read_again(self, resource: R, error: Conflict | NotFound | InvalidInput) -> None:
        """Somebody changed, replaced or removed it since it was read: decide anew on what is there now."""
        try:
            fresh: Raw = await self._kube.get(self.kind, resource.name, namespace=resource.namespace)
        except NotFound:
            self.forget(resource.uid)
            return
        if fresh["metadata"]["uid"] != resource.uid:
            self.forget(resource.uid)
            return
        self._put(fresh)
        if isinstance(error, InvalidInput) and fresh["metadata"]["resourceVersion"] == resource.resource_version:
            raise error  # the API server does not accept what we write: a defect, and repeating it would not help
