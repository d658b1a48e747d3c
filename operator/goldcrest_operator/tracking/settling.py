"""What became of jobs that have ended or left the queue: the scheduler's exact record of each, else accounting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from goldcrest.errors import SchedulerUnavailable
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.reconcile.observation import Trouble
from goldcrest_operator.scheduler.interface import JobView
from goldcrest_operator.store import Followed
from goldcrest_operator.tracking.lanes import Lane
from goldcrest_operator.tracking.questions import Questions
from goldcrest_operator.tracking.sightings import Sightings, is_same

_UNKNOWN_MOST_SECONDS = 60.0  # pause between questions for a job that nobody knows
_ELEMENTS_TRIED = 5  # looks at accounting for an array of which it lacks elements

Gone = Sequence[tuple[Followed, JobView | None]]
"""Jobs, and the line of the queue that says that one has ended, where there is one."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """A job that nobody knows now, and when to ask again."""

    times: int
    again_at: float


class Settling:
    """
    Args:
        saw: keeps what is found.
    """

    def __init__(
        self,
        *,
        questions: Questions,
        sightings: Sightings,
        saw: Callable[[Lane, Followed, JobView], None],
        clock: Callable[[], float],
    ) -> None:
        self._questions = questions
        self._sightings = sightings
        self._saw = saw
        self._clock = clock
        self._missing: dict[str, _Missing] = {}

    def forget(self, uid: str) -> None:
        """It was seen, or somebody wants to know: it is asked for in the next round, however often nobody knew it."""
        self._missing.pop(uid, None)

    async def settle(self, lane: Lane, spec: SystemSpec, gone: Gone) -> None:
        """Find out about those that are due."""
        now = self._clock()
        due = [
            (job, view) for job, view in gone if job.uid not in self._missing or self._missing[job.uid].again_at <= now
        ]
        if not due:
            return
        self._questions.unasked.difference_update(job.uid for job, _ in due)
        exact = await self._questions.details(lane, spec, [job for job, _ in due if not self._sightings.is_array(job)])
        rest: list[tuple[Followed, JobView | None]] = []
        for job, listed in due:
            view = exact.get(job.uid)
            if view is not None and not is_same(job, view):
                view = None
            self._sightings.note_array(job, view)
            # Of an array the exact record forgets the elements that ended first: accounting has the last word.
            if view is not None and not (view.final and self._sightings.is_array(job)):
                self._saw(lane, job, _filled(view, listed))
            elif job.uid in self._questions.unasked:
                self._not_known(job, spec, None)
            else:
                rest.append((job, listed))
        if rest:
            await self._settle_by_accounting(lane, spec, rest)

    async def _settle_by_accounting(self, lane: Lane, spec: SystemSpec, rest: Gone) -> None:
        try:
            recorded = await self._questions.accounting(lane, spec, [job for job, _ in rest])
            silent = None
        except SchedulerUnavailable as error:
            recorded, silent = {}, error
            # Arrays were not asked for one by one, so that accounting, which forgets no element, has the first word.
            arrays = [job for job, _ in rest if self._sightings.is_array(job)]
            exact = await self._questions.details(lane, spec, arrays)
            recorded = {uid: view for uid, view in exact.items() if view.final}
        for job, listed in rest:
            view = recorded.get(job.uid)
            if view is not None and silent is None and not self._is_whole(job, view, listed):
                view = None
            if view is not None and is_same(job, view) and view.final:
                self._saw(lane, job, _filled(view, listed))
            elif listed is not None and not self._sightings.is_array(job):
                self._saw(lane, job, listed)  # ended, as the queue says; the exit code nobody has
            else:
                self._not_known(job, spec, silent)

    def _is_whole(self, job: Followed, view: JobView, listed: JobView | None) -> bool:
        """Whether accounting has all elements of an array that the queue showed: it learns of them one by one, and a failed one may be the
        last. After some tries what it has must do: a record may be lost."""
        seen = self._sightings.of(job.uid).view
        known = {element.number for shown in (listed, seen) if shown for element in shown.elements}
        tried = self._missing[job.uid].times if job.uid in self._missing else 0
        return known <= {element.number for element in view.elements} or tried >= _ELEMENTS_TRIED

    def _not_known(self, job: Followed, spec: SystemSpec, error: SchedulerUnavailable | None) -> None:
        times = self._missing[job.uid].times + 1 if job.uid in self._missing else 1
        self._missing[job.uid] = _Missing(times, self._clock() + min(2.0**times, _UNKNOWN_MOST_SECONDS))
        if job.uid in self._questions.unasked or (error is None and times < 3):
            return  # accounting writes a little later than the controller forgets
        why = error.message if error else "accounting has no end of it yet"
        observer = spec.scheduler.observer
        if observer and error is None:
            why += f", or {observer} may not see it (PrivateData)"
        message = f"The scheduler does not show job {job.job_id} any more: {why}."
        self._sightings.trouble(job.uid, Trouble(Reason.SCHEDULER_UNAVAILABLE, message, unreachable=True))


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
