"""``/tasks``: how far requests are (contract section 7). Nothing is asked of the scheduler."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.errors import Denied, NotFound, Unavailable
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import authenticated
from goldcrest_api.dialects.firecrest_v1.fields import outcome
from goldcrest_api.dialects.firecrest_v1.task_record import task_record
from goldcrest_api.dialects.firecrest_v1.texts import RETRY_AFTER

_FAILED: Final = "Failed to retrieve tasks information"


async def one(request: Request) -> Response:
    """One task."""
    call = await authenticated(request)
    task_id = str(request.path_params["task_id"])
    try:
        found = await call.context.lookup.find(task_id, call.caller)
    except NotFound as error:
        raise Refusal(404, error=f"Task {task_id} does not exist") from error
    except Denied as error:
        raise Refusal(403, description="Operation not permitted. Invalid task owner.") from error
    except Unavailable as error:
        raise _unavailable(error) from error
    return SortedJson({"task": task_record(found)})


async def some(request: Request) -> Response:
    """All tasks of the caller, or those that are named; unknown ones are left out."""
    call = await authenticated(request)
    named = request.query_params.get("tasks")
    wrong = outcome(named)
    if named is not None and wrong is not None:
        raise Refusal(400, description=_FAILED, error=f"'tasks' {wrong}")
    try:
        if named is None:
            tasks = await call.context.lookup.find_all(call.caller)
        else:
            ids = [task_id.strip() for task_id in named.split(",")]
            tasks = await call.context.lookup.find_some(ids, call.caller)
    except Unavailable as error:
        raise _unavailable(error) from error
    return SortedJson({"tasks": {found.task_id: task_record(found) for found in tasks}})


def _unavailable(error: Unavailable) -> Refusal:
    return Refusal(503, description=_FAILED, error=error.message, headers=RETRY_AFTER)
