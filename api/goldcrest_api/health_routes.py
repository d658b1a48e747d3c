"""``/livez`` and ``/readyz``, for the platform: without a token, and without anything about users."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldcrest_api.request_scope import context_of, is_leaving, maintenance_of


def health_routes() -> list[Route]:
    """The two routes."""
    return [Route("/livez", _live), Route("/readyz", _ready)]


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    """Ready once the caches have been filled (before that, tasks would seem not to exist), while they are kept up to date, and until the
    process is asked to end.

    What all replicas need alike does not make one unready, or the tasks that each of them could still show would be gone for everybody:
    delegation and the store of rate limits are only named here.
    """
    context = context_of(request)
    told: dict[str, str | int] = {
        f"{reflector.kind.plural}_stale_seconds": round(reflector.stale_seconds) for reflector in context.reflectors
    }
    told["delegation_silent_seconds"] = round(context.delegation_silent())
    told["rate_limits"] = "each replica for itself: the store does not answer" if context.rates.alone else "ok"
    told["maintenance"] = "on" if maintenance_of(request).message else "off"
    reason = "the process is about to end" if is_leaving(request) else context.unready()
    if reason is None:
        return JSONResponse({"status": "ok", **told})
    return JSONResponse({"status": reason, **told}, status_code=503)
