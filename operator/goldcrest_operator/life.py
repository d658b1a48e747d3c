"""The span of a Job itself, from its creation to its end: what all steps of the operator are below, and what it waited for in between.

Its id is made of the Job's uid, so that it is the same in every pass and in every operator; it is recorded when the Job has ended.
"""

from __future__ import annotations

import time
from datetime import datetime

from goldcrest.models.job import JobResource, JobStatus
from goldcrest.telemetry import Trace
from goldcrest.tracing import record
from goldcrest.wellknown import ANNOTATION_TRACEPARENT, Phase


def trace_of_job(job: JobResource) -> Trace:
    """The Job's own span, in the trace of the request that made it; without one, in a trace whose id is the uid."""
    uid, parent = job.uid.replace("-", ""), _parent(job)
    own = Trace(uid, uid[16:]) if parent is None else Trace(parent.trace_id, uid[16:], parent.sampled)
    return Trace.parse(own.header) or Trace.continued(parent.header if parent else None)


def record_life(job: JobResource, status: JobStatus, trace: Trace) -> None:
    """Record the span of a Job that has just ended, and those of its time in the scheduler.

    Args:
        trace: as :func:`trace_of_job` gave it.
    """
    ended = time.time()
    began = _epoch(job.created) or ended
    phase = status.phase.value if status.phase is not None else ""
    whole = record(
        "Job",
        _parent(job),
        began=began,
        ended=ended,
        trace=trace,
        error=phase if phase == Phase.FAILED else "",
        system=job.spec.system,
        user=job.spec.run_as,
        phase=phase,
    )
    submitted = _epoch(status.submission.time if status.submission is not None else None)
    start, end = _epoch(status.start_time), _epoch(status.end_time)
    if whole is not None and submitted is not None and start is not None:
        record("queued", whole, began=submitted, ended=start)
        record("running", whole, began=start, ended=end or ended)


def _parent(job: JobResource) -> Trace | None:
    return Trace.parse(job.annotations.get(ANNOTATION_TRACEPARENT))


def _epoch(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
