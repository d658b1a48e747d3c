"""``/tasks``: how far requests are (contract section 7). Nothing is asked of the scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.errors import Denied, NotFound, Unavailable
from goldcrest.turns import in_turns
from goldcrest.wellknown import Phase
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson
from goldcrest_api.dialects.firecrest_v1.call import Call, authenticated
from goldcrest_api.dialects.firecrest_v1.fields import outcome
from goldcrest_api.dialects.firecrest_v1.operation_record import operation_record
from goldcrest_api.dialects.firecrest_v1.task_record import task_record
from goldcrest_api.dialects.firecrest_v1.texts import RETRY_AFTER
from goldcrest_api.labels import LabelSelector
from goldcrest_api.services.lookup import Found
from goldcrest_api.services.results import ResultGone
from goldcrest_api.services.task_lookup import Shown
from goldcrest_api.task_view import TaskView

RESULTS_LIMIT: Final = 32 * 1024 * 1024  # bytes of results in one answer
_IN_A_THREAD: Final = 128 * 1024  # bytes of results from which on reading and writing JSON would hold others up
_FAILED: Final = "Failed to retrieve tasks information"


async def one(request: Request) -> Response:
    """One task."""
    call = await authenticated(request)
    task_id = str(request.path_params["task_id"])
    try:
        found = await call.context.tasks.find(task_id, call.caller)
    except NotFound as error:
        raise Refusal(404, error=f"Task {task_id} does not exist") from error
    except Denied as error:
        raise Refusal(403, description="Operation not permitted. Invalid task owner.") from error
    except Unavailable as error:
        raise _unavailable(error) from error
    (task,) = await _records(call, [found])
    return await _answer({"task": task}, [found])


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
            tasks = await call.context.tasks.find_all(call.caller)
        else:
            ids = _ids(named, limit=call.context.settings.limits.named_tasks)
            tasks = await call.context.tasks.find_some(ids, call.caller)
    except Unavailable as error:
        raise _unavailable(error) from error
    if selector is not None:  # only Jobs have labels
        turns = in_turns(tasks)
        tasks = [shown async for shown in turns if isinstance(shown, Found) and selector.matches(shown.job.labels)]
    records = await _records(call, tasks)
    return await _answer({"tasks": {shown["task_id"]: shown for shown in records}}, tasks)


async def _records(call: Call, tasks: Sequence[Shown]) -> list[dict[str, Any]]:
    records, left = [], RESULTS_LIMIT
    async for shown in in_turns(tasks):
        if isinstance(shown, Found):
            records.append(task_record(shown))
            continue
        left -= _size(shown)
        records.append(await _operation(call, shown, fits=left >= 0))
    return records


async def _operation(call: Call, task: TaskView, *, fits: bool) -> dict[str, Any]:
    content, missing = None, None
    if task.status.phase is Phase.SUCCEEDED:
        if not fits:
            missing = f"The result has {_size(task)} bytes, too many for this answer: ask for this task alone"
            return operation_record(task, None, missing=missing)
        try:
            content = await call.context.results.read(task)
        except ResultGone as error:
            missing = error.message
        except Unavailable as error:
            raise _unavailable(error) from error
    call.context.results.note_read(task)
    if _size(task) > _IN_A_THREAD:
        return await asyncio.to_thread(operation_record, task, content, missing=missing)
    return operation_record(task, content, missing=missing)


async def _answer(content: dict[str, Any], tasks: Sequence[Shown]) -> Response:
    if sum(_size(shown) for shown in tasks) > _IN_A_THREAD:
        return await asyncio.to_thread(SortedJson, content)
    return SortedJson(content)


def _size(shown: Shown) -> int:
    result = None if isinstance(shown, Found) else shown.status.result
    return 0 if result is None else result.size


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
