"""``/livez`` and ``/readyz``, for the platform: without a token, and without anything about users."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldcrest_api.request_scope import context_of


def health_routes() -> list[Route]:
    """The two routes."""
    return [Route("/livez", _live), Route("/readyz", _ready)]


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
