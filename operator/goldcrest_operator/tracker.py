"""Follows submitted Jobs in their scheduler: one query per (system, interval), not one per job.

With an observer account on the System, one query shows all jobs; else one per user with active jobs, asked as that user. What has left the
queue or has ended there is settled by the scheduler's exact record of it, else by accounting. Nothing is written here: what was seen is kept
as a Sighting, and a Job whose Sighting changed goes through the same queue as one that was edited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from goldcrest.errors import GoldcrestError, KubernetesUnavailable
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest_operator.metrics import CODES, Metrics
from goldcrest_operator.reconcile.observation import Sighting
from goldcrest_operator.reconcile.troubles import trouble_of
from goldcrest_operator.scheduler.interface import JobView, Scheduler
from goldcrest_operator.store import Followed, Store
from goldcrest_operator.tracking.lanes import Lane, TrackerTimes, interval
from goldcrest_operator.tracking.questions import Questions
from goldcrest_operator.tracking.settling import Gone, Settling
from goldcrest_operator.tracking.sightings import Sightings, is_same
from goldcrest_operator.usage import UsageQuestions

_log = Log(__name__)


class Tracker:
    """Sightings of all followed Jobs.

    Args:
        changed: called with the uid of a Job whose Sighting changed.
        refresh: reads a Job anew; called when delegation knows nothing of it or does not let us ask for it.
        active: whether this process may act now (the Lease).
        blocked: whether the user or the requester of a Job is blocked: delegation would refuse to ask as them.
        unclaimed: called with a System and all that its queue showed an observer.
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
        unclaimed: Callable[[str, Sequence[JobView]], None] = lambda _system, _views: None,
        times: TrackerTimes,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._active = active
        self._blocked = blocked
        self._unclaimed_in = unclaimed
        self._times = times
        self._metrics = metrics
        self._clock = clock
        self._sightings = Sightings(store, changed)
        self._questions = Questions(
            store=store, scheduler=scheduler, sightings=self._sightings, refresh=refresh, at_once=times.at_once
        )
        self._settling = Settling(questions=self._questions, sightings=self._sightings, saw=self._saw, clock=clock)
        self._usage = UsageQuestions(times.usage, clock=clock)
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.measures.read_each(
            "tracking_stale_seconds", "Seconds since the scheduler was last asked with success.", "system", self.stale
        )

    def sighting(self, uid: str) -> Sighting:
        """What was seen of a Job last."""
        return self._sightings.of(uid)

    def stale(self) -> list[tuple[str, float]]:
        """Systems whose jobs are followed, and the seconds since the scheduler's last answer: of the user who waits longest."""
        oldest: dict[str, float] = {}
        for lane in self._lanes.values():
            oldest[lane.system] = min(oldest.get(lane.system, lane.answered_at), lane.answered_at)
        return [(system, max(0.0, self._clock() - at)) for system, at in oldest.items()]

    def forget(self, uid: str) -> None:
        """The Job is gone."""
        self._sightings.forget(uid)
        self._settling.forget(uid)
        self._questions.forget(uid)
        self._usage.forget(uid)

    def look_again(self, uid: str) -> None:
        """Somebody wants to know: it is asked for in the next round, however often nobody knew it."""
        self._settling.forget(uid)

    def forget_strays(self, uid: str) -> None:
        """They were dealt with; what is left of them shows in the next round."""
        self._sightings.forget_strays(uid)

    def follow(self, system: str, user: str, *, hurry: bool) -> None:
        """See to it that this user's jobs there are asked for; with ``hurry``, often for a while."""
        spec = self._store.system_spec(system)
        if spec is None:
            return
        key = (system, "" if spec.scheduler.observer else user)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(*key, answered_at=self._clock())
            self._begin(self._run(lane), name=f"tracker {system} {key[1] or 'observer'}")
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

    def _begin(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, lane: Lane) -> None:
        try:
            while self._is_needed(lane):
                began = self._clock()
                if self._active():
                    await self.round(lane)
                await self._pause(lane, began)
        finally:
            self._lanes.pop((lane.system, lane.user), None)

    def _is_needed(self, lane: Lane) -> bool:
        spec = self._store.system_spec(lane.system)
        if spec is None or bool(spec.scheduler.observer) != lane.of_observer:
            return False
        if lane.of_observer or self._store.followed(lane.system, lane.user):
            return True
        return self._usage.is_owed(lane.system, lane.user)

    def _jobs(self, lane: Lane) -> list[Followed]:
        jobs = self._store.followed(lane.system, lane.user).values()
        # The observer's questions are on nobody else's word.
        return [job for job in jobs if lane.of_observer or not self._blocked(job)]

    async def _pause(self, lane: Lane, began: float) -> None:
        """Until the next round is due; a lane that gets hot meanwhile is due earlier."""
        while True:
            seconds = interval(
                lane,
                self._lanes.values(),
                times=self._times,
                now=self._clock(),
                own=len(self._store.followed(lane.system, lane.user)),
                all_jobs=len(self._store.followed(lane.system)),
                owed=self._usage.is_owed(lane.system, lane.user),
            )
            left = began + seconds - self._clock()
            if left <= 0 or not await lane.pause(left):
                return

    async def round(self, lane: Lane) -> None:
        """One look at what the lane shows; what goes wrong becomes the trouble of its Jobs."""
        current_trace.set(Trace.new(sampled=False))  # a lane was begun by a Job, and goes on without it
        try:
            with self._metrics.query_seconds.labels(lane.system).time():
                await self._look(lane)
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
                self._sightings.trouble(job.uid, trouble)
        except Exception:
            lane.failures += 1
            _log.exception("tracker.broken", system=lane.system)
        else:
            self._metrics.queries.labels(lane.system, "ok").inc()
            lane.failures, lane.answered_at = 0, self._clock()

    async def _look(self, lane: Lane) -> None:
        # The list of jobs is taken before the question: one that is submitted meanwhile is not missed in the answer.
        jobs = self._jobs(lane)
        spec = self._store.system_spec(lane.system)
        if spec is None:
            return
        if jobs or lane.of_observer:
            began = self._clock()
            views = await self._questions.queue(lane, spec, jobs)
            if views is not None:
                gone = self._look_at(lane, jobs, views)
                lane.took = self._clock() - began
                await self._settle_beside(lane, spec, gone)
        due = [job for job in self._usage.due(lane.system, lane.user) if lane.of_observer or not self._blocked(job)]
        for uid, consumed in (await self._questions.usage(lane, spec, due, self._usage)).items():
            self._sightings.put(uid, replace(self.sighting(uid), consumed=consumed))

    def _look_at(self, lane: Lane, jobs: Sequence[Followed], views: Sequence[JobView]) -> Gone:
        """Keep what the queue shows; those that have ended, or that it does not show, are returned."""
        by_id = {view.job_id: view for view in views}
        gone: list[tuple[Followed, JobView | None]] = []
        for job in jobs:
            view = by_id.get(job.job_id)
            if view is not None and not is_same(job, view):
                view = None  # the id was used again, or the line is not what it seems
            self._sightings.note_array(job, view)
            if view is None or view.final:
                gone.append((job, view))
            else:
                self._saw(lane, job, view)
        self._sightings.note_strays(lane, views)
        if not lane.user:
            self._unclaimed_in(lane.system, views)
        return gone

    async def _settle_beside(self, lane: Lane, spec: SystemSpec, gone: Gone) -> None:
        """Settle what has ended; when that takes long, as after the end of hundreds, the next look at the queue does not wait for it."""
        if lane.settling is None:
            work = self._settling.settle(lane, spec, gone)
            lane.settling = self._begin(work, name=f"settling {lane.system} {lane.user}")
        await asyncio.wait({lane.settling}, timeout=self._times.hot / 4)
        if lane.settling.done():
            done, lane.settling = lane.settling, None
            done.result()

    def _saw(self, lane: Lane, job: Followed, view: JobView) -> None:
        self._settling.forget(job.uid)
        is_new = self._sightings.saw(job, view)
        if view.final:
            self._usage.owe(job)
        if is_new:
            lane.hot_until = self._clock() + self._times.hot_for
