"""What the scheduler shows of a job, as fields of its status. Pure; what it does not show is not overwritten."""

from __future__ import annotations

from typing import Any, Final

from goldcrest.grants import parse_time
from goldcrest.models.job import JobFiles, JobResource, JobStatus, SchedulerState
from goldcrest.models.job_details import Allotment, ComponentStatus, Usage
from goldcrest.sbatch.patterns import Facts, first_node, resolved
from goldcrest.wellknown import Phase
from goldcrest_operator.reconcile.arrays import merged
from goldcrest_operator.reconcile.statuses import iso
from goldcrest_operator.scheduler.interface import Consumed, JobView

STEADY_SECONDS: Final = 300
"""An expected start that moves by less is no news: backfill reckons anew every half minute."""
STEADY_SHARE: Final = 0.1
"""Nor is one that moves by less than this share of the time that is left."""


def seen_fields(job: JobResource, view: JobView, *, now: float) -> dict[str, Any]:
    """Fields of the status that this view means."""
    status = job.status
    fields: dict[str, Any] = {
        "scheduler": SchedulerState(state=view.state[:128], reason=view.reason[:1024] if view.reason else None),
        "submit_time": _time(view.submit),
        "start_time": _time(view.start),
        "node_count": view.nodes,
        "node_list": view.node_list[:4096] if view.node_list else None,
        "partition": view.partition[:1024] if view.partition else None,
        "account": view.account[:1024] if view.account else None,
        "granted": _granted(status.granted, view),
        "requeues": _requeues(status, view),
        "array": merged(status.array, view.elements) if view.elements else None,
        "components": [
            ComponentStatus(offset=part.offset, state=part.state[:128], node_list=part.node_list)
            for part in view.components[:64]
        ]
        or None,
        "files": _files(job, view),
    }
    if view.final:
        fields |= {
            "exit_code": view.exit_code,
            "signal": view.signal,
            "end_time": _time(view.end),
            "elapsed_seconds": view.elapsed,
        }
    shown = {name: value for name, value in fields.items() if value is not None}
    shown["expected_start_time"] = expected_start(status, view, now=now)
    if view.phase is Phase.QUEUED and status.start_time is not None:
        # It was put back into the queue: where it ran before is no longer so.
        shown |= {"start_time": None, "node_count": None, "node_list": None}
    return shown


def expected_start(status: JobStatus, view: JobView, *, now: float) -> str | None:
    """When a waiting job is expected to start; the last word about it while the new one says about the same."""
    if view.phase is not Phase.QUEUED or view.expected_start is None:
        return None
    before = parse_time(status.expected_start_time) if status.expected_start_time is not None else None
    if before is not None and is_steady(before, view.expected_start, now=now):
        return status.expected_start_time
    return iso(view.expected_start)


def is_steady(before: float, expected: float, *, now: float) -> bool:
    """Whether an expected start is about the same as another, as epoch seconds."""
    return abs(expected - before) < max(STEADY_SECONDS, STEADY_SHARE * (before - now))


def usage_of(consumed: Consumed) -> Usage:
    return Usage(cpu_seconds=consumed.cpu_seconds, max_rss_bytes=consumed.max_rss_bytes)


def _granted(before: Allotment | None, view: JobView) -> Allotment | None:
    given = {
        "account": view.account[:1024] if view.account else None,
        "partition": view.partition[:1024] if view.partition else None,
        "qos": view.qos[:1024] if view.qos else None,
        "time_limit": view.time_limit[:64] if view.time_limit else None,
    }
    known = {name: value for name, value in given.items() if value is not None}
    return (before or Allotment()).model_copy(update=known) if known else before


def _requeues(status: JobStatus, view: JobView) -> int | None:
    """How often it was put back; what is seen of that counts until the scheduler says its own number."""
    before = status.requeues or 0
    if view.restarts is not None:
        return max(view.restarts, before) or None
    ran = status.phase in (Phase.RUNNING, Phase.COMPLETING)
    return (before + 1 if ran and view.phase is Phase.QUEUED and not view.array else before) or None


def _files(job: JobResource, view: JobView) -> JobFiles | None:
    """The paths, once the node is known that they are named after."""
    files, nodes = job.status.files, view.node_list
    if files is None or nodes is None or view.array:
        return files
    name = job.spec.job_name or (files.script or "").rpartition("/")[2]
    facts = Facts(job_id=view.job_id, name=name, user=job.spec.run_as, node=first_node(nodes))
    return files.model_copy(
        update={
            name: resolved(path, facts)
            for name, path in (("stdout", files.stdout), ("stderr", files.stderr))
            if path is not None and "%N" in path
        }
    )


def _time(epoch: int | None) -> str | None:
    return iso(epoch) if epoch is not None else None
