"""The HTTP face of delegation: the interface that :mod:`goldcrest.authority` speaks."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from goldcrest.errors import (
    Conflict,
    Denied,
    GoldcrestError,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from goldcrest.telemetry import Log
from goldcrest_delegation.callers import Caller
from goldcrest_delegation.context import Context
from goldcrest_delegation.metrics import Metrics
from goldcrest_delegation.signing import error_body

CERTIFICATES: Final = "/v1/certificates"
BODY_LIMIT: Final = 4 * 1024 * 1024  # bytes: 64 requests of up to 64 KiB
HOLDER_HEADER: Final = "X-Goldcrest-Holder"  # Lease identity of the operator that calls

_STATUS: Final[tuple[tuple[type[GoldcrestError], int], ...]] = (
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (InvalidInput, 400),
    (Unavailable, 503),
)

_log = Log(__name__)

_Handler = Callable[[Request], Awaitable[Response]]


def build_app(context: Context) -> ASGIApp:
    """The application over a context that was built once."""

    metrics = context.metrics

    async def certificates(request: Request) -> Response:
        caller = await _caller(context, request)
        requests = (await _body(request)).get("requests")
        if not isinstance(requests, list):
            raise InvalidInput("requests must be a list")
        outcomes = await context.signer.certificates(caller, requests)
        results = []
        for value, outcome in zip(requests, outcomes, strict=True):
            result: dict[str, Any] = {"id": value.get("id") if isinstance(value, dict) else None}
            if isinstance(outcome, GoldcrestError):
                result["error"] = error_body(outcome)
            else:
                result["certificate"] = base64.b64encode(outcome.wire).decode()
            results.append(result)
        return _json({"results": results})

    async def grants(request: Request) -> Response:
        caller = await _caller(context, request)
        return _json({"grant": await context.granter.grant(caller, await _body(request))})

    async def action_grants(request: Request) -> Response:
        caller = await _caller(context, request)
        return _json({"grant": await context.granter.action_grant(caller, await _body(request))})

    async def blocked(request: Request) -> Response:
        await _caller(context, request)
        return _json((await context.blocks.now()).dump())

    async def jwks(_: Request) -> Response:
        return _json({"keys": list(context.grant_jwks)})

    async def alive(_: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def ready(_: Request) -> Response:
        fault = await context.readiness.fault()
        if fault:
            return Response(fault + "\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    most_asked = _answering(certificates, metrics)
    others = Starlette(
        routes=[
            Route(CERTIFICATES, most_asked, methods=["POST"]),
            Route("/v1/grants", _answering(grants, metrics), methods=["POST"]),
            Route("/v1/action-grants", _answering(action_grants, metrics), methods=["POST"]),
            Route("/v1/blocked", _answering(blocked, metrics)),
            Route("/v1/jwks", jwks),
            Route("/livez", alive),
            Route("/readyz", ready),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Straight to what is asked before every command; Starlette's layers would do nothing for it but take their time.
        if scope["type"] == "http" and scope["path"] == CERTIFICATES and scope["method"] == "POST":
            response = await most_asked(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app


def _answering(handler: _Handler, metrics: Metrics) -> _Handler:
    """Errors as E with the right status; what is not ours is logged, and told as little."""

    async def measured(request: Request) -> Response:
        began = time.perf_counter()
        response = await answer(request)
        call, seconds = request.scope["path"].rpartition("/")[2], time.perf_counter() - began
        asyncio.get_running_loop().call_soon(metrics.request, call, response.status_code, seconds)  # after the answer
        return response

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except GoldcrestError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            return _json(error_body(error), status)
        except Exception:
            _log.exception("delegation.request.failed", path=request.url.path)
            return _json({"code": "Error", "message": "delegation failed; its log says why", "retryable": True}, 500)

    return measured


async def _caller(context: Context, request: Request) -> Caller:
    headers = request.headers
    try:
        return await context.callers.of(headers.get("Authorization", ""), holder=headers.get(HOLDER_HEADER, ""))
    except GoldcrestError as error:
        context.metrics.caller_refused(error)
        # Not in the audit log: strangers must not be able to fill the disk without which nothing is signed.
        _log.warning("delegation.caller.refused", path=request.url.path, code=error.code, message=error.message)
        raise


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > BODY_LIMIT:
            raise TooLarge(f"the request is larger than {BODY_LIMIT} bytes")
    try:
        body = orjson.loads(bytes(data))
    except ValueError as error:
        raise InvalidInput("the body is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object")
    return body


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
