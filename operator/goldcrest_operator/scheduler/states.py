"""Slurm's job states as phases and reasons, for single jobs and for arrays. Source: squeue(1), JOB STATE CODES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from goldcrest.commands.outputs import AccountRow, JobRecord, QueueRow
from goldcrest.wellknown import Phase, Reason
from goldcrest_operator.scheduler.elements import elements_of
from goldcrest_operator.scheduler.interface import Component, JobView
from goldcrest_operator.scheduler.waiting import why_waiting

Row = QueueRow | AccountRow | JobRecord

_QUEUED = (Phase.QUEUED, Reason.QUEUED)
_RUNNING = (Phase.RUNNING, Reason.RUNNING)

_MEANING: dict[str, tuple[Phase, Reason]] = {
    "PENDING": _QUEUED,
    "REQUEUED": _QUEUED,
    "REQUEUE_HOLD": _QUEUED,
    "REQUEUE_FED": _QUEUED,
    "SPECIAL_EXIT": _QUEUED,  # requeued and held
    "CONFIGURING": _RUNNING,  # nodes are allocated and boot
    "RUNNING": _RUNNING,
    "RESIZING": _RUNNING,
    "SIGNALING": _RUNNING,
    "STOPPED": _RUNNING,
    "SUSPENDED": _RUNNING,
    "COMPLETING": (Phase.COMPLETING, Reason.RUNNING),
    "STAGE_OUT": (Phase.COMPLETING, Reason.RUNNING),
    "COMPLETED": (Phase.SUCCEEDED, Reason.COMPLETED),
    "FAILED": (Phase.FAILED, Reason.NON_ZERO_EXIT),
    "TIMEOUT": (Phase.FAILED, Reason.TIMED_OUT),
    "DEADLINE": (Phase.FAILED, Reason.TIMED_OUT),
    "OUT_OF_MEMORY": (Phase.FAILED, Reason.OUT_OF_MEMORY),
    "NODE_FAIL": (Phase.FAILED, Reason.NODE_FAILED),
    "BOOT_FAIL": (Phase.FAILED, Reason.NODE_FAILED),
    "LAUNCH_FAILED": (Phase.FAILED, Reason.NODE_FAILED),
    "PREEMPTED": (Phase.FAILED, Reason.PREEMPTED),
    "CANCELLED": (Phase.CANCELLED, Reason.CANCELLED),
    "REVOKED": (Phase.CANCELLED, Reason.CANCELLED),
}


def meaning(state: str) -> tuple[Phase, Reason]:
    """Phase and reason of a raw state. One that is not known (a newer Slurm) is taken as running: it is never final by mistake."""
    return _MEANING.get(state, _RUNNING)


def view_of(rows: Sequence[Row]) -> JobView:
    """One view of a job from its rows: one, or one for each element of an array or component of a heterogeneous job.

    The whole runs while any part does, waits while any waits, and failed when any did.
    """
    if len(rows) == 1:
        return _single(rows[0])
    # What says most about the whole: running before waiting before ended badly before ended well.
    shown = min(rows, key=lambda row: _WEIGHT[meaning(row.state)[0]])
    phase, outcome = meaning(shown.state)
    starts = [row.start for row in rows if not isinstance(row, JobRecord) and row.start is not None]
    ends = [row.end for row in rows if not isinstance(row, JobRecord) and row.end is not None]
    codes = [row.exit_code for row in rows if not isinstance(row, QueueRow) and row.exit_code is not None]
    signals = [row.signal for row in rows if not isinstance(row, QueueRow) and row.signal is not None]
    waiting = [row for row in rows if meaning(row.state)[0] is Phase.QUEUED]
    first = rows[0]
    array = any(map(_is_array, rows))
    return JobView(
        job_id=first.base_id,
        user=first.user,
        token=next((token for row in rows if (token := _token(row)) is not None), None),
        state=shown.state,
        reason=_reason(shown),
        phase=phase,
        outcome=outcome,
        message=_summary(rows, first.base_id, kind="Array" if array else "Heterogeneous"),
        array=array,
        held=bool(waiting) and all(map(_held, waiting)),
        waiting_elements=bool(waiting) and array,
        exit_code=max(codes, default=None) if phase.finished else None,
        signal=max(signals, default=None) if phase.finished else None,
        submit=None if isinstance(first, JobRecord) else first.submit,
        start=min(starts, default=None) if phase is not Phase.QUEUED else None,
        end=max(ends, default=None) if phase.finished else None,
        partition=first.partition,
        account=first.account,
        qos=first.qos,
        time_limit=first.time_limit if isinstance(first, JobRecord) else None,
        expected_start=min(starts, default=None) if phase is Phase.QUEUED else None,
        restarts=max((row.restarts or 0 for row in rows if isinstance(row, JobRecord)), default=None),
        elements=elements_of(rows) if array else (),
        components=() if array else tuple(sorted(map(_component, rows))),
    )


_WEIGHT = {
    Phase.RUNNING: 0,
    Phase.COMPLETING: 1,
    Phase.QUEUED: 2,
    Phase.FAILED: 3,
    Phase.CANCELLED: 4,
    Phase.SUCCEEDED: 5,
}


def _single(row: Row) -> JobView:
    phase, outcome = meaning(row.state)
    started = phase is not Phase.QUEUED
    exit_code = None if isinstance(row, QueueRow) or not phase.finished else row.exit_code
    signal = None if isinstance(row, QueueRow) or not phase.finished else row.signal
    timed = None if isinstance(row, JobRecord) else row
    array = _is_array(row)
    return JobView(
        job_id=row.base_id,
        user=row.user,
        token=_token(row),
        state=row.state,
        reason=_reason(row),
        phase=phase,
        outcome=outcome,
        message=_message(row, phase, exit_code, signal),
        held=_held(row),
        array=array,
        exit_code=exit_code,
        signal=signal,
        submit=timed.submit if timed else None,
        start=timed.start if timed and started else None,  # of a waiting job it is a guess
        end=timed.end if timed and phase.finished else None,  # of a running one it is the limit
        elapsed=row.elapsed,
        nodes=row.nodes if started else None,
        node_list=row.node_list if started else None,
        partition=row.partition,
        account=row.account,
        qos=row.qos,
        time_limit=row.time_limit if isinstance(row, JobRecord) else None,
        expected_start=timed.start if timed and not started else None,
        restarts=row.restarts if isinstance(row, JobRecord) else None,
        elements=elements_of((row,)) if array else (),
    )


_MARK = "--comment="


def _token(row: Row) -> str | None:
    """The job's comment; where accounting keeps none, as the command line of its submission says it."""
    if row.comment is not None or not isinstance(row, AccountRow) or _MARK not in row.submit_line:
        return row.comment
    return next((word[len(_MARK) :] for word in row.submit_line.split() if word.startswith(_MARK)), None)


