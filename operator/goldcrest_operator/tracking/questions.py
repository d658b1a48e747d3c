"""What the scheduler is asked about followed Jobs, and on whose word: the observer's, or the users' own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from goldcrest.authority import ByResource
from goldcrest.commands.slurm import ACCOUNT_LIMIT, DESCRIBE_LIMIT, Scope
from goldcrest.commands.usage import USAGE_LIMIT
from goldcrest.errors import Denied, GoldcrestError, KubernetesUnavailable, NotFound
from goldcrest.models.system import SystemSpec
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.wellknown import Kind
from goldcrest_operator.reconcile.troubles import trouble_of
from goldcrest_operator.scheduler.interface import Consumed, JobView, Scheduler, Target
from goldcrest_operator.store import Followed, Store
from goldcrest_operator.tracking.lanes import Lane
from goldcrest_operator.tracking.sightings import Sightings
from goldcrest_operator.usage import UsageQuestions

_log = Log(__name__)

_BASES_TRIED = 3  # Jobs of a user whose right to ask is tried in one round


class Questions:
    """
    Args:
        refresh: reads a Job anew; called when delegation knows nothing of it or does not let us ask for it.
        at_once: queries of one system under way; further ones wait their turn.
    """

    def __init__(
        self,
        *,
        store: Store,
        scheduler: Scheduler,
        sightings: Sightings,
        refresh: Callable[[Followed], Awaitable[None]],
        at_once: int,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._sightings = sightings
        self._refresh = refresh
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(at_once))
        self.unasked: set[str] = set()
        """uids of Jobs that might not be asked for when it was tried last."""

    async def queue(self, lane: Lane, spec: SystemSpec, jobs: Sequence[Followed]) -> tuple[JobView, ...] | None:
        """The queue as the lane sees it; None when nobody lets us ask."""
        if lane.of_observer:
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

    async def details(self, lane: Lane, spec: SystemSpec, jobs: Sequence[Followed]) -> Mapping[str, JobView]:
        """Exact views, by uid."""
        if lane.of_observer:
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

    async def accounting(self, lane: Lane, spec: SystemSpec, jobs: Sequence[Followed]) -> dict[str, JobView]:
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

        if not lane.of_observer:
            await asyncio.gather(*map(one, jobs))
            return found
        # By user: what one user wrote into a comment is never in the same answer as another's jobs.
        for user in sorted({job.user for job in jobs}):
            for part in _parts([job for job in jobs if job.user == user], ACCOUNT_LIMIT):
                await ask(self._as_observer(lane, spec), "all", part)
        return found

    async def usage(
        self, lane: Lane, spec: SystemSpec, due: Sequence[Followed], owed: UsageQuestions
    ) -> dict[str, Consumed]:
        """What jobs used that ended some seconds ago, by uid; nothing depends on it, so nobody hears of its faults.

        Raises:
            KubernetesUnavailable.
        """
        questions = (
            [(self._as_observer(lane, spec), tuple(part)) for part in _parts(due, USAGE_LIMIT)]
            if lane.of_observer
            else [(_as_user(job, spec), (job,)) for job in due]
        )
        scope: Scope = "all" if lane.of_observer else "own"
        found: dict[str, Consumed] = {}
        for target, part in questions:
            try:
                async with self._turns[lane.system]:
                    used = await self._scheduler.usage(target, scope, [job.job_id for job in part])
            except (Denied, NotFound):
                owed.give_up(part)
            except KubernetesUnavailable:
                raise
            except GoldcrestError as error:
                _log.info("tracker.no_usage", system=lane.system, code=error.code, message=error.message)
                owed.pause(lane.system)
                break
            else:
                found |= {job.uid: used[job.job_id] for job in owed.answered(part, used)}
        return found

    def forget(self, uid: str) -> None:
        """The Job is gone."""
        self.unasked.discard(uid)

    async def _not_asked(self, job: Followed, error: Denied | NotFound) -> None:
        """Delegation does not let us ask for this Job, or knows it no more: its own trouble, and nobody else's."""
        self.unasked.add(job.uid)
        self._sightings.trouble(job.uid, trouble_of(error))
        await self._refresh(job)

    def _as_observer(self, lane: Lane, spec: SystemSpec) -> Target:
        raw = self._store.system(lane.system)
        assert raw is not None  # noqa: S101  (its spec was read from it)
        assert spec.scheduler.observer is not None  # noqa: S101
        basis = ByResource(Kind.SYSTEM.value, "", lane.system, raw["metadata"]["uid"])
        return Target(system=lane.system, spec=spec, user=spec.scheduler.observer, basis=basis, trace=_trace())


def _as_user(job: Followed, spec: SystemSpec) -> Target:
    basis = ByResource(Kind.JOB.value, job.namespace, job.name, job.uid)
    return Target(system=job.system, spec=spec, user=job.user, basis=basis, trace=_trace())


def _trace() -> Trace:
    """For the logs of all parts; nobody asked for this, so no spans are made."""
    return current_trace.get() or Trace.new(sampled=False)


def _parts(jobs: Sequence[Followed], size: int) -> Iterable[Sequence[Followed]]:
    return (jobs[start : start + size] for start in range(0, len(jobs), size))
