"""Tasks (contract 7.2, 7.3): how far a submission or a cancelling is, read off its Job. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from goldcrest.models.job import JobStatus
from goldcrest.wellknown import ConditionType, Phase
from goldcrest_api.job_view import JobView
from goldcrest_api.services.lookup import Action, Found

QUEUED: Final = "100"
FINISHED: Final = "200"
FAILED: Final = "400"
_DESCRIPTIONS: Final = {
    QUEUED: "Queued",
    FINISHED: "Finished successfully",
    FAILED: "Finished with errors",
}
_NOT_AVAILABLE: Final = "Not available"


def task_record(found: Found) -> dict[str, Any]:
    """The record R of a task."""
    job = found.job
    status, data, updated = _submission(job) if found.action is Action.SUBMIT else _cancelling(job)
    created = job.created if found.action is Action.SUBMIT else job.status.cancel_requested_at or job.created
    return record(
        task_id=found.task_id,
        status=status,
        data=data,
        created=created,
        updated=updated or created,
        system=job.system,
        user=job.run_as,
        labels=job.labels,
    )


def record(
    *,
    task_id: str,
    status: str,
    data: Any,
    created: str,
    updated: str,
    system: str,
    user: str,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """R of contract 7.3; times are RFC 3339 in UTC."""
    updated = _local(updated)
    answer: dict[str, Any] = {
        "created_at": _local(created),
        "data": data,
        "description": _DESCRIPTIONS[status],
        "hash_id": task_id,
        "last_modify": updated,
        "service": "compute",
        "status": status,
        "system": system,
        "task_id": task_id,
        "task_url": f"/tasks/{task_id}",
        "updated_at": updated,
        "user": user,
    }
    if labels:  # beyond the contract, and only for who uses them
        answer["labels"] = dict(labels)
    return answer


def _submission(job: JobView) -> tuple[str, Any, str | None]:
    """A submission is over once the scheduler has it: what becomes of the job later does not change it."""
    status = job.status
    ended = status.phase is not None and status.phase.finished
    taken = status.phase not in (None, Phase.PENDING, Phase.SUBMITTING)
    if status.job_id is not None and taken:
        return FINISHED, _result(status, status.job_id), _submitted_at(status)
    if ended:
        return FAILED, status.message or "The job was not submitted", _ended_at(status)
    return QUEUED, _DESCRIPTIONS[QUEUED], None


def _result(status: JobStatus, job_id: str) -> dict[str, str]:
    files = status.files
    if files is None:
        return {
            "job_file_err": _NOT_AVAILABLE,
            "job_file_out": _NOT_AVAILABLE,
            "job_info_extra": "The scheduler did not say which files the job has",
            "jobid": job_id,
            "result": "Job submitted",
        }
    return {
        "job_data_err": "",
        "job_data_out": "",
        "job_file": files.script or "command-not-found",
        "job_file_err": files.stderr or "stderr-file-not-found",
        "job_file_out": files.stdout or "stdout-file-not-found",
        "job_info_extra": "Job info returned successfully",
        "jobid": job_id,
        "result": "Job submitted",
    }


def _cancelling(job: JobView) -> tuple[str, Any, str | None]:
    status = job.status
    match status.phase:
        case Phase.CANCELLED:
            return FINISHED, f"scancel: Terminating job {status.job_id}", _ended_at(status)
        case Phase.SUCCEEDED | Phase.FAILED:
            sentence = f"Job {status.job_id} could not be cancelled: it had already ended ({status.phase.value})"
            return FAILED, sentence, _ended_at(status)
    return QUEUED, _DESCRIPTIONS[QUEUED], status.cancel_requested_at


def _submitted_at(status: JobStatus) -> str | None:
    # The scheduler's own time is by another clock, and known later: a final task would change.
    return status.submission.time if status.submission else status.submit_time


def _ended_at(status: JobStatus) -> str | None:
    for condition in status.conditions:
        if condition.type == ConditionType.FINISHED and condition.status == "True":
            return condition.last_transition_time
    return status.end_time


def _local(time: str) -> str:
    """``YYYY-MM-DDTHH:MM:SS`` without a zone, in UTC: clients parse exactly this."""
    return time[:19]
