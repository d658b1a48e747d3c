"""``GET /compute/jobs/{jobid}/output``: what a job writes, once or as it comes. Beyond the contract; its errors are those of files (3.7)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands.base import JOB_ID
from goldcrest.errors import Denied, GoldcrestError, NotFound, Unavailable
from goldcrest.wellknown import TASK_ID_PATTERN
from goldcrest_api.dialects.firecrest_v1 import file_failures
from goldcrest_api.dialects.firecrest_v1.answers import Refusal
from goldcrest_api.dialects.firecrest_v1.call import Call, stream_slot
from goldcrest_api.dialects.firecrest_v1.fields import is_true
from goldcrest_api.dialects.firecrest_v1.queries import entered
from goldcrest_api.dialects.firecrest_v1.texts import RETRY_AFTER
from goldcrest_api.services.output import NoOutput, Output, Which
from goldcrest_api.services.streams import Stream
from goldcrest_api.streaming import StreamedResponse

_FAILED: Final = "Failed to read output"
_TEXT: Final = "text/plain"
_OFFSET_MOST: Final = 2**53 - 1


async def output(request: Request) -> Response:
    """What a job wrote to standard output or error; with follow=true until it ends."""
    call = await entered(request, probed=_FAILED)
    query = request.query_params
    which, offset = _which(query.get("stream", "stdout")), _offset(query.get("offset", "0"))
    wanted = await _job(call, which)
    if is_true(query.get("follow")):
        return _followed(call, wanted, offset)
    try:
        part = await call.context.outputs.read(
            wanted, offset, length=call.context.settings.limits.text_bytes, caller=call.caller, trace=call.trace
        )
    except NotFound as error:
        raise Refusal(404, description=_FAILED, error=error.message) from error
    except GoldcrestError as error:
        step = file_failures.Step(description=_FAILED, program="head", target=wanted.path(wanted.job) or "")
        raise file_failures.refusal(error, step=step, user=call.caller.user, machine=wanted.job.system) from error
    headers = {"X-Output-Offset": str(part.offset), "X-Output-Size": str(part.size)}
    return Response(part.data, media_type=_TEXT, headers=headers)


def _followed(call: Call, wanted: Output, offset: int) -> Response:
    async def pieces(stream: Stream) -> AsyncGenerator[bytes]:
        async for piece in call.context.outputs.follow(wanted, offset, stream=stream, trace=call.trace):
            yield piece

    return StreamedResponse(
        stream_slot(call, description=_FAILED),
        pieces,
        media_type=_TEXT,
        slow_seconds=call.context.settings.streams.slow_seconds,
        headers={"X-Output-Offset": str(offset)},
    )


async def _job(call: Call, which: Which) -> Output:
    """The caller's job that the path names: by a task's id, or by the scheduler's id on a machine."""
    job_id = str(call.request.path_params["jobid"])
    lookup = call.context.lookup
    try:
        if TASK_ID_PATTERN.fullmatch(job_id):
            wanted = Output((await lookup.find(job_id, call.caller)).job, which)
        elif JOB_ID.fullmatch(job_id):
            system = call.machine(description=_FAILED)
            base, _, element = job_id.partition("_")
            job = await lookup.of_scheduler_id(system.name, base, call.caller)
            wanted = Output(job, which, int(element) if element else None)
        else:
            raise Refusal(400, description=_FAILED, error=f"'{job_id}' is neither a job id nor a task id")
        wanted.path(wanted.job)
    except Denied as error:
        raise Refusal(403, description="Operation not permitted. Invalid task owner.") from error
    except NoOutput as error:
        raise Refusal(400, description=_FAILED, error=error.message) from error
    except NotFound as error:
        raise Refusal(404, description=_FAILED, error=error.message) from error
    except Unavailable as error:
        raise Refusal(503, description=_FAILED, error=error.message, headers=RETRY_AFTER) from error
    return wanted


def _which(text: str) -> Which:
    if text not in ("stdout", "stderr"):
        raise Refusal(400, description=_FAILED, error="'stream' must be stdout or stderr")
    return cast("Which", text)


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= _OFFSET_MOST):
        raise Refusal(400, description=_FAILED, error="'offset' must be a number of bytes, 0 or more")
    return int(text)
