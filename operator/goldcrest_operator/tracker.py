"""Follows submitted Jobs in their scheduler: one query per (system, interval), not one per job.

With an observer account on the System, one query shows all jobs; else one per user with active jobs, asked as that user. What has left the
queue or has ended there is settled by the scheduler's exact record of it, else by accounting. Nothing is written here: what was seen is kept
as a Sighting, and a Job whose Sighting changed goes through the same queue as one that was edited.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from goldcrest.authority import ByResource
from goldcrest.commands.slurm import ACCOUNT_LIMIT, DESCRIBE_LIMIT, Scope
from goldcrest.commands.usage import USAGE_LIMIT
from goldcrest.errors import Denied, GoldcrestError, KubernetesUnavailable, NotFound, SchedulerUnavailable
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.wellknown import Kind, Phase, Reason
from goldcrest_operator.metrics import CODES, Metrics
from goldcrest_operator.reconcile.observation import Sighting, Trouble
from goldcrest_operator.reconcile.seen import is_steady
from goldcrest_operator.reconcile.troubles import trouble_of
from goldcrest_operator.scheduler.interface import JobView, Scheduler, Target
from goldcrest_operator.store import Followed, Store
from goldcrest_operator.usage import UsageQuestions

_log = Log(__name__)

_BASES_TRIED = 3  # Jobs of a user whose right to ask is tried in one round
_UNKNOWN_MOST_SECONDS = 60.0  # pause between questions for a job that nobody knows
_ELEMENTS_TRIED = 5  # looks at accounting for an array of which it lacks elements
_CLOCKS_DIFFER_SECONDS = (
    3600  # a job of a known id that was submitted so much earlier is another, which had the id before
)


@dataclass(frozen=True, slots=True)
class TrackerTimes:
    """Seconds between queries.

    Args:
        hot: while something was submitted or changed within ``hot_for``.
        few: while at most ``few_jobs`` jobs of the system are active.
        active: while more are.
        idle: while none is (observer account only; it still finds doubles).
        per_second: queries of one system, over all users' lanes; with many lanes each pauses longer. Lanes that are hot count by
            themselves, so that there may be twice as many for a moment.
        rest: a lane pauses for this many times as long as its last look at the queue took, up to ``active``: neither the controller nor we are
            kept busy by thousands of jobs of which some change all the time.
        at_once: queries of one system under way; further ones wait their turn.
        usage: seconds after the end of a job at which accounting is asked what it used, until it knows.
    """

    hot: float = 1.0
    hot_for: float = 15.0
    few: float = 1.5
    few_jobs: int = 200
    active: float = 4.0
    idle: float = 30.0
    per_second: float = 20.0
    rest: float = 3.0
    at_once: int = 4
    usage: tuple[float, ...] = (3.0, 10.0, 60.0)


@dataclass(slots=True)
class _Lane:
    """One series of queries: of a system, as one account."""

    system: str
    user: str
    """Whose jobs; empty for all, asked as the observer."""
    hot_until: float = 0.0
    failures: int = 0
    took: float = 0.0
    """Seconds of the last look at the queue."""
    turn: int = 0
    settling: asyncio.Task[None] | None = None
    """What is found out about jobs that have ended, while it goes on."""
    with_strays: frozenset[str] = frozenset()
    """uids of Jobs whose doubles this lane saw last."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    answered_at: float = 0.0
    """When the scheduler answered last, or the lane began."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """A job that nobody knows now, and when to ask again."""

    times: int
    again_at: float


class Tracker:
    """Sightings of all followed Jobs.

    Args:
        changed: called with the uid of a Job whose Sighting changed.
        refresh: reads a Job anew; called when delegation knows nothing of it or does not let us ask for it.
        active: whether this process may act now (the Lease).
        blocked: whether the user or the requester of a Job is blocked: delegation would refuse to ask as them.
    """

    def __init__(
        self,
        *,
        store: Store,
        scheduler: Scheduler,
        changed: Callable[[str], None],
        refresh: Callable[[Followed], Awaitable[None]],
        active: Callable[[], bool],
        blocked: Callable[[Followed], bool] = lambda _: False,
        times: TrackerTimes,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._changed = changed
        self._refresh = refresh
        self._active = active
        self._blocked = blocked
        self._times = times
        self._metrics = metrics
        self._clock = clock
        self._sightings: dict[str, Sighting] = {}
        self._missing: dict[str, _Missing] = {}
        self._arrays: set[str] = (
            set()
        )  # uids of Jobs that were seen to be arrays, by their spec or a line of their script
        self._unasked: set[str] = set()  # uids of Jobs that might not be asked for when it was tried last
        self._usage = UsageQuestions(times.usage, clock=clock)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.measures.read_each(
            "tracking_stale_seconds", "Seconds since the scheduler was last asked with success.", "system", self.stale
        )
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(times.at_once))

    def sighting(self, uid: str) -> Sighting:
        """What was seen of a Job last."""
        return self._sightings.get(uid) or Sighting()

    def stale(self) -> list[tuple[str, float]]:
        """Systems whose jobs are followed, and the seconds since the scheduler's last answer: of the user who waits longest."""
        oldest: dict[str, float] = {}
        for lane in self._lanes.values():
            oldest[lane.system] = min(oldest.get(lane.system, lane.answered_at), lane.answered_at)
        return [(system, max(0.0, self._clock() - at)) for system, at in oldest.items()]

    def forget(self, uid: str) -> None:
        """The Job is gone."""
        self._sightings.pop(uid, None)
        self._missing.pop(uid, None)
        self._unasked.discard(uid)
        self._arrays.discard(uid)
        self._usage.forget(uid)

    def look_again(self, uid: str) -> None:
        """Somebody wants to know: it is asked for in the next round, however often nobody knew it."""
        self._missing.pop(uid, None)

    def forget_strays(self, uid: str) -> None:
        """They were dealt with; what is left of them shows in the next round."""
        if uid in self._sightings:
            self._sightings[uid] = replace(self._sightings[uid], strays=())

    def follow(self, system: str, user: str, *, hurry: bool) -> None:
        """See to it that this user's jobs there are asked for; with ``hurry``, often for a while."""
        spec = self._store.system_spec(system)
        if spec is None:
            return
        key = (system, "" if spec.scheduler.observer else user)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(*key, answered_at=self._clock())
            task = asyncio.create_task(self._run(lane), name=f"tracker {system} {key[1] or 'observer'}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            hurry = True
        if hurry:
            lane.hot_until = self._clock() + self._times.hot_for
            lane.wake.set()

    def ask_usage(self, job: Followed) -> None:
        """Have accounting asked what a job used that has ended."""
        self._usage.owe(job)
        self.follow(job.system, job.user, hurry=False)

    async def close(self) -> None:
        """Stop asking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, lane: _Lane) -> None:
        try:
            while self._is_needed(lane):
                began = self._clock()
                if self._active():
                    await self._round_or_trouble(lane)
                await self._pause(lane, began)
        finally:
            self._lanes.pop((lane.system, lane.user), None)

    def _is_needed(self, lane: _Lane) -> bool:
        spec = self._store.system_spec(lane.system)
        if spec is None or bool(spec.scheduler.observer) != (lane.user == ""):
            return False
        if lane.user == "" or self._store.followed(lane.system, lane.user):
            return True
        return self._usage.is_owed(lane.system, lane.user)

    def _jobs(self, lane: _Lane) -> list[Followed]:
        jobs = self._store.followed(lane.system, lane.user).values()
        # The observer's questions are on nobody else's word.
        return [job for job in jobs if not lane.user or not self._blocked(job)]

    async def _pause(self, lane: _Lane, began: float) -> None:
        """Until the next round is due; a lane that gets hot meanwhile is due earlier."""
        while True:
            left = began + self._interval(lane) - self._clock()
            if left <= 0:
                return
            lane.wake.clear()
            try:
                async with asyncio.timeout(left):
                    await lane.wake.wait()
            except TimeoutError:
                return

    def _interval(self, lane: _Lane) -> float:
        times, now = self._times, self._clock()
        hot = now < lane.hot_until
        if not self._store.followed(lane.system, lane.user):
            base = times.active if self._usage.is_owed(lane.system, lane.user) else times.idle
        elif hot:
            base = times.hot
        else:
            base = times.few if len(self._store.followed(lane.system)) <= times.few_jobs else times.active
        # What the controller is asked in a second does not grow with the number of users.
        like_it = sum(other.system == lane.system and (now < other.hot_until) == hot for other in self._lanes.values())
        base = max(base, like_it / times.per_second)
        base = max(base, min(lane.took * (1 + times.rest), times.active))
        if lane.failures:
            base = max(base, min(times.hot * 2.0 ** min(lane.failures, 10), times.idle) * random.uniform(0.75, 1.25))  # noqa: S311
        return base

    async def _round_or_trouble(self, lane: _Lane) -> None:
        current_trace.set(Trace.new(sampled=False))  # a lane was begun by a Job, and goes on without it
        try:
            with self._metrics.query_seconds.labels(lane.system).time():
                await self._round(lane)
        except KubernetesUnavailable as error:
            _log.warning("tracker.failed", system=lane.system, code=error.code, message=error.message)
            lane.failures += 1
        except GoldcrestError as error:
            lane.failures += 1
            self._metrics.queries.labels(lane.system, CODES.of(error)).inc()
            if lane.failures == 1:
                _log.warning("tracker.failed", system=lane.system, code=error.code, message=error.message)
            trouble = trouble_of(error)
            for job in self._jobs(lane):
                self._see(job.uid, replace(self.sighting(job.uid), trouble=trouble))
        except Exception:
            lane.failures += 1
            _log.exception("tracker.broken", system=lane.system)
        else:
            self._metrics.queries.labels(lane.system, "ok").inc()
            lane.failures, lane.answered_at = 0, self._clock()

    async def _round(self, lane: _Lane) -> None:
        # The list of jobs is taken before the question: one that is submitted meanwhile is not missed in the answer.
        jobs = self._jobs(lane)
        spec = self._store.system_spec(lane.system)
        if spec is None:
            return
        if jobs or not lane.user:
            began = self._clock()
            views = await self._ask(lane, spec, jobs)
            if views is not None:
                gone = self._look_at(lane, jobs, views)
                lane.took = self._clock() - began
                await self._settle_beside(lane, spec, gone)
        await self._ask_usage(lane, spec)

    def _look_at(
        self, lane: _Lane, jobs: Sequence[Followed], views: Sequence[JobView]
    ) -> list[tuple[Followed, JobView | None]]:
        """Keep what the queue shows; those that have ended, or that it does not show, are returned."""
        by_id = {view.job_id: view for view in views}
        gone: list[tuple[Followed, JobView | None]] = []
        for job in jobs:
            view = by_id.get(job.job_id)
            if view is not None and not _is_same(job, view):
                view = None  # the id was used again, or the line is not what it seems
            self._note_array(job, view)
            if view is None or view.final:
                gone.append((job, view))
            else:
                self._saw(lane, job, view)
        self._note_strays(lane, views)
        return gone

    async def _settle_beside(
        self, lane: _Lane, spec: SystemSpec, gone: Sequence[tuple[Followed, JobView | None]]
    ) -> None:
        """Settle what has ended; when that takes long, as after the end of hundreds, the next look at the queue does not wait for it."""
        if lane.settling is None:
            lane.settling = asyncio.create_task(
                self._settle(lane, spec, gone), name=f"settling {lane.system} {lane.user}"
            )
            self._tasks.add(lane.settling)
            lane.settling.add_done_callback(self._tasks.discard)
        await asyncio.wait({lane.settling}, timeout=self._times.hot / 4)
        if lane.settling.done():
            done, lane.settling = lane.settling, None
            done.result()

    async def _ask(self, lane: _Lane, spec: SystemSpec, jobs: Sequence[Followed]) -> tuple[JobView, ...] | None:
        if lane.user == "":
            async with self._turns[lane.system]:
                return await self._scheduler.queue(self._as_observer(lane, spec), "all")
        # Any of the user's live Jobs is a ground to ask; one whose requester has lost the right must not hide the others.
        for _ in range(min(_BASES_TRIED, len(jobs))):
            job = jobs[lane.turn % len(jobs)]
            try:
                async with self._turns[lane.system]:
                    return await self._scheduler.queue(_as_user(job, spec), "own")
            except (Denied, NotFound) as error:
                lane.turn += 1
                await self._not_asked(job, error)
        return None

    async def _not_asked(self, job: Followed, error: Denied | NotFound) -> None:
        """Delegation does not let us ask for this Job, or knows it no more: its own trouble, and nobody else's."""
        self._unasked.add(job.uid)
        self._see(job.uid, replace(self.sighting(job.uid), trouble=trouble_of(error)))
        await self._refresh(job)

    def _as_observer(self, lane: _Lane, spec: SystemSpec) -> Target:
        raw = self._store.system(lane.system)
        assert raw is not None  # noqa: S101  (its spec was read from it)
        assert spec.scheduler.observer is not None  # noqa: S101
        basis = ByResource(Kind.SYSTEM.value, "", lane.system, raw["metadata"]["uid"])
        return Target(system=lane.system, spec=spec, user=spec.scheduler.observer, basis=basis, trace=_trace())

    def _note_strays(self, lane: _Lane, views: Iterable[JobView]) -> None:
        strays: dict[str, list[str]] = {}
        for view in views:
            uid = self._store.uid_of(view.token) if view.token else None
            raw = self._store.job(uid) if uid else None
            if uid is None or raw is None or view.final or raw["spec"].get("runAs") != view.user:
                continue
            job_id = raw.get("status", {}).get("jobId")
            # Where an id is stored, only a held job can be swept; where none is, any job is the one to adopt.
            if job_id != view.job_id and (view.held or job_id is None):
                strays.setdefault(uid, []).append(view.job_id)
        for uid in lane.with_strays - strays.keys():
            self._see(uid, replace(self.sighting(uid), strays=()))
        lane.with_strays = frozenset(strays)
        for uid, ids in strays.items():
            self._see(uid, replace(self.sighting(uid), strays=tuple(sorted(ids, key=int))))

    async def _settle(self, lane: _Lane, spec: SystemSpec, gone: Sequence[tuple[Followed, JobView | None]]) -> None:
        now = self._clock()
        due = [
            (job, view) for job, view in gone if job.uid not in self._missing or self._missing[job.uid].again_at <= now
        ]
        if not due:
            return
        self._unasked.difference_update(job.uid for job, _ in due)
        exact = await self._details(lane, spec, [job for job, _ in due if not self._is_array(job)])
        rest: list[tuple[Followed, JobView | None]] = []
        for job, listed in due:
            view = exact.get(job.uid)
            if view is not None and not _is_same(job, view):
                view = None
            self._note_array(job, view)
            # Of an array the exact record forgets the elements that ended first: accounting has the last word.
            if view is not None and not (view.final and self._is_array(job)):
                self._saw(lane, job, _filled(view, listed))
            elif job.uid in self._unasked:
                self._not_known(job, spec, None)
            else:
                rest.append((job, listed))
        if rest:
            await self._settle_by_accounting(lane, spec, rest)

    async def _details(self, lane: _Lane, spec: SystemSpec, jobs: Sequence[Followed]) -> Mapping[str, JobView]:
        """Exact views, by uid."""
        if lane.user == "":
            found: dict[str, JobView] = {}
            for part in _parts(jobs, DESCRIBE_LIMIT):
                async with self._turns[lane.system]:
                    views = await self._scheduler.details(self._as_observer(lane, spec), [job.job_id for job in part])
                found |= {job.uid: views[job.job_id] for job in part if job.job_id in views}
            return found

        async def one(job: Followed) -> tuple[str, JobView | None]:
            try:
                async with self._turns[lane.system]:
                    views = await self._scheduler.details(_as_user(job, spec), [job.job_id])
            except (Denied, NotFound) as error:
                await self._not_asked(job, error)
                return job.uid, None
            return job.uid, views.get(job.job_id)

        return {uid: view for uid, view in await asyncio.gather(*map(one, jobs)) if view is not None}

    async def _settle_by_accounting(
        self, lane: _Lane, spec: SystemSpec, rest: Sequence[tuple[Followed, JobView | None]]
    ) -> None:
        try:
            recorded = await self._accounting(lane, spec, [job for job, _ in rest])
            silent = None
        except SchedulerUnavailable as error:
            recorded, silent = {}, error
            # Arrays were not asked for one by one, so that accounting, which forgets no element, has the first word.
            exact = await self._details(lane, spec, [job for job, _ in rest if self._is_array(job)])
            recorded = {uid: view for uid, view in exact.items() if view.final}
        for job, listed in rest:
            view = recorded.get(job.uid)
            if view is not None and silent is None and not self._is_whole(job, view, listed):
                view = None
            if view is not None and _is_same(job, view) and view.final:
                self._saw(lane, job, _filled(view, listed))
            elif listed is not None and not self._is_array(job):
                self._saw(lane, job, listed)  # ended, as the queue says; the exit code nobody has
            else:
                self._not_known(job, spec, silent)

    async def _accounting(self, lane: _Lane, spec: SystemSpec, jobs: Sequence[Followed]) -> dict[str, JobView]:
        """What accounting recorded, by uid."""
        found: dict[str, JobView] = {}

        async def ask(target: Target, scope: Scope, part: Sequence[Followed]) -> None:
            async with self._turns[lane.system]:
                views = await self._scheduler.accounting(target, scope, [job.job_id for job in part])
            found.update({job.uid: views[job.job_id] for job in part if job.job_id in views})

        async def one(job: Followed) -> None:
            try:
                await ask(_as_user(job, spec), "own", [job])
            except (Denied, NotFound) as error:
                await self._not_asked(job, error)

        if lane.user:
            await asyncio.gather(*map(one, jobs))
            return found
        # By user: what one user wrote into a comment is never in the same answer as another's jobs.
        for user in sorted({job.user for job in jobs}):
            for part in _parts([job for job in jobs if job.user == user], ACCOUNT_LIMIT):
                await ask(self._as_observer(lane, spec), "all", part)
        return found

    async def _ask_usage(self, lane: _Lane, spec: SystemSpec) -> None:
        """What jobs used that ended some seconds ago; nothing depends on it, so nobody waits for it and nobody hears of its faults."""
        due = [job for job in self._usage.due(lane.system, lane.user) if not lane.user or not self._blocked(job)]
        questions = (
            [(self._as_observer(lane, spec), tuple(part)) for part in _parts(due, USAGE_LIMIT)]
            if lane.user == ""
            else [(_as_user(job, spec), (job,)) for job in due]
        )
        for target, part in questions:
            try:
                async with self._turns[lane.system]:
                    used = await self._scheduler.usage(
                        target, "own" if lane.user else "all", [job.job_id for job in part]
                    )
            except (Denied, NotFound):
                self._usage.give_up(part)
            except KubernetesUnavailable:
                raise
            except GoldcrestError as error:
                _log.info("tracker.no_usage", system=lane.system, code=error.code, message=error.message)
                self._usage.pause(lane.system)
                return
            else:
                for job in self._usage.answered(part, used):
                    self._see(job.uid, replace(self.sighting(job.uid), consumed=used[job.job_id]))

    def _note_array(self, job: Followed, view: JobView | None) -> None:
        if view is not None and view.array:
            self._arrays.add(job.uid)

    def _is_array(self, job: Followed) -> bool:
        return job.array or job.uid in self._arrays

    def _is_whole(self, job: Followed, view: JobView, listed: JobView | None) -> bool:
        """Whether accounting has all elements of an array that the queue showed: it learns of them one by one, and a failed one may be the
        last. After some tries what it has must do: a record may be lost."""
        known = {
            element.number for shown in (listed, self.sighting(job.uid).view) if shown for element in shown.elements
        }
        tried = self._missing[job.uid].times if job.uid in self._missing else 0
        return known <= {element.number for element in view.elements} or tried >= _ELEMENTS_TRIED

    def _not_known(self, job: Followed, spec: SystemSpec, error: SchedulerUnavailable | None) -> None:
        times = self._missing[job.uid].times + 1 if job.uid in self._missing else 1
        self._missing[job.uid] = _Missing(times, self._clock() + min(2.0**times, _UNKNOWN_MOST_SECONDS))
        if job.uid in self._unasked or (error is None and times < 3):
            return  # accounting writes a little later than the controller forgets
        why = error.message if error else "accounting has no end of it yet"
        observer = spec.scheduler.observer
        if observer and error is None:
            why += f", or {observer} may not see it (PrivateData)"
        message = f"The scheduler does not show job {job.job_id} any more: {why}."
        trouble = Trouble(Reason.SCHEDULER_UNAVAILABLE, message, unreachable=True)
        self._see(job.uid, replace(self.sighting(job.uid), trouble=trouble))

    def _saw(self, lane: _Lane, job: Followed, view: JobView) -> None:
        self._missing.pop(job.uid, None)
        before = self.sighting(job.uid)
        self._see(job.uid, replace(before, view=_steady(before.view, view), trouble=None))
        if view.final:
            self._usage.owe(job)
        if before.view is None or before.view.phase is not view.phase:
            lane.hot_until = self._clock() + self._times.hot_for

    def _see(self, uid: str, sighting: Sighting) -> None:
        if self.sighting(uid) != sighting:
            self._sightings[uid] = sighting
            self._changed(uid)


def _is_same(job: Followed, view: JobView) -> bool:
    """Whether a view is of this submission, and not of another job that has its id now."""
    if view.submit is not None and view.submit < job.since - _CLOCKS_DIFFER_SECONDS:
        return False
    return view.user == job.user and view.token in (None, job.token)


def _steady(before: JobView | None, view: JobView) -> JobView:
    """``view``, with the expected start as it was while that says about the same."""
    if before is None or before.expected_start is None or view.expected_start is None:
        return view
    if is_steady(before.expected_start, view.expected_start, now=time.time()):
        return replace(view, expected_start=before.expected_start)
    return view


def _filled(view: JobView, listed: JobView | None) -> JobView:
    """The exact view, with the times that only the queue's listing has."""
    if listed is None:
        return view
    return replace(
        view,
        submit=view.submit or listed.submit,
        start=view.start or (listed.start if view.phase is not Phase.QUEUED else None),
        end=view.end or (listed.end if view.final and listed.final else None),
    )


def _as_user(job: Followed, spec: SystemSpec) -> Target:
    basis = ByResource(Kind.JOB.value, job.namespace, job.name, job.uid)
    return Target(system=job.system, spec=spec, user=job.user, basis=basis, trace=_trace())


def _trace() -> Trace:
    """For the logs of all parts; nobody asked for this, so no spans are made."""
    return current_trace.get() or Trace.new(sampled=False)


def _parts(jobs: Sequence[Followed], size: int) -> Iterable[Sequence[Followed]]:
    return (jobs[start : start + size] for start in range(0, len(jobs), size))
