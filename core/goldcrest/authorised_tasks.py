"""Which command follows from a Task in its state (T8): one pure function, as :mod:`goldcrest.authorised` is for Jobs."""

from __future__ import annotations

from typing import Final

from goldcrest.commands import Command, History, Kill, ListJobs, Nodes, Partitions, Reservations, command_from
from goldcrest.commands.cluster import on_cluster
from goldcrest.errors import InvalidInput
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import Operation, TaskResource

TAIL_BYTES: Final = 1000  # of the end of an output file, when nothing is said (contract of FirecREST v1, section 13)


def authorised_task_commands(task: TaskResource, system: SystemSpec) -> tuple[Command, ...]:
    """Every command that may be run as ``task.spec.runAs`` for this Task as it is now: its one, while it is wanted.

    A deleted or cancelled Task leaves nothing behind that would have to be cleaned up.

    Raises:
        InvalidInput: when no command can be made of it.
    """
    if task.deleting or task.spec.cancel or task.finished:
        return ()
    return (on_cluster(command_of(task.spec.operation), system.scheduler.cluster),)


def command_of(operation: Operation) -> Command:
    """The command that an operation means, in the form in which it may be signed.

    Raises:
        InvalidInput: not exactly one operation, or one that says something impossible.
    """
    command = _command(operation)
    return command_from(command.op, command.args())


def _command(operation: Operation) -> Command:
    if len(operation.names) != 1:
        told = " and ".join(operation.names) or "none"
        raise InvalidInput(f"spec.operation needs exactly one operation; {told} was given")
    match operation:
        case Operation(list_jobs=listing) if listing is not None:
            details = bool(listing.details)
            tail_bytes = TAIL_BYTES if listing.tail_bytes is None else listing.tail_bytes
            return ListJobs(
                scope=listing.scope,
                job_ids=tuple(listing.job_ids),
                details=details,
                tail_bytes=tail_bytes if details else 0,
            )
        case Operation(job_detail=detail) if detail is not None:
            return ListJobs(scope="own", job_ids=(detail.job_id,), details=True, tail_bytes=TAIL_BYTES)
        case Operation(accounting=asked) if asked is not None:
            # As sacct itself: of named jobs all that may be seen, else one's own.
            return History(
                scope="all" if asked.job_ids else "own",
                job_ids=tuple(asked.job_ids),
                start=asked.start_time,
                end=asked.end_time,
            )
        case Operation(nodes=nodes) if nodes is not None:
            return Nodes(names=tuple(nodes.names))
        case Operation(partitions=partitions) if partitions is not None:
            return Partitions()
        case Operation(reservations=reservations) if reservations is not None:
            return Reservations()
        case Operation(cancel_job=cancelling) if cancelling is not None:
            return Kill(job_ids=tuple(cancelling.job_ids))
    raise InvalidInput("spec.operation is of a kind that this release does not know")
