"""Until when an sbatch whose end nobody saw may still take effect, and when it is certain that none will: pure."""

from __future__ import annotations

from goldcrest.grants import parse_time
from goldcrest.models.job import JobResource
from goldcrest_operator.reconcile.observation import Attempt

COMMAND_SECONDS = 60.0
"""A login node lets sbatch run for this long (``commandSeconds`` of ssh-filter's policy file)."""
SENDING_SECONDS = 75.0
"""A command may be sent this long after its step began (``command_seconds`` of the SSH settings)."""
MARGIN_SECONDS = 15.0
"""For clocks, for whole seconds in the stored time, and for an intent that is a little older than its sbatch."""
FRESH_SECONDS = 10.0
"""An intent that is older is written anew before another sbatch: its time stands for the last one."""
LATE_SECONDS = COMMAND_SECONDS + MARGIN_SECONDS
"""An sbatch can take effect this long after we stopped waiting for it."""
STORED_SECONDS = LATE_SECONDS + SENDING_SECONDS
"""The same, after the stored time of an intent, where nothing else is known."""
REMEMBERED_SECONDS = 300.0
"""A successor sweeps after submissions of its predecessor for this long after that."""


def begun(job: JobResource, *, now: float) -> Attempt:
    """What a process assumes that sees a Job for the first time: its predecessor may have died in an sbatch."""
    intent = job.status.submission
    if intent is None:
        return Attempt()
    until = parse_time(intent.time) + STORED_SECONDS
    finished = job.status.phase is not None and job.status.phase.finished
    if until + REMEMBERED_SECONDS <= now if job.status.job_id is not None else finished:
        return Attempt()
    return Attempt(unclear_until=until, assumed=True)


def settled_at(job: JobResource, attempt: Attempt) -> float:
    """Epoch seconds from which on no sbatch of the past takes effect any more."""
    if attempt.unclear_until is not None:
        return attempt.unclear_until
    intent = job.status.submission
    return parse_time(intent.time) + STORED_SECONDS if intent is not None else 0.0


def is_certain(job: JobResource, attempt: Attempt) -> bool:
    """Whether nothing is on its way: no sbatch has an unknown outcome, or none was found when nothing could come any more."""
    if job.status.submission is None or attempt.clean:
        return True
    return attempt.found == () and attempt.found_at is not None and attempt.found_at >= settled_at(job, attempt)
