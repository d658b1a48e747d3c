"""What keeps a Job from being submitted, as steps: others come first, its script is not there, its key is used up. Pure."""

from __future__ import annotations

from goldcrest.models.job import JobResource
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.reconcile.dependencies import Resolution
from goldcrest_operator.reconcile.observation import Observation, Refusal, Trouble
from goldcrest_operator.reconcile.statuses import differs, notices, with_state, with_trouble
from goldcrest_operator.reconcile.steps import Retry, Step, Wait, WriteStatus

LOOK_FOR_OTHERS_SECONDS = 60.0
"""A gjob that is waited for, and that the watch did not bring, is looked for this often."""


def is_to_be_looked_for(job: JobResource, observed: Observation, *, seconds: float | None) -> bool:
    """Whether an earlier run with the same key is to be looked for before anything is begun.

    Args:
        seconds: how old the last look may be; None: any will do.
    """
    if job.spec.run_key is None or job.status.submission is not None:
        return False
    at = observed.attempt.found_at
    return observed.attempt.found is None or at is None or (seconds is not None and observed.now - at > seconds)


def key_is_used(job: JobResource) -> Trouble:
    return Trouble(
        Reason.SUBMISSION_AMBIGUOUS,
        f"A run with runKey {job.spec.run_key} was begun on {job.spec.system} before, and the scheduler does not know it any more. "
        "It is not run again: make a gjob with another runKey to have it run.",
        stalled=True,
    )


def waits_for_others(job: JobResource, observed: Observation, resolution: Resolution) -> Step:
    if resolution.failed:
        reason, message = Reason.DEPENDENCY_FAILED, f"Cannot start: {resolution.failed}."
    else:
        reason, message = Reason.WAITING_FOR_DEPENDENCY, f"Waits: {resolution.waiting}."
    status = with_state(
        job,
        phase=Phase.PENDING,
        reason=reason,
        message=message,
        now=observed.now,
        stalled=bool(resolution.failed),
        dependencies=list(resolution.statuses),
    )
    if differs(job.status, status):
        return WriteStatus(status, notices(job.status, status))
    # The watch wakes it; one that another shard reconciles, or that comes later, is looked for.
    return Wait(LOOK_FOR_OTHERS_SECONDS)


def refused(job: JobResource, refusal: Refusal, observed: Observation) -> Step:
    failed = with_state(job, phase=Phase.FAILED, reason=refusal.reason, message=refusal.message, now=observed.now)
    return WriteStatus(failed, notices(job.status, failed))


def in_trouble(job: JobResource, trouble: Trouble, observed: Observation) -> Step:
    shown = with_trouble(job, trouble, now=observed.now)
    if differs(job.status, shown):
        return WriteStatus(shown, notices(job.status, shown))
    return Retry(seldom=trouble.stalled)
