"""What Tasks ask of jobs on paper: :class:`goldcrest_operator.scheduler.interface.Operations` without a word of Slurm's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from component.operator.paper_scheduler import PaperScheduler, Sheet
from goldcrest.canonical import Json
from goldcrest.commands import Command
from goldcrest.commands.base import Arguments, Payload
from goldcrest.commands.listings import ListedJob
from goldcrest.errors import InvalidInput, SchedulerUnavailable
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import Operation
from goldcrest.task_results import Cancelled, Jobs, Result
from goldcrest_operator.scheduler.interface import OperationFailed, Target


@dataclass(frozen=True, slots=True)
class AskDesk(Command):
    """What lies on the desk, of everybody or one's own; or a sheet that is to be struck out."""

    what: str
    sheet: str = ""

    op: ClassVar[str] = "paper.ask"

    def args(self) -> dict[str, Json]:
        return {"what": self.what, "sheet": self.sheet}

    @classmethod
    def from_args(cls, args: Mapping[str, Any], payload: Payload | None) -> Self:
        given = Arguments(cls.op, args)
        command = cls(given.take("what", str), given.take("sheet", str))
        given.done()
        return command


EVERYBODY, OWN = AskDesk("everybody"), AskDesk("own")


class PaperOperations:
    """The desk of one :class:`PaperScheduler`; ``asked`` has the users and commands in order."""

    def __init__(self, paper: PaperScheduler) -> None:
        self._paper = paper
        self.asked: list[tuple[str, Command]] = []

    def check(self, operation: Operation) -> None:
        for sheet in operation.cancel_job.job_ids if operation.cancel_job is not None else ():
            if not sheet.isdecimal():
                raise OperationFailed(f"Sheets have numbers, and {sheet} is none.")

    def command(self, operation: Operation, spec: SystemSpec) -> Command:
        if operation.list_jobs is not None:
            return EVERYBODY if operation.list_jobs.scope == "all" else OWN
        if operation.cancel_job is not None:
            return AskDesk("strike out", operation.cancel_job.job_ids[0])
        raise InvalidInput(f"nobody keeps {operation.names[0]} on paper")

    def is_whole_queue(self, command: Command) -> bool:
        return command == EVERYBODY

    async def answer(self, target: Target, command: Command) -> Mapping[str, Any]:
        self.asked.append((target.user, command))
        if self._paper.away:
            raise SchedulerUnavailable("nobody is at the desk")
        if isinstance(command, AskDesk) and command.sheet:
            sheet = self._paper.sheets.get(command.sheet)
            if sheet is None or sheet.user != target.user:
                return {"no": "There is no such sheet of yours."}
            await self._paper.cancel(target, sheet.token)
            return {"struck": sheet.id}
        shown = self._paper.sheets.values()
        return {"sheets": [asdict(sheet) for sheet in shown if command == EVERYBODY or sheet.user == target.user]}

    def result(self, operation: Operation, answer: Mapping[str, Any], *, begun_before: bool = False) -> Result:
        if "no" in answer:
            raise OperationFailed(answer["no"])
        if "struck" in answer:
            return Cancelled(text=f"Sheet {answer['struck']} is struck out.")
        rows = [_row(Sheet(**sheet)) for sheet in answer["sheets"]]
        return Jobs(jobs=rows, total=len(rows))


def _row(sheet: Sheet) -> ListedJob:
    return ListedJob(
        job_id=sheet.id,
        base_id=sheet.id,
        array_index=None,
        partition="desk",
        name=f"sheet {sheet.id}",
        user=sheet.user,
        state=sheet.state,
        start="N/A",
        elapsed="",
        time_left="",
        nodes="1",
        node_list="",
    )
