"""Operations of Tasks on Slurm: a typed command out, a typed result back; failures in Slurm's own words. Pure but for :class:`SlurmOperations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from goldcrest.commands import Command, CommandOutput
from goldcrest.commands.listings import parse_details, parse_history, parse_listing
from goldcrest.commands.outputs import WORDS_LIMIT
from goldcrest.commands.queries import check_listed_id
from goldcrest.commands.records import parse_nodes, parse_partitions, parse_reservations
from goldcrest.commands.refusals import raise_if_passing
from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    GoldcrestError,
    InvalidInput,
    SchedulerUnavailable,
    SystemUnreachable,
)
from goldcrest.models.task import Operation, Page
from goldcrest.task_results import Accounting, Cancelled, Jobs, Nodes, Partitions, Reservations, Result
from goldcrest_operator.scheduler.interface import CommandRunner, SiteRefused, Target

# Reasons of docs/protocol.md that mean this command or this user; all others may pass.
_FOR_GOOD = frozenset(("arguments", "payload", "uid", "group"))
NOT_PERMITTED = (
    210  # exit status of scancel for somebody else's job (scancel.c: ESLURM_ACCESS_DENIED, by its last byte)
)
TIMED_OUT = "Command has finished with timeout signal"  # contract 3.7

_T = TypeVar("_T")


class OperationFailed(GoldcrestError):
    """It was carried out and failed: asked again unchanged it would fail again. The message is the scheduler's own."""

    code = "OperationFailed"


class SlurmOperations:
    """Has one command of a Task run."""

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    async def answer(self, target: Target, command: Command) -> Mapping[str, Any]:
        """What the login node answers.

        Raises:
            OperationFailed, SiteRefused: for good.
            SystemUnreachable, SchedulerUnavailable: for now; and what the SSH pool raises.
        """
        try:
            answer = await self._runner.run(
                command,
                system=target.system,
                spec=target.spec,
                user=target.user,
                basis=target.basis,
                trace=target.trace,
            )
        except CommandRefused as error:
            if error.reason in _FOR_GOOD:
                raise SiteRefused(f"the login node does not allow it ({error.reason}): {error.message}") from error
            raise SystemUnreachable(f"the login node refused for now ({error.reason}): {error.message}") from error
        except CommandFailed as error:
            if error.kind == "timeout":
                raise OperationFailed(TIMED_OUT) from error
            if error.kind == "limit":
                raise OperationFailed(f"{error.message}: ask for less, with ids, pages or times") from error
            raise SchedulerUnavailable(error.message) from error
        return answer.result


def result_of(operation: Operation, answer: Mapping[str, Any], *, begun_before: bool = False) -> Result:
    """The result that an answer means.

    Args:
        begun_before: an earlier try of the same cancelling may have taken effect: that nothing is left to cancel is then no failure.

    Raises:
        OperationFailed: with the scheduler's words, or what is wrong with the page.
        SchedulerUnavailable: the scheduler does not answer for now.
    """
    if operation.list_jobs is not None or operation.job_detail is not None:
        listing = operation.list_jobs
        rows = parse_listing(_output(answer["squeue"]))
        shown = page_of(rows, listing.page if listing is not None else None)
        details = parse_details(answer.get("jobs") or ())
        kept = {row.job_id: details[row.job_id] for row in shown if row.job_id in details}
        return Jobs(jobs=shown, total=len(rows), details=kept)
    if operation.accounting is not None:
        history = parse_history(_output(answer))
        return Accounting(rows=page_of(history, operation.accounting.page), total=len(history))
    if operation.nodes is not None:
        return Nodes(rows=parse_nodes(_output(answer)))
    if operation.partitions is not None:
        partitions = parse_partitions(_output(answer))
        return Partitions(rows=_named(partitions, operation.partitions.names))
    if operation.reservations is not None:
        reservations = parse_reservations(_output(answer))
        return Reservations(rows=_named(reservations, operation.reservations.names))
    return _cancelled(CommandOutput.of(answer), begun_before=begun_before)


def check_before(operation: Operation) -> None:
    """What is known to fail without asking the system.

    Raises:
        OperationFailed: in the words that the scheduler's program or the contract has for it.
    """
    page = _page(operation)
    if page is not None and page.number < 0:
        raise OperationFailed(f"pageNumber ({page.number}) cannot be a negative number")
    if page is not None and page.size < 1:
        raise OperationFailed(f"pageSize ({page.size}) must be at least 1")
    for job_id in operation.cancel_job.job_ids if operation.cancel_job is not None else ():
        try:
            check_listed_id(job_id)
        except InvalidInput as error:
            raise OperationFailed(f"scancel: error: Invalid job id {job_id}") from error


def page_of(rows: Sequence[_T], page: Page | None) -> Sequence[_T]:
    """Those of one page, which counts from 0; all without one.

    Raises:
        OperationFailed: there is no such page.
    """
    if page is None:
        return rows
    pages = max(1, -(-len(rows) // page.size))
    if page.number >= pages:
        raise OperationFailed(f"pageNumber ({page.number}) is greater than total pages ({pages})")
    return rows[page.number * page.size : (page.number + 1) * page.size]


def _page(operation: Operation) -> Page | None:
    if operation.list_jobs is not None:
        return operation.list_jobs.page
    return operation.accounting.page if operation.accounting is not None else None


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