def _component(row: Row) -> Component:
    offset = row.component if isinstance(row, JobRecord) else int(row.job_id.partition("+")[2] or 0)
    started = meaning(row.state)[0] is not Phase.QUEUED
    return Component(offset or 0, row.state, row.node_list if started else None)


def _reason(row: Row) -> str | None:
    return None if isinstance(row, AccountRow) else row.reason


def _is_array(row: Row) -> bool:
    match row:
        case QueueRow():
            return row.array_index is not None
        case JobRecord():
            return row.array
    return "_" in row.job_id


def _held(row: Row) -> bool:
    return meaning(row.state)[0] is Phase.QUEUED and (_reason(row) or "").startswith("JobHeld")


def _message(row: Row, phase: Phase, exit_code: int | None, signal: int | None) -> str:
    job = f"Job {row.base_id}"
    match row.state:
        case "COMPLETED":
            return f"{job} has completed."
        case "TIMEOUT" | "DEADLINE":
            return f"{job} was ended because its time limit was reached ({row.state})."
        case "OUT_OF_MEMORY":
            return f"{job} was ended because it used more memory than it had asked for."
        case "NODE_FAIL" | "BOOT_FAIL" | "LAUNCH_FAILED":
            return f"{job} was ended because a node failed ({row.state})."
        case "PREEMPTED":
            return f"{job} was ended to make room for another job."
        case "CANCELLED" | "REVOKED":
            return f"{job} was cancelled."
        case "FAILED":
            if signal:
                return f"{job} was ended by signal {signal}."
            return f"{job} has failed" + (
                f" with exit code {exit_code}." if exit_code else f": {_reason(row) or 'no reason given'}."
            )
    reason = _reason(row)
    if phase is Phase.QUEUED:
        return f"{job} waits in the queue: {why_waiting(reason)}." if reason else f"{job} waits in the queue."
    if phase is Phase.COMPLETING:
        return f"{job} is being completed."
    where = f" on {row.node_list}" if row.node_list and len(row.node_list) <= _NODES_SHOWN else ""
    return f"{job} is running{where}." if row.state == "RUNNING" else f"{job} is {row.state.lower()}{where}."


_NODES_SHOWN = 256  # characters


def _summary(rows: Sequence[Row], base_id: str, *, kind: str) -> str:
    states = Counter(row.state for row in rows)
    return f"{kind} job {base_id}: " + ", ".join(f"{number} {state}" for state, number in sorted(states.items())) + "."
