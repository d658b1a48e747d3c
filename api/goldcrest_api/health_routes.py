"""``/livez`` and ``/readyz``, for the platform: without a token, and without anything about users."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from goldcrest_api.request_scope import context_of


def health_routes() -> APIRouter:
    """The two routes."""
    routes = APIRouter()
    routes.add_api_route("/livez", _live, methods=["GET"], include_in_schema=False, response_model=None)
    routes.add_api_route("/readyz", _ready, methods=["GET"], include_in_schema=False, response_model=None)
    return routes


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    """Ready once the caches have been filled (before that, tasks would seem not to exist), and while they are kept up to date."""
    context = context_of(request)
    watches = {
        f"{reflector.kind.plural}_stale_seconds": round(reflector.stale_seconds) for reflector in context.reflectors
    }
    reason = context.unready()
    if reason is None:
        return JSONResponse({"status": "ok", **watches})
    return JSONResponse({"status": reason, **watches}, status_code=503)
