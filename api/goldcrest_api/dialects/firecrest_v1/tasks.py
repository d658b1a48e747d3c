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
from goldcrest_api.labels import LabelSelector
from goldcrest_api.turns import in_turns

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
    selector = _selector(request.query_params.get("labels"))
    try:
        if named is None:
            tasks = await call.context.lookup.find_all(call.caller)
        else:
            ids = _ids(named, limit=call.context.settings.limits.named_tasks)
            tasks = await call.context.lookup.find_some(ids, call.caller)
    except Unavailable as error:
        raise _unavailable(error) from error
    if selector is not None:
        tasks = [found for found in tasks if selector.matches(found.job.labels)]
    return SortedJson({"tasks": {found.task_id: task_record(found) async for found in in_turns(tasks)}})


def _ids(named: str, *, limit: int) -> list[str]:
    ids = [task_id.strip() for task_id in named.split(",")]
    if len(ids) > limit:
        sentence = f"'tasks' names {len(ids)} tasks; {limit} are allowed in one question"
        raise Refusal(400, description=_FAILED, error=sentence)
    return ids


def _selector(text: str | None) -> LabelSelector | None:
    try:
        return LabelSelector.parse(text) if text is not None else None
    except ValueError as error:
        raise Refusal(400, description=_FAILED, error=str(error)) from error


def _unavailable(error: Unavailable) -> Refusal:
    return Refusal(503, description=_FAILED, error=error.message, headers=RETRY_AFTER)
