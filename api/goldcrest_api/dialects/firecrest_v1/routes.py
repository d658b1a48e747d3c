"""The routes of the dialect, as one table: path, method, what does it, and what it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from goldcrest_api.dialects.firecrest_v1 import compute, reservations, status, tasks, utilities
from goldcrest_api.dialects.firecrest_v1.answers import SortedJson

Endpoint = Callable[[Request], Awaitable[Response]]

_MACHINE: Final = {
    "in": "header",
    "name": "X-Machine-Name",
    "required": True,
    "schema": {"type": "string"},
    "description": "Name of the system.",
}
_IDEMPOTENCY: Final = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "A repeated request with the same key and body gets the same task; with another body it is refused with 422.",
}


def router() -> APIRouter:
    """All routes, without a prefix: to be included at ``/`` and at ``/v1``."""
    routes = APIRouter(default_response_class=SortedJson)
    add = _Adder(routes)
    add("POST", "/compute/jobs/upload", compute.submit_upload, "compute", status=201,
        takes=[_MACHINE, _IDEMPOTENCY], form=_form("multipart/form-data", file=_FILE, account=_TEXT, env=_ENV))  # fmt: skip
    add("POST", "/compute/jobs/path", compute.submit_path, "compute", status=201,
        takes=[_MACHINE, _IDEMPOTENCY],
        form=_form("application/x-www-form-urlencoded", targetPath=_TEXT, account=_TEXT, env=_ENV))  # fmt: skip
    add("DELETE", "/compute/jobs/{jobid}", compute.cancel, "compute", takes=[_MACHINE, _path("jobid")])
    add("GET", "/compute/status", compute.status, "compute")
    add("GET", "/tasks", tasks.some, "tasks", takes=[_query("tasks", "Ids, separated by commas; all without it.")])
    add("GET", "/tasks/", tasks.some, "tasks", shown=False)
    # Before the route with an id: these were never public (contract 15.29, D12).
    for path in ("/", "/tasks/tasklist", "/tasks/taskslist"):
        routes.add_api_route(path, _invalid, methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    add("GET", "/tasks/{task_id}", tasks.one, "tasks", takes=[_path("task_id")])
    add("GET", "/status/systems", status.systems, "status")
    add("GET", "/status/systems/{machine}", status.system, "status", takes=[_path("machine")])
    add("GET", "/status/services", status.services, "status")
    add("GET", "/status/services/{service}", status.service, "status", takes=[_path("service")])
    add("GET", "/status/filesystems", status.filesystems, "status")
    add("GET", "/status/filesystems/{machine}", status.filesystems_of, "status", takes=[_path("machine")])
    add("GET", "/status/parameters", status.parameters, "status")
    add("GET", "/utilities/view", utilities.view, "utilities",
        takes=[_MACHINE, _query("targetPath", "Absolute path.", required=True),
               _query("bytes", "Only the first bytes, as head --bytes."),
               _query("lines", "Only the first lines, as head --lines."),
               _query("grep", "Only lines with this text.")])  # fmt: skip
    add("GET", "/utilities/stat", utilities.stat, "utilities",
        takes=[_MACHINE, _query("targetPath", "Absolute path.", required=True),
               _query("dereference", "true: of the file that a link points to.")])  # fmt: skip
    add("GET", "/utilities/status", utilities.status, "utilities")
    for path, shown in (("/reservations", True), ("/reservations/", False)):
        add("GET", path, reservations.some, "reservations", takes=[_MACHINE], shown=shown)
        add("POST", path, reservations.create, "reservations", status=201, takes=[_MACHINE], shown=shown,
            form=_form("application/x-www-form-urlencoded", reservation=_TEXT, account=_TEXT, **_RESERVATION))  # fmt: skip
    add("GET", "/reservations/status", reservations.status, "reservations")
    add("PUT", "/reservations/{reservation}", reservations.update, "reservations",
        takes=[_MACHINE, _path("reservation")], form=_form("application/x-www-form-urlencoded", **_RESERVATION))  # fmt: skip
    add("DELETE", "/reservations/{reservation}", reservations.delete, "reservations", status=204,
        takes=[_MACHINE, _path("reservation")])  # fmt: skip
    return routes


async def _invalid(request: Request) -> Response:
    return SortedJson({"message": "Invalid"}, status_code=400)


class _Adder:
    def __init__(self, routes: APIRouter) -> None:
        self._routes = routes

    def __call__(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        tag: str,
        *,
        status: int = 200,
        takes: list[dict[str, Any]] | None = None,
        form: dict[str, Any] | None = None,
        shown: bool = True,
    ) -> None:
        extra: dict[str, Any] = {"security": [{"token": []}]}
        if takes:
            extra["parameters"] = takes
        if form:
            extra["requestBody"] = form
        self._routes.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            tags=[tag],
            summary=(endpoint.__doc__ or "").strip().split("\n")[0],
            response_model=None,
            openapi_extra=extra,
            include_in_schema=shown,
        )


_TEXT: Final = {"type": "string"}
_FILE: Final = {"type": "string", "format": "binary", "description": "The batch script."}
_RESERVATION: Final[dict[str, dict[str, Any]]] = {
    "numberOfNodes": {"type": "integer", "minimum": 1},
    "nodeType": _TEXT,
    "starttime": {"type": "string", "description": "YYYY-MM-DDTHH:MM:SS"},
    "endtime": {"type": "string", "description": "YYYY-MM-DDTHH:MM:SS"},
}
_ENV: Final = {"type": "string", "description": "Environment variables of the job, as a JSON object."}


def _form(media_type: str, **fields: dict[str, Any]) -> dict[str, Any]:
    required = [name for name in ("file", "targetPath", "reservation", *_RESERVATION) if name in fields]
    schema = {"type": "object", "properties": fields, "required": required}
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _path(name: str) -> dict[str, Any]:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string"}}


def _query(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "in": "query",
        "name": name,
        "required": required,
        "schema": {"type": "string"},
        "description": description,
    }
