"""Takes a Job through its steps until there is nothing to do for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from goldcrest.authorised import token_of
from goldcrest.blocked import BlockFollower, BlockList
from goldcrest.errors import InvalidInput, NotFound
from goldcrest.kube import Raw
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Trace, current_trace
from goldcrest.wellknown import Kind
from goldcrest_operator.controller import Controller, Key
from goldcrest_operator.effects import JobEffects, Kubernetes, Subject
from goldcrest_operator.life import trace_of_job
from goldcrest_operator.reading import read_job
from goldcrest_operator.reconcile.certainty import LATE_SECONDS, begun
from goldcrest_operator.reconcile.job import next_step
from goldcrest_operator.reconcile.observation import Attempt, Observation
from goldcrest_operator.reconcile.statuses import finished_at
from goldcrest_operator.reconcile.steps import Step, Submit
from goldcrest_operator.store import Followed, Store, followed_of
from goldcrest_operator.surroundings import Surroundings
from goldcrest_operator.tracker import Tracker
from goldcrest_operator.workqueue import WorkQueue

_OVER = Attempt()  # one for all finished Jobs: what was done for them does not matter any more

USAGE_SECONDS = 600.0
"""A Job that ended so long before this process first saw it is not asked about any more."""


class JobController(Controller[JobResource, Attempt, Subject]):
    """The reconciler of Jobs: asks :func:`next_step`.

    Args:
        seldom_seconds: pause before something is tried again that only a person can mend.
        epoch: the present time in epoch seconds.
    """

    kind = Kind.JOB
    steps_limit = 25  # the longest way that there is takes ten

    def __init__(
        self,
        *,
        kube: Kubernetes,
        store: Store,
        tracker: Tracker,
        effects: JobEffects,
        queue: WorkQueue[Key],
        cluster_id: str,
        seldom_seconds: float,
        blocks: BlockFollower,
        surroundings: Surroundings,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(kube=kube, store=store, queue=queue, seldom_seconds=seldom_seconds, blocks=blocks, epoch=epoch)
        self._tracker = tracker
        self._effects = effects
        self._cluster_id = cluster_id
        self._surroundings = surroundings
        self._asked_again: set[str] = set()

    async def reconcile(self, uid: str) -> None:
        attempt = self._attempts.get(uid)
        if uid in self._asked_again and attempt is not None:
            self._attempts[uid] = replace(attempt, hold_refused_at_generation=None, files_asked=False)
        self._asked_again.discard(uid)
        await super().reconcile(uid)

    async def refresh(self, followed: Followed) -> None:
        """Read a followed Job anew: it may be gone without the watch having said so."""
        try:
            fresh = await self._kube.get(Kind.JOB, followed.name, namespace=followed.namespace)
        except NotFound:
            self.forget(followed.uid)
            return
        if fresh["metadata"]["uid"] != followed.uid:
            self.forget(followed.uid)
        elif self._store.update_job(fresh):
            self._queue.add(Key(Kind.JOB, followed.uid))

    def block_list_changed(self, before: BlockList, now: BlockList) -> None:
        """Have every Job looked at that is blocked now or was before, and is not any more."""
        if before == now:
            return
        for uid, known in self._store.unfinished_jobs().items():
            key, names = Key(Kind.JOB, uid), {"requester": known.requester, "user": known.user}
            if before.why(**names) != now.why(**names):
                self._queue.succeeded(key)  # what failed meanwhile says nothing about now
                self._queue.add(key)

    def look_again(self, uid: str) -> None:
        """Somebody asked for it (annotation reconcile-requested-at): what failed before, and how often, does not count."""
        key = Key(Kind.JOB, uid)
        self._asked_again.add(uid)  # not forgotten now: a pass that is under way would put it back
        place = self._store.place_of(uid)
        if place is not None and self._store.is_followed(uid):
            self._tracker.look_again(uid)
            self._tracker.follow(place.system, place.user, hurry=True)
        self._queue.succeeded(key)
        self._queue.add(key)

    def wake_dependents(self, raw: Raw) -> None:
        """Something became of a Job: those that wait for it are looked at."""
        for uid in self._store.dependents(raw["metadata"]["namespace"], raw["metadata"]["name"]):
            self._queue.add(Key(Kind.JOB, uid))

    def forget(self, uid: str) -> None:
        """The Job is gone."""
        self._store.remove_job(uid)
        self._tracker.forget(uid)
        self._asked_again.discard(uid)
        super().forget(uid)

    def _raw(self, uid: str) -> Raw | None:
        return self._store.job(uid)

    def _put(self, raw: Raw) -> bool:
        return self._store.update_job(raw)

    def _read(self, raw: Raw) -> JobResource:
        return read_job(raw)

    def _unreadable(self, raw: Raw, error: InvalidInput) -> None:
        self._effects.tell_unreadable(raw, error)

    def _trace(self, resource: JobResource) -> Trace:
        return trace_of_job(resource)

    def _subject(
        self, raw: Raw, resource: JobResource, system: SystemSpec | None, *, before: Subject | None
    ) -> Subject:
        trace = current_trace.get() or trace_of_job(resource)
        subject = Subject(raw, resource, system, trace, self._epoch())
        if before is not None:
            subject.source, subject.seconds = before.source, before.seconds
        return subject

    def _begun(self, resource: JobResource) -> Attempt:
        self._ask_usage_of(resource)
        return begun(resource, now=self._epoch())

    async def _next(self, subject: Subject, attempt: Attempt) -> Step:
        job = subject.job
        if subject.source is None:  # once a pass: decided on and sent are the same bytes
            subject.source = await self._surroundings.source(job)
        observed = Observation(
            now=subject.now,
            attempt=attempt,
            sighting=self._tracker.sighting(job.uid),
            blocked=self._why_blocked(job),
            source=subject.source,
            related=await self._surroundings.related(job),
        )
        return next_step(job, subject.system, observed, cluster_id=self._cluster_id)

    async def _perform(self, step: Any, subject: Subject, attempt: Attempt) -> Attempt:
        return await self._effects.perform(step, subject, attempt)

    def _interrupted(self, step: Any, resource: JobResource, attempt: Attempt) -> Attempt:
        if not isinstance(step, Submit):
            return attempt
        # What came of it is not known: as after a restart, the token is looked for first.
        until = self._epoch() + LATE_SECONDS
        return replace(attempt, clean=False, found=None, unclear_until=until, assumed=False, nothing_taken=False)

    def _passed(self, uid: str) -> None:
        place = self._store.place_of(uid)
        if place is None:
            return
        if self._store.is_followed(uid):
            self._tracker.follow(place.system, place.user, hurry=False)
        elif place.finished and self._attempts.get(uid, _OVER).unclear_until is None:
            self._attempts[uid] = _OVER

    def _ask_usage_of(self, job: JobResource) -> None:
        """A predecessor that saw the end of a Job may not have lived until accounting knew what it used."""
        ended = finished_at(job.status)
        if job.status.job_id is None or ended is None or job.status.usage is not None:
            return
        if self._epoch() - ended <= USAGE_SECONDS:
            token = token_of(job, cluster_id=self._cluster_id)
            self._tracker.ask_usage(followed_of(job, job.status.job_id, token=token))
