"""The routes of the dialect, as one table: path, method, what does it, and what it takes."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from goldcrest_api.dialects.firecrest_v1 import (
    compute,
    events,
    output,
    queries,
    reservations,
    status,
    tasks,
    utilities_routes,
)
from goldcrest_api.dialects.firecrest_v1.answers import SortedJson
from goldcrest_api.dialects.firecrest_v1.described import MACHINE as _MACHINE
from goldcrest_api.dialects.firecrest_v1.described import TEXT as _TEXT
from goldcrest_api.dialects.firecrest_v1.described import Adder, form, in_header, in_path, in_query
from goldcrest_api.dialects.firecrest_v1.times import FORMATS

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
        takes=[_MACHINE, _IDEMPOTENCY], form=form("multipart/form-data", file=_FILE, account=_TEXT, env=_ENV, labels=_LABELS))  # fmt: skip
    add("POST", "/compute/jobs/path", compute.submit_path, "compute", status=201,
        takes=[_MACHINE, _IDEMPOTENCY],
        form=form("application/x-www-form-urlencoded", targetPath=_TEXT, account=_TEXT, env=_ENV, labels=_LABELS))  # fmt: skip
    add("GET", "/compute/jobs", queries.jobs, "compute",
        takes=[_MACHINE, in_query("jobs", "Job ids, separated by commas; all without it."), *_PAGES,
               in_query("userJobs", "false: also other users' jobs, without their files. Default: true.")])  # fmt: skip
    add("GET", "/compute/jobs/{jobid}", queries.job, "compute", takes=[_MACHINE, in_path("jobid")])
    add("GET", "/compute/acct", queries.accounting, "compute",
        takes=[_MACHINE, in_query("jobs", "Job ids, separated by commas."), *_PAGES,
               in_query("starttime", f"Jobs after this time: {FORMATS}."),
               in_query("endtime", "Jobs before this time, in the same formats.")])  # fmt: skip
    add("GET", "/compute/nodes", queries.nodes, "compute",
        takes=[_MACHINE, in_query("nodes", "Names, separated by commas; all without it.")])  # fmt: skip
    add("GET", "/compute/nodes/{nodeName}", queries.node, "compute", takes=[_MACHINE, in_path("nodeName")])
    add("GET", "/compute/partitions", queries.partitions, "compute",
        takes=[_MACHINE, in_query("partitions", "Names, separated by commas; all without it.")])  # fmt: skip
    add("GET", "/compute/reservations", queries.reservations, "compute",
        takes=[_MACHINE, in_query("reservations", "Names, separated by commas; all without it.")])  # fmt: skip
    add("DELETE", "/compute/jobs/{jobid}", compute.cancel, "compute", takes=[_MACHINE, in_path("jobid")])
    add("GET", "/compute/jobs/{jobid}/output", output.output, "compute",
        takes=[{**_MACHINE, "required": False}, in_path("jobid"), in_query("stream", "stdout (default) or stderr."),
               in_query("offset", "Bytes to leave out at the beginning."),
               in_query("follow", "true: the answer goes on until the job has ended.")])  # fmt: skip
    add("GET", "/compute/status", compute.status, "compute")
    add("GET", "/tasks", tasks.some, "tasks",
        takes=[in_query("tasks", "Ids, separated by commas; all without it."),
               in_query("labels", "Only those with these labels: name=value, or a name alone, separated by commas.")])  # fmt: skip
    add("GET", "/tasks/", tasks.some, "tasks", shown=False)
    # Before the route with an id: these were never public (contract 15.29, D12).
    for path in ("/", "/tasks/tasklist", "/tasks/taskslist"):
        routes.add_api_route(path, _invalid, methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
    add("GET", "/tasks/{task_id}", tasks.one, "tasks", takes=[in_path("task_id")])
    add(
        "GET",
        "/events",
        events.follow,
        "events",
        takes=[
            in_header("Last-Event-ID", "The last id that came: go on after it. Without it, all jobs are told first.")
        ],
    )
    add("GET", "/status/systems", status.systems, "status")
    add("GET", "/status/systems/{machine}", status.system, "status", takes=[in_path("machine")])
    add("GET", "/status/services", status.services, "status")
    add("GET", "/status/services/{service}", status.service, "status", takes=[in_path("service")])
    add("GET", "/status/filesystems", status.filesystems, "status")
    add("GET", "/status/filesystems/{machine}", status.filesystems_of, "status", takes=[in_path("machine")])
    add("GET", "/status/parameters", status.parameters, "status")
    utilities_routes.add_to(add)
    for path, shown in (("/reservations", True), ("/reservations/", False)):
        add("GET", path, reservations.some, "reservations", takes=[_MACHINE], shown=shown)
        add("POST", path, reservations.create, "reservations", status=201, takes=[_MACHINE], shown=shown,
            form=form("application/x-www-form-urlencoded", reservation=_TEXT, account=_TEXT, **_RESERVATION, required=_REQUIRED))  # fmt: skip
    add("GET", "/reservations/status", reservations.status, "reservations")
    add("PUT", "/reservations/{reservation}", reservations.update, "reservations",
        takes=[_MACHINE, in_path("reservation")], form=form("application/x-www-form-urlencoded", **_RESERVATION, required=_REQUIRED))  # fmt: skip
    add("DELETE", "/reservations/{reservation}", reservations.delete, "reservations", status=204,
        takes=[_MACHINE, in_path("reservation")])  # fmt: skip
    return routes


async def _invalid(request: Request) -> Response:
    return SortedJson({"message": "Invalid"}, status_code=400)


_FILE: Final = {"type": "string", "format": "binary", "description": "The batch script."}
_RESERVATION: Final[dict[str, dict[str, Any]]] = {
    "numberOfNodes": {"type": "integer", "minimum": 1},
    "nodeType": _TEXT,
    "starttime": {"type": "string", "description": "YYYY-MM-DDTHH:MM:SS"},
    "endtime": {"type": "string", "description": "YYYY-MM-DDTHH:MM:SS"},
}
_REQUIRED: Final = ("reservation", *_RESERVATION)
_ENV: Final = {"type": "string", "description": "Environment variables of the job, as a JSON object."}

_LABELS: Final = {"type": "string", "description": "Labels of your own, as a JSON object of texts; tasks show them."}


_PAGES: Final = (
    in_query("pageSize", "Entries of a page; 25 when only pageNumber is given."),
    in_query("pageNumber", "Which page; the first is 0."),
)
