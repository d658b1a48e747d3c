"""A batch scheduler that is not Slurm: jobs on paper, ids with a letter's worth of meaning to nobody else.

It implements :class:`goldcrest_operator.scheduler.interface.Scheduler` and knows nothing of Slurm's commands, states or outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from goldcrest.commands.slurm import Scope
from goldcrest.errors import Again, SchedulerBusy, SchedulerRefused, SchedulerUnavailable
from goldcrest.models.job import JobFiles, JobResource
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.scheduler.interface import (
    Consumed,
    Described,
    JobView,
    NotInThatState,
    SubmissionUncertain,
    Submitted,
    SubmittedBefore,
    Target,
)

_MEANING = {
    "noted": (Phase.QUEUED, Reason.QUEUED),
    "at work": (Phase.RUNNING, Reason.RUNNING),
    "done": (Phase.SUCCEEDED, Reason.COMPLETED),
    "struck out": (Phase.CANCELLED, Reason.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A job."""

    id: str
    user: str
    token: str
    state: str = "noted"
    held: bool = True

    def view(self) -> JobView:
        phase, outcome = _MEANING[self.state]
        return JobView(
            job_id=self.id,
            user=self.user,
            token=self.token,
            state=self.state,
            reason=None,
            phase=phase,
            outcome=outcome,
            message=f"Sheet {self.id} is {self.state}.",
            held=self.held and self.state == "noted",
            exit_code=0 if self.state == "done" else None,
        )


class PaperScheduler:
    """Sheets by their ids; each look moves those that are free one step on, unless it is closed."""

    def __init__(self) -> None:
        self.sheets: dict[str, Sheet] = {}
        self.closed = False
        self.lose_next_answer = False
        self.full = False
        self.throttled = 0  # questions that are put off
        self.away = False  # nobody answers for single jobs

    async def submit(
        self, target: Target, job: JobResource, token: str, *, again: bool, script: bytes | None = None
    ) -> Submitted:
        if self.full:
            raise SchedulerRefused("The desk is full: come back tomorrow.", again=Again.LATER)
        if not again and any(sheet.token == token for sheet in self.sheets.values()):
            raise SubmittedBefore("this was handed in before")
        sheet = Sheet(str(len(self.sheets) + 1), target.user, token)
        self.sheets[sheet.id] = sheet
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise SubmissionUncertain("the clerk left the room")
        return Submitted(sheet.id, "desk", JobFiles(script="on paper"))

    async def find(self, target: Target, token: str) -> tuple[str, ...]:
        return tuple(sheet.id for sheet in self.sheets.values() if (sheet.token, sheet.user) == (token, target.user))

    async def describe(self, target: Target, job: JobResource, token: str, job_id: str) -> Described:
        return Described(JobFiles(script="on paper"))

    async def release(self, target: Target, token: str, job_id: str) -> None:
        self._own(token, job_id)
        self.sheets[job_id] = replace(self.sheets[job_id], held=False)

    async def hold(self, target: Target, token: str, job_id: str) -> None:
        if self._own(token, job_id).state != "noted":
            raise NotInThatState("it is at work already")
        self.sheets[job_id] = replace(self.sheets[job_id], held=True)

    async def cancel(self, target: Target, token: str, *, keep: Sequence[str] = ()) -> tuple[str, ...]:
        gone = []
        for sheet in list(self.sheets.values()):
            if sheet.token == token and sheet.id not in keep and not sheet.view().final and (sheet.held or not keep):
                self.sheets[sheet.id] = replace(sheet, state="struck out")
                gone.append(sheet.id)
        return tuple(gone)

    async def queue(self, target: Target, scope: Scope) -> tuple[JobView, ...]:
        if self.throttled:
            self.throttled -= 1
            raise SchedulerBusy("please ask more slowly")
        if not self.closed:
            for sheet in list(self.sheets.values()):
                following = {"noted": "at work", "at work": "done"}.get(sheet.state)
                if following and not sheet.held:
                    self.sheets[sheet.id] = replace(sheet, state=following)
        return tuple(sheet.view() for sheet in self.sheets.values() if scope == "all" or sheet.user == target.user)

    async def details(self, target: Target, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        if self.away:
            raise SchedulerUnavailable("nobody is at the desk")
        return {job_id: self.sheets[job_id].view() for job_id in job_ids if job_id in self.sheets}

    async def accounting(self, target: Target, scope: Scope, job_ids: Sequence[str]) -> Mapping[str, JobView]:
        return {}

    async def usage(self, target: Target, scope: Scope, job_ids: Sequence[str]) -> Mapping[str, Consumed]:
        return {}

    def _own(self, token: str, job_id: str) -> Sheet:
        sheet = self.sheets.get(job_id)
        if sheet is None or sheet.token != token:
            raise NotInThatState("no such sheet")
        return sheet
