"""The status that the tracker's last sighting of a submitted Job means. Pure."""

from __future__ import annotations

from goldcrest.grants import parse_time
from goldcrest.models.job import JobResource, JobStatus
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.reconcile.observation import Observation
from goldcrest_operator.reconcile.seen import seen_fields
from goldcrest_operator.reconcile.statuses import iso, reason_of, with_state
from goldcrest_operator.scheduler.interface import JobView
from goldcrest_operator.scheduler.waiting import NEVER


def as_seen(job: JobResource, observed: Observation, *, released: bool | None) -> JobStatus:
    """The status that the tracker's last sighting means."""
    sighting = observed.sighting
    view = sighting.view if sighting.view is not None and sighting.view.job_id == job.status.job_id else None
    phase, reason, message = _state_as_seen(job, view, released=released)
    fields = seen_fields(job, view, now=observed.now) if view is not None else {}
    if view is not None and phase is Phase.QUEUED and fields["expected_start_time"] is not None:
        message = f"{message} Expected to start at {fields['expected_start_time']}."
    if fields.get("elapsed_seconds") is not None and "end_time" not in fields:
        # Slurm's exact record has no zone for its times; start and duration say the same.
        start = fields.get("start_time") or job.status.start_time
        if start is not None:
            fields["end_time"] = iso(parse_time(start) + fields["elapsed_seconds"])
    if job.status.submission is not None and released is not None:
        fields["submission"] = job.status.submission.model_copy(update={"released": released})
    trouble = sighting.trouble
    if trouble is not None and trouble.reason is Reason.BLOCKED and phase is Phase.SUSPENDED:
        trouble = None  # it waits for its user as well, and would not go on by itself
    if trouble is not None and not phase.finished:
        return with_state(
            job,
            phase=phase,
            reason=trouble.reason,
            message=trouble.message,
            now=observed.now,
            unreachable=trouble.unreachable,
            stalled=trouble.stalled,
            **fields,
        )
    never = view is not None and phase is Phase.QUEUED and (view.reason or "").strip("()") in NEVER
    if never:
        reason = Reason.DEPENDENCY_FAILED
    return with_state(job, phase=phase, reason=reason, message=message, now=observed.now, stalled=never, **fields)


def _state_as_seen(job: JobResource, view: JobView | None, *, released: bool | None) -> tuple[Phase, Reason, str]:
    job_id = job.status.job_id
    if view is not None:
        phase, reason, message = view.phase, view.outcome, view.message
    else:
        phase = job.status.phase or Phase.QUEUED
        if phase in (Phase.PENDING, Phase.SUBMITTING):
            phase = Phase.QUEUED
        reason = reason_of(job.status) or Reason.QUEUED
        message = job.status.message or ""
        if phase is Phase.SUSPENDED and not job.spec.suspend:
            phase, reason, message = Phase.QUEUED, Reason.QUEUED, f"Job {job_id} waits in the queue."
    if job.spec.suspend and phase in (Phase.QUEUED, Phase.SUSPENDED) and released is False:
        return Phase.SUSPENDED, Reason.SUSPENDED, f"Job {job_id} is held until spec.suspend is set to false."
    if (job.deleting or job.status.cancel_requested_at) and not phase.finished:
        message = f"Job {job_id} is being cancelled."
    elif job.spec.suspend and phase is Phase.RUNNING and view is not None:
        what = "what waits of it is held" if view.waiting_elements else "spec.suspend holds only what waits"
        message = f"{message} It is left running: {what}."
    return phase, reason, message
