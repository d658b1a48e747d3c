"""What the task of an operation holds as ``data`` (contract 5.4 to 5.7), made of typed results. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from goldcrest.commands.listings import HistoryRow, JobDetail, ListedJob
from goldcrest.commands.records import NodeRow, PartitionRow, ReservationRow
from goldcrest.task_results import Accounting, Cancelled, Jobs, Nodes, Partitions, Reservations, Result

NOT_OWN: Final = "Job files information is not available when `userJobs` is False"
_RETURNED: Final = "Job info returned successfully"
_NOT_SAID: Final = "The scheduler did not say which files the job has"
_NOT_AVAILABLE: Final = "Not available"


class RecordIncomplete(ValueError):
    """The scheduler did not say what a record must have: the task ends with this text."""


def data_of(result: Result) -> Any:
    """The ``data`` of a task that succeeded.

    Raises:
        RecordIncomplete: it is an error after all.
    """
    match result:
        case Jobs(jobs=jobs, details=details):
            return {str(index): _job(job, details) for index, job in enumerate(jobs)}
        case Accounting(rows=rows):
            return [_history(row) for row in rows] or {}
        case Nodes(rows=rows):
            return [_node(row) for row in rows]
        case Partitions(rows=rows):
            return [_partition(row) for row in rows]
        case Reservations(rows=rows):
            return [_reservation(row) for row in rows]
        case Cancelled(text=text):
            return text


def _job(job: ListedJob, details: Mapping[str, JobDetail]) -> dict[str, str]:
    return {
        "jobid": job.job_id,
        "partition": job.partition,
        "name": job.name,
        "user": job.user,
        "state": job.state,
        "start_time": job.start,
        "time": job.elapsed,
        "time_left": job.time_left,
        "nodes": job.nodes,
        "nodelist": job.node_list,
        **_files(job, details),
    }


def _files(job: ListedJob, details: Mapping[str, JobDetail]) -> dict[str, str]:
    detail = details.get(job.job_id)
    if detail is None and details:
        detail = JobDetail(
            job_id=job.job_id, command=None, stdout=None, stderr=None, stdout_tail="", stderr_tail="", error=_NOT_SAID
        )
    if detail is None:
        names = ("job_file", "job_file_out", "job_file_err", "job_data_out", "job_data_err")
        return {**dict.fromkeys(names, ""), "job_info_extra": NOT_OWN}
    if detail.error is not None:
        return {
            "job_file": _NOT_AVAILABLE,
            "job_file_out": _NOT_AVAILABLE,
            "job_file_err": _NOT_AVAILABLE,
            "job_data_out": "",
            "job_data_err": "",
            "job_info_extra": detail.error,
        }
    return {
        "job_file": detail.command or "command-not-found",
        "job_file_out": detail.stdout or "stdout-file-not-found",
        "job_file_err": detail.stderr or "stderr-file-not-found",
        "job_data_out": detail.stdout_tail,
        "job_data_err": detail.stderr_tail,
        "job_info_extra": _RETURNED,
    }


def _history(row: HistoryRow) -> dict[str, str]:
    return {
        "jobid": row.job_id,
        "partition": row.partition,
        "name": row.name,
        "user": row.user,
        "state": row.state,
        "start_time": row.start,
        "time": row.cpu_time,  # as ever; cpu_time, elapsed_time and termination_time say what they are
        "cpu_time": row.cpu_time,
        "elapsed_time": row.elapsed,
        "termination_time": row.end,
        "time_left": row.end,
        "nodes": row.nodes,
        "nodelist": row.node_list,
        "exit_code": row.exit_code,
    }


def _node(row: NodeRow) -> dict[str, Any]:
    return {
        "NodeName": row.name,
        "ActiveFeatures": _list(row.active_features),
        "Partitions": _list(row.partitions),
        "State": _list(row.state),
    }


def _partition(row: PartitionRow) -> dict[str, str]:
    record = {
        "State": row.state,
        "TotalCPUs": row.total_cpus,
        "TotalNodes": row.total_nodes,
        "Default": row.default,
    }
    said = {name: value for name, value in record.items() if value is not None}
    missing = [name for name in record if name not in said]
    if missing:
        raise RecordIncomplete(f"The scheduler does not say {missing[0]} of partition {row.name}")
    return {"PartitionName": row.name, **said}


def _reservation(row: ReservationRow) -> dict[str, Any]:
    return {
        "ReservationName": row.name,
        "State": row.state,
        "Nodes": row.nodes,
        "StartTime": row.start_time,
        "EndTime": row.end_time,
        "Features": _list(row.features),
    }


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
