"""``GET /events``: changes of the caller's own jobs and tasks as server-sent events. Beyond the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from goldcrest.errors import InvalidInput
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.call import authenticated, stream_slot
from goldcrest_api.job_view import JobView
from goldcrest_api.services.events import Change, Ended, Message, Positions, Quiet, Reset, Whole
from goldcrest_api.services.streams import Stream
from goldcrest_api.streaming import StreamedResponse
from goldcrest_api.task_view import TaskView

_FAILED: Final = "Failed to follow events"
_RETRY_MS: Final = 2000  # after which a client that was cut off comes again


async def follow(request: Request) -> Response:
    """Changes of one's own jobs and tasks as they happen (server-sent events)."""
    call = await authenticated(request)
    last = request.headers.get("last-event-id")
    try:
        since = Positions.parse(last) if last else None
    except InvalidInput as error:
        raise Refusal(400, description=_FAILED, error=error.message) from error
    feed = call.context.feed

    async def pieces(stream: Stream) -> AsyncGenerator[bytes]:
        yield b"retry: %d\n\n" % _RETRY_MS
        async for message in feed.follow(stream, since):
            yield _piece(message)

    return StreamedResponse(
        stream_slot(call, description=_FAILED),
        pieces,
        media_type="text/event-stream",
        slow_seconds=call.context.settings.streams.slow_seconds,
    )


def _piece(message: Message) -> bytes:
    """The text of a message (https://html.spec.whatwg.org/multipage/server-sent-events.html). JSON has no line breaks of its own."""
    identity = b"id: " + message.position.text().encode() + b"\n" if message.position is not None else b""
    match message.content:
        case Change(view=JobView() as job, gone=gone):
            return identity + _event("gone" if gone else "job", _gone(job) if gone else job_record(job))
        case Change(view=TaskView() as task, gone=gone):
            return identity + _event("gone" if gone else "task", _gone_task(task) if gone else task_event(task))
        case Reset(reason):
            return identity + _event("reset", {"description": reason})
        case Whole():
            return identity + _event("whole", {})
        case Quiet():
            return b": nothing new\n" + identity + b"\n"
        case Ended(reason, dropped=dropped):
            return _event("dropped" if dropped else "end", {"description": reason})
    return identity + b"\n"  # of a kind that this dialect does not show


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data, option=orjson.OPT_SORT_KEYS) + b"\n\n"


def _gone(job: JobView) -> dict[str, Any]:
    return {"jobid": job.status.job_id, "system": job.system, "task_id": job.task_id}


def _gone_task(task: TaskView) -> dict[str, Any]:
    return {"jobid": None, "system": task.system, "task_id": task.task_id}


def task_event(task: TaskView) -> dict[str, Any]:
    """A task as it is now; what it found is read at its URL, and no part of an event."""
    status = task.status
    return {
        "ended_at": status.end_time,
        "message": status.message,
        "namespace": task.namespace,
        "operation": task.operation,
        "phase": status.phase,
        "reason": task.reason or None,
        "started_at": status.start_time,
        "system": task.system,
        "task_id": task.task_id,
        "task_url": f"/tasks/{task.task_id}",
        "user": task.run_as,
    }


def job_record(job: JobView) -> dict[str, Any]:
    """A job as it is now, for those who follow it."""
    status = job.status
    return {
        "cancel_requested": job.cancel_requested,
        "ended_at": status.end_time,
        "exit_code": status.exit_code,
        "jobid": status.job_id,
        "labels": dict(job.labels),
        "message": status.message,
        "name": job.name,
        "namespace": job.namespace,
        "phase": status.phase,
        "reason": status.scheduler.reason if status.scheduler else None,
        "started_at": status.start_time,
        "state": status.scheduler.state if status.scheduler else None,
        "submitted_at": status.submit_time,
        "system": job.system,
        "task_id": job.task_id,
        "task_url": f"/tasks/{job.task_id}",
        "user": job.run_as,
    }
