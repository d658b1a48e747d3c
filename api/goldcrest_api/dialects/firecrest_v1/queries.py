"""``/compute``: what is asked of the scheduler (contract 5.4, 5.5, 5.7). Each success makes a task, which the operator answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from goldcrest.commands.queries import check_listed_id
from goldcrest.errors import InvalidInput
from goldcrest.models.task import IDS_LIMIT
from goldcrest_api.dialects.firecrest_v1 import failures
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, created
from goldcrest_api.dialects.firecrest_v1.call import Call, authenticated
from goldcrest_api.dialects.firecrest_v1.fields import is_true, outcome
from goldcrest_api.dialects.firecrest_v1.texts import DIALECT, UNKNOWN_MACHINE_ERROR
from goldcrest_api.dialects.firecrest_v1.times import system_time
from goldcrest_api.services.operations import OperationRequest
from goldcrest_api.services.submissions import SubmissionFailed
from goldcrest_api.system_cache import SystemView

_JOBS: Final = "Failed to retrieve jobs information"
_JOB: Final = "Failed to retrieve job information"
_ACCOUNT: Final = "Failed to retrieve account information"
_NODE: Final = "Failed to retrieve node"
_PAGE_SIZE: Final = 25
_MOST: Final = 2**31  # bound of the resource's field; nothing has so many pages


async def jobs(request: Request) -> Response:
    """List jobs of the queue."""
    call = await entered(request)
    system = call.machine(description=_JOBS, error=UNKNOWN_MACHINE_ERROR)
    query = request.query_params
    own = query.get("userJobs")
    listing: dict[str, Any] = {"scope": "own", "details": True} if own is None or is_true(own) else {"scope": "all"}
    _add(listing, "jobIds", _job_ids(query.get("jobs"), description=_JOB))
    _add(listing, "page", _page(query))
    return await begin(call, system, {"listJobs": listing}, description=_JOBS)


async def job(request: Request) -> Response:
    """Show one job of the queue."""
    call = await entered(request)
    system = call.machine(description=_JOB, error=UNKNOWN_MACHINE_ERROR)
    job_id = str(request.path_params["jobid"])
    if not _is_job_id(job_id):
        raise Refusal(400, description=_JOB, error=f"{job_id} is not a valid job ID")
    return await begin(call, system, {"jobDetail": {"jobId": job_id}}, description=_JOB)


async def accounting(request: Request) -> Response:
    """List jobs of accounting."""
    call = await entered(request)
    system = call.machine(description=_ACCOUNT, error=UNKNOWN_MACHINE_ERROR)
    query = request.query_params
    asked: dict[str, Any] = {}
    _add(asked, "jobIds", _job_ids(query.get("jobs"), description=_ACCOUNT))
    for name, field in (("starttime", "startTime"), ("endtime", "endTime")):
        _add(asked, field, _time(name, query.get(name)))
    _add(asked, "page", _page(query))
    return await begin(call, system, {"accounting": asked}, description=_ACCOUNT)


async def nodes(request: Request) -> Response:
    """List nodes."""
    return await _named(request, "nodes", "nodes", word="node")


async def node(request: Request) -> Response:
    """Show one node."""
    call = await entered(request)
    system = call.machine(description=_ACCOUNT, error=UNKNOWN_MACHINE_ERROR)
    name = str(request.path_params["nodeName"])
    _check_names([name], word="nodeName", description=_NODE)
    return await begin(call, system, {"nodes": {"names": [name]}}, description=_NODE)


async def partitions(request: Request) -> Response:
    """List partitions."""
    return await _named(request, "partitions", "partitions", word="partition", probed=_ACCOUNT)


async def reservations(request: Request) -> Response:
    """List reservations."""
    # OpenAPI calls the parameter "partitions", which the service never read.
    return await _named(request, "reservations", "reservations", word="reservations", probed=_ACCOUNT)


async def entered(request: Request, *, probed: str = _JOBS) -> Call:
    """Who calls. Contract 3.2: the original found out that a token names no user when it looked whether the system lets it in.

    Args:
        probed: description of that answer, as :func:`begin`.
    """
    return await authenticated(request, nameless=lambda: Refusal(400, description=probed))


async def begin(
    call: Call, system: SystemView, operation: Mapping[str, Any], *, description: str, probed: str = _JOBS
) -> Response:
    """Make the task of an operation.

    Args:
        description: of the answer when nothing was made.
        probed: likewise, when the system does not let the caller in.
    """
    request = OperationRequest(system, operation, DIALECT)
    try:
        task = await call.context.operations.begin(request, call.caller, call.trace)
    except SubmissionFailed as error:
        raise failures.of_operation(error, description=description, probed=probed) from error
    return created(task.task_id, status=200)


async def _named(request: Request, operation: str, parameter: str, *, word: str, probed: str = _JOBS) -> Response:
    call = await entered(request, probed=probed)
    system = call.machine(description=_ACCOUNT, error=UNKNOWN_MACHINE_ERROR)
    text = request.query_params.get(parameter)
    names = text.split(",") if text else []
    _check_names(names, word=word, description=_ACCOUNT)
    return await begin(
        call, system, {operation: {"names": names} if names else {}}, description=_ACCOUNT, probed=probed
    )


def _check_names(names: list[str], *, word: str, description: str) -> None:
    for name in names:
        wrong = outcome(name)
        if wrong is not None:
            raise Refusal(400, description=description, error=f"{word} '{name}' {wrong}")
    _check_number(names, description=description)


def _job_ids(text: str | None, *, description: str) -> list[str]:
    if text is None:
        return []
    wrong = outcome(text)
    if wrong is not None:
        raise Refusal(400, description=description, error=f"'jobs' {wrong}")
    ids = text.split(",")
    if "" in ids:
        raise Refusal(400, description=description, error="Jobs list wrong format")
    for one in ids:
        if not _is_job_id(one):
            raise Refusal(400, description=description, error=f"{one} is not a valid job ID")
    _check_number(ids, description=description)
    return ids


def _is_job_id(text: str) -> bool:
    try:
        check_listed_id(text)
    except InvalidInput:
        return False
    return True


def _check_number(values: list[str], *, description: str) -> None:
    if len(values) > IDS_LIMIT:
        raise Refusal(400, description=description, error=f"{len(values)} were given; at most {IDS_LIMIT} are allowed")


def _time(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return system_time(text, today=datetime.now())  # noqa: DTZ005 - in the gateway's zone, as the systems' is not known
    except ValueError as error:
        raise Refusal(400, description=_ACCOUNT, error=f"{name} {error}") from error


def _page(query: Mapping[str, str]) -> dict[str, int] | None:
    """Paging is on when either is given; what is no number counts as not given (contract 5.4)."""
    if "pageSize" not in query and "pageNumber" not in query:
        return None
    return {"size": _number(query.get("pageSize"), _PAGE_SIZE), "number": _number(query.get("pageNumber"), 0)}


def _number(text: str | None, default: int) -> int:
    try:
        number = int(text) if text is not None and len(text) <= 20 else default
    except ValueError:
        return default
    return max(-_MOST, min(_MOST, number))


def _add(to: dict[str, Any], name: str, value: object) -> None:
    """What is empty is left out: the digest of the spec is over what is said."""
    if value:
        to[name] = value
