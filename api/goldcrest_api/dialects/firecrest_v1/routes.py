"""The routes of the dialect, as one table: path, method, what does it, and what it takes."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from goldcrest_api.dialects.firecrest_v1 import compute, status, tasks, utilities_routes
from goldcrest_api.dialects.firecrest_v1.answers import SortedJson
from goldcrest_api.dialects.firecrest_v1.described import MACHINE as _MACHINE
from goldcrest_api.dialects.firecrest_v1.described import TEXT as _TEXT
from goldcrest_api.dialects.firecrest_v1.described import Adder, form, in_path, in_query

_IDEMPOTENCY: Final = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "maxLength": 255},
    "description": "A repeated request with the same key and body gets the same task; with another body it is refused with 422.",
}


def router() -> APIRouter:
    """All routes, without a prefix: to be included at ``/`` and at ``/v1``."""
    routes = APIRouter(default_response_class=SortedJson)
    add = Adder(routes)
    add("POST", "/compute/jobs/upload", compute.submit_upload, "compute", status=201,
        takes=[_MACHINE, _IDEMPOTENCY], form=form("multipart/form-data", file=_FILE, account=_TEXT, env=_ENV))  # fmt: skip
    add("POST", "/compute/jobs/path", compute.submit_path, "compute", status=201,
        takes=[_MACHINE, _IDEMPOTENCY],
        form=form("application/x-www-form-urlencoded", targetPath=_TEXT, account=_TEXT, env=_ENV))  # fmt: skip
    add("DELETE", "/compute/jobs/{jobid}", compute.cancel, "compute", takes=[_MACHINE, in_path("jobid")])
    add("GET", "/compute/status", compute.status, "compute")
    add("GET", "/tasks", tasks.some, "tasks", takes=[in_query("tasks", "Ids, separated by commas; all without it.")])
    add("GET", "/tasks/", tasks.some, "tasks", shown=False)
    # Before the route with an id: these were never public (contract 15.29, D12).
    for path in ("/", "/tasks/tasklist", "/tasks/taskslist"):
        routes.add_api_route(path, _invalid, methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    add("GET", "/tasks/{task_id}", tasks.one, "tasks", takes=[in_path("task_id")])
    add("GET", "/status/systems", status.systems, "status")
    add("GET", "/status/systems/{machine}", status.system, "status", takes=[in_path("machine")])
    add("GET", "/status/parameters", status.parameters, "status")
    utilities_routes.add_to(add)
    return routes


async def _invalid(request: Request) -> Response:
    return SortedJson({"message": "Invalid"}, status_code=400)


_FILE: Final = {"type": "string", "format": "binary", "description": "The batch script."}
_ENV: Final = {"type": "string", "description": "Environment variables of the job, as a JSON object."}
