"""Takes a Job through its steps until there is nothing to do for now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from goldcrest.authorised import token_of
from goldcrest.blocked import BlockFollower, BlockList
from goldcrest.errors import Conflict, InvalidInput, NotFound
from goldcrest.kube import Raw
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log, current_trace
from goldcrest.wellknown import Kind
from goldcrest_operator.effects import JobEffects, Kubernetes, Subject
from goldcrest_operator.life import trace_of_job
from goldcrest_operator.reading import read_job
from goldcrest_operator.reconcile.certainty import LATE_SECONDS, begun
from goldcrest_operator.reconcile.job import next_step
from goldcrest_operator.reconcile.observation import Attempt, Observation, Source
from goldcrest_operator.reconcile.statuses import finished_at
from goldcrest_operator.reconcile.steps import Delete, Rest, Retry, Step, Submit, Wait
from goldcrest_operator.store import Followed, Store, followed_of
from goldcrest_operator.surroundings import Surroundings
from goldcrest_operator.tracker import Tracker
from goldcrest_operator.workqueue import WorkQueue

_log = Log(__name__)

_OVER = Attempt()  # one for all finished Jobs: what was done for them does not matter any more

USAGE_SECONDS = 600.0
"""A Job that ended so long before this process first saw it is not asked about any more."""
STEPS_LIMIT = 25
"""Steps of one pass. The longest way that there is takes ten: more means that somebody else edits the Job all the time."""


@dataclass(frozen=True, slots=True)
class Key:
    """What waits in the queue: a Job by its uid, a System by its name."""

    kind: Kind
    id: str


class JobController:
    """The reconciler of Jobs: asks :func:`next_step`, has the step carried out, and asks again.

    Args:
        seldom_seconds: pause before something is tried again that only a person can mend.
        epoch: the present time in epoch seconds.
    """

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
        self._kube = kube
        self._store = store
        self._tracker = tracker
        self._effects = effects
        self._queue = queue
        self._cluster_id = cluster_id
        self._seldom_seconds = seldom_seconds
        self._blocks = blocks
        self._surroundings = surroundings
        self._epoch = epoch
        self._attempts: dict[str, Attempt] = {}

    async def reconcile(self, uid: str) -> None:
        """One pass over a Job. The worker that calls it holds the Job: nobody else writes it.

        Raises:
            LeaseLost: the process must end.
            KubernetesUnavailable: try again later.
        """
        known = self._attempts.get(uid)
        attempt = replace(known, trouble=None) if known is not None else None
        seconds: dict[str, float] = {}
        source: Source | None = None
        for _ in range(STEPS_LIMIT):
            subject = await self._subject(uid, seconds)
            if subject is None:
                return
            if attempt is None:
                attempt = self._attempts[uid] = begun(subject.job, now=subject.now)
                self._ask_usage_of(subject.job, now=subject.now)
            if source is None:
                source = await self._surroundings.source(
                    subject.job
                )  # once a pass: decided on and sent are the same bytes
            subject.script = source.script
            observed = Observation(
                now=subject.now,
                attempt=attempt,
                sighting=self._tracker.sighting(uid),
                blocked=_why_blocked(subject.job, self._blocks.now),
                source=source,
                related=await self._surroundings.related(subject.job),
            )
            step = next_step(subject.job, subject.system, observed, cluster_id=self._cluster_id)
            if self._is_end(step, uid):
                break
            try:
                attempt = await self._effects.perform(step, subject, attempt)
            except (Conflict, NotFound, InvalidInput) as error:
                await self._read_again(subject, error)
            except BaseException:
                if isinstance(step, Submit):
                    # What came of it is not known: as after a restart, the token is looked for first.
                    until = self._epoch() + LATE_SECONDS
                    self._attempts[uid] = replace(
                        attempt, clean=False, found=None, unclear_until=until, assumed=False, nothing_taken=False
                    )
                raise
            self._attempts[uid] = attempt
            if isinstance(step, Delete):
                return
        else:
            _log.warning("job.restless", uid=uid, steps=STEPS_LIMIT)
            self._queue.retry(Key(Kind.JOB, uid))
        self._follow(uid)

    async def refresh(self, followed: Followed) -> None:
        """Read a followed Job anew: it may be gone without the watch having said so."""
        try:
            fresh = await self._kube.get(Kind.JOB, followed.name, namespace=followed.namespace)
        except NotFound:
            self.forget(followed.uid)
            return
        if fresh["metadata"]["uid"] != followed.uid:
            self.forget(followed.uid)
        elif self._store.put_job(fresh):
            self._queue.add(Key(Kind.JOB, followed.uid))

    def block_list_changed(self, before: BlockList, now: BlockList) -> None:
        """Have every Job looked at that is blocked now or was before, and is not any more."""
        if before == now:
            return
        for raw in self._store.unfinished_jobs():
            spec, key = raw["spec"], Key(Kind.JOB, raw["metadata"]["uid"])
            names = {"requester": (spec.get("requestedBy") or {}).get("username", ""), "user": spec["runAs"]}
            if before.why(**names) != now.why(**names):
                self._queue.succeeded(key)  # what failed meanwhile says nothing about now
                self._queue.add(key)

    def look_again(self, uid: str) -> None:
        """Somebody asked for it (annotation reconcile-requested-at): what failed before, and how often, does not count."""
        key = Key(Kind.JOB, uid)
        attempt = self._attempts.get(uid)
        if attempt is not None:
            self._attempts[uid] = replace(attempt, hold_refused_at_generation=None, files_asked=False)
        raw = self._store.job(uid)
        if raw is not None and self._store.is_followed(uid):
            self._tracker.look_again(uid)
            self._tracker.follow(raw["spec"]["system"], raw["spec"]["runAs"], hurry=True)
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
        self._attempts.pop(uid, None)
        self._queue.forget(Key(Kind.JOB, uid))

    def _ask_usage_of(self, job: JobResource, *, now: float) -> None:
        """A predecessor that saw the end of a Job may not have lived until accounting knew what it used."""
        ended = finished_at(job.status)
        if ended is None or now - ended > USAGE_SECONDS or job.status.job_id is None or job.status.usage is not None:
            return
        token = token_of(job, cluster_id=self._cluster_id)
        self._tracker.ask_usage(followed_of(job, job.status.job_id, token=token))

    def _is_end(self, step: Step, uid: str) -> bool:
        """Whether the pass is over; if so, when the next one is due is arranged."""
        key = Key(Kind.JOB, uid)
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

    async def _subject(self, uid: str, seconds: dict[str, float]) -> Subject | None:
        raw = self._store.job(uid)
        if raw is None:
            self.forget(uid)
            return None
        try:
            job = read_job(raw)
        except InvalidInput as error:
            # Stored by a newer release, perhaps: a person must see it, and nothing is done on a guess.
            _log.error("job.invalid", uid=uid, message=error.message)
            self._effects.tell_unreadable(raw, error)
            self._queue.add_after(Key(Kind.JOB, uid), self._seldom_seconds)
            return None
        trace = current_trace.get() or trace_of_job(job)
        current_trace.set(trace)
        system = await self._system(job.spec.system)
        return Subject(raw, job, system, trace, self._epoch(), seconds=seconds)

    async def _system(self, name: str) -> SystemSpec | None:
        if self._store.system(name) is None:
            # Not seen is not the same as not there: after a start Jobs may come before Systems.
            try:
                self._store.put_system(await self._kube.get(Kind.SYSTEM, name))
            except NotFound:
                return None
        return self._store.system_spec(name)

    async def _read_again(self, subject: Subject, error: Conflict | NotFound | InvalidInput) -> None:
        """Somebody changed, replaced or removed the Job since it was read: decide anew on what is there now."""
        job = subject.job
        try:
            fresh: Raw = await self._kube.get(Kind.JOB, job.name, namespace=job.namespace)
        except NotFound:
            self.forget(job.uid)
            return
        if fresh["metadata"]["uid"] != job.uid:
            self.forget(job.uid)
            return
        self._store.put_job(fresh)
        if isinstance(error, InvalidInput) and fresh["metadata"]["resourceVersion"] == job.resource_version:
            raise error  # the API server does not accept what we write: a defect, and repeating it would not help

    def _follow(self, uid: str) -> None:
        raw = self._store.job(uid)
        if raw is not None:
            system, user = raw["spec"]["system"], raw["spec"]["runAs"]
            if self._store.is_followed(uid):
                self._tracker.follow(system, user, hurry=False)
            elif uid not in self._store.unfinished(system) and self._attempts.get(uid, _OVER).unclear_until is None:
                self._attempts[uid] = _OVER


def _why_blocked(job: JobResource, blocks: BlockList) -> str:
    requester = job.spec.requested_by
    return blocks.why(requester=requester.username if requester is not None else "", user=job.spec.run_as)
