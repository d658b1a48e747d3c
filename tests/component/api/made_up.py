"""A small second dialect, as docs/extending.md says how to write one: its own routes, its own shape of errors."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from goldcrest.commands import StatFile
from goldcrest.errors import GoldcrestError, NotFound
from goldcrest_api.codes import Code, code_headers, code_of
from goldcrest_api.dialect import Dialect
from goldcrest_api.entering import enter


def _problem(status: int, code: Code, title: str, detail: str | None) -> Response:
    """RFC 9457."""
    body = {"type": f"urn:example:{code.name}", "title": title, "status": status, "retry": code.retryable}
    if detail is not None:
        body["detail"] = detail
    told = code_headers(code)
    return JSONResponse(body, status_code=status, headers=told, media_type="application/problem+json")


async def size(request: Request) -> Response:
    """Size of a file on a system."""
    entered = await enter(request)
    system = entered.context.systems.get(request.path_params["system"])
    if system is None:
        raise NotFound("there is no such system")
    command = StatFile(request.query_params["path"], dereference=True)
    answer = await entered.context.files.run(command, system=system, caller=entered.caller, trace=entered.trace)
    return JSONResponse({"bytes": answer.result["size"], "user": entered.caller.user})


async def broken(_: Request) -> Response:
    """A fault of its own."""
    raise RuntimeError("internal detail")


def _routes() -> APIRouter:
    routes = APIRouter()
    routes.add_api_route("/systems/{system}/size", size, methods=["GET"], tags=["files"], response_model=None)
    routes.add_api_route("/broken", broken, methods=["POST"], tags=["files"], response_model=None)
    return routes


async def _answer(_: Request, error: Exception) -> Response:
    code = code_of(error) or Code("Error")
    status = {"TokenMissing": 401, "NotFound": 404}.get(code.name, 503 if code.retryable else 400)
    return _problem(status, code, "It cannot be done", str(error))


DIALECT: Final = Dialect(
    name="made-up",
    prefix="/made-up",
    about="A dialect of tests.",
    routes=_routes,
    fault=lambda fault: _problem(fault.status, fault.code, fault.title, fault.detail),
    errors={GoldcrestError: _answer},
)
