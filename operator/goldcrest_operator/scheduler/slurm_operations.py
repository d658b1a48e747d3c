"""Operations of Tasks on Slurm: a typed command out, a typed result back; failures in Slurm's own words. Pure but for ``answer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldcrest.authorised_tasks import command_of
from goldcrest.commands import Command, CommandOutput, ListJobs
from goldcrest.commands.cluster import on_cluster
from goldcrest.commands.listings import parse_details, parse_history, parse_listing
from goldcrest.commands.outputs import WORDS_LIMIT
from goldcrest.commands.queries import check_listed_id
from goldcrest.commands.records import parse_nodes, parse_partitions, parse_reservations
from goldcrest.commands.refusals import raise_if_passing
from goldcrest.errors import (
    CommandFailed,
    GoldcrestError,
    InvalidInput,
    SchedulerUnavailable,
)
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import Operation
from goldcrest.task_results import Accounting, Cancelled, Jobs, Nodes, Partitions, Reservations, Result
from goldcrest_operator.scheduler.interface import CommandRunner, OperationFailed, Target
from goldcrest_operator.scheduler.running import run

NOT_PERMITTED = (
    210  # exit status of scancel for somebody else's job (scancel.c: ESLURM_ACCESS_DENIED, by its last byte)
)
TIMED_OUT = "Command has finished with timeout signal"  # contract 3.7


class SlurmOperations:
    """Implements :class:`goldcrest_operator.scheduler.interface.Operations`."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    def check(self, operation: Operation) -> None:
        """As its program would say it of ids."""
        for job_id in operation.cancel_job.job_ids if operation.cancel_job is not None else ():
            try:
                check_listed_id(job_id)
            except InvalidInput as error:
                raise OperationFailed(f"scancel: error: Invalid job id {job_id}") from error

    def command(self, operation: Operation, spec: SystemSpec) -> Command:
        """As delegation derives it from the Task."""
        return on_cluster(command_of(operation), spec.scheduler.cluster)

    def is_whole_queue(self, command: Command) -> bool:
        """``squeue`` of all users, without what it reads as the user."""
        return isinstance(command, ListJobs) and command.scope == "all" and not (command.job_ids or command.details)

    async def answer(self, target: Target, command: Command) -> Mapping[str, Any]:
        """What the programs print."""
        try:
            return (await run(self._runner, command, target)).result
        except CommandFailed as error:
            if error.kind == "timeout":
                raise OperationFailed(TIMED_OUT) from error
            if error.kind == "limit":
                raise OperationFailed(f"{error.message}: ask for less, with ids, pages or times") from error
            raise SchedulerUnavailable(error.message) from error

    def result(self, operation: Operation, answer: Mapping[str, Any], *, begun_before: bool = False) -> Result:
        """Outputs of the programs, read; what they say instead, in one line."""
        if operation.list_jobs is not None or operation.job_detail is not None:
            rows = parse_listing(_output(answer["squeue"]))
            return Jobs(jobs=rows, total=len(rows), details=parse_details(answer.get("jobs") or ()))
        if operation.accounting is not None:
            history = parse_history(_output(answer))
            return Accounting(rows=history, total=len(history))
        if operation.nodes is not None:
            return Nodes(rows=parse_nodes(_output(answer)))
        if operation.partitions is not None:
            partitions = parse_partitions(_output(answer))
            return Partitions(rows=_named(partitions, operation.partitions.names))
        if operation.reservations is not None:
            reservations = parse_reservations(_output(answer))
            return Reservations(rows=_named(reservations, operation.reservations.names))
        return _cancelled(CommandOutput.of(answer), begun_before=begun_before)


def _named(rows: Sequence[Any], names: Sequence[str]) -> list[Any]:
    return [row for row in rows if not names or row.name in names]


def _output(answer: Mapping[str, Any]) -> str:
    output = CommandOutput.of(answer)
    if output.exit != 0:
        raise _failure(output)
    return output.stdout


def _cancelled(output: CommandOutput, *, begun_before: bool) -> Cancelled:
    text = one_line(output.stderr)
    if output.exit == NOT_PERMITTED:
        raise OperationFailed("User does not have permission to cancel job")
    failed = output.exit != 0 or ("scancel: Terminating job" in text and "error" in text)
    if failed and not (begun_before and _is_nothing_left(output)):
        raise _failure(output)
    return Cancelled(text=text)


def _is_nothing_left(output: CommandOutput) -> bool:
    """Every error says that the job has ended."""
    errors = [line for line in output.stderr.splitlines() if "error" in line]
    return bool(errors) and all("already completing or completed" in line.lower() for line in errors)


def _failure(output: CommandOutput) -> GoldcrestError:
    text = one_line(output.stderr) or one_line(output.stdout) or f"exit status {output.exit} without a message"
    try:
        raise_if_passing(output, program="Slurm")
    except SchedulerUnavailable as error:
        return type(error)(text)  # the contract's clients match the bare words
    return OperationFailed(text)


def one_line(text: str) -> str:
    """Lines joined without anything between (contract 5.6), printable, at most 1500 characters."""
    joined = "".join(text.splitlines())
    return "".join(character if character.isprintable() else "�" for character in joined)[:WORDS_LIMIT]
