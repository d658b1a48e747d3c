"""The ASGI application: dialects, health, pages of documentation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from goldcrest_api.bounds import AnswerBounds
from goldcrest_api.codes import Code, code_of_status
from goldcrest_api.context import Context
from goldcrest_api.dialect import Dialect, Fault
from goldcrest_api.dialects.registered import DIALECTS
from goldcrest_api.draining import Drain
from goldcrest_api.health_routes import health_routes
from goldcrest_api.maintenance import Maintenance, MaintenanceGate
from goldcrest_api.metrics import Metrics
from goldcrest_api.middleware import RequestLayer
from goldcrest_api.mounts import Mounts, answer_to, mounts_of
from goldcrest_api.overload import TooManyRequests
from goldcrest_api.pages import pages
from goldcrest_api.request_scope import note_code
from goldcrest_api.routes import allowed_methods, with_exact
from goldcrest_api.settings import Settings

_CORS_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
# What a page must be able to read of an answer, beside its body.
_CORS_EXPOSED: Final = (
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "WWW-Authenticate", "X-A-Directory", "X-Error",
    "X-Exists", "X-Goldcrest-Code", "X-Goldcrest-Retryable", "X-Invalid-Group", "X-Invalid-Mode", "X-Invalid-Owner", "X-Invalid-Path", "X-Machine-Does-Not-Exist",
    "X-Machine-Does-Not-Exists", "X-Machine-Not-Available", "X-Not-A-Directory", "X-Not-Found", "X-Output-Size", "X-Permission-Denied", "X-Request-ID",
    "X-Sbatch-Error", "X-Size-Limit", "X-Timeout", "traceparent",
)  # fmt: skip

OpenContext = Callable[[], AbstractAsyncContextManager[Context]]
"""Opens what requests are served with, and closes it when the server stops."""


def create_app(
    open_context: OpenContext,
    *,
    settings: Settings,
    maintenance: Maintenance | None = None,
    drain: Drain | None = None,
    metrics: Metrics | None = None,
    dialects: Sequence[Dialect] = DIALECTS,
) -> Starlette:
    """The gateway, opened and closed with the server's life.

    FastAPI describes the routes; Starlette serves them, as all endpoints take the bare request: FastAPI's own matching and
    dependencies would cost more than a whole command on a login node.

    Args:
        maintenance: the switch that takes it out of service.
        drain: told by the server when the process is about to end.

    Raises:
        InvalidInput: the dialects cannot stand side by side, or none is called as ``settings.root_dialect`` says.
    """
    mounts = Mounts(dialects, root=settings.root_dialect)
    switch = maintenance or Maintenance(None)
    end = drain or Drain()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_context() as context:
            app.state.context = context
            following = asyncio.create_task(switch.run())
            try:
                yield
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    app = _Gateway(
        routes=with_exact([*mounts.routes(), *health_routes(), *pages(*mounts.documented())]),
        middleware=[
            Middleware(RequestLayer, leaving=lambda: end.begun),
            *_cors(settings),
            Middleware(MaintenanceGate, maintenance=switch),
            Middleware(AnswerBounds, seconds=settings.limits.answer_seconds, size=settings.limits.answer_bytes),
        ],
        exception_handlers={**mounts.handlers(), HTTPException: _no_route, TooManyRequests: _too_many},
        lifespan=lifespan,
    )
    app.state.mounts = mounts
    app.state.drain = end
    app.state.maintenance = switch
    app.router.redirect_slashes = False
    app.state.metrics = metrics or Metrics()
    return app


class _Gateway(Starlette):
    """Starlette without the outermost of its layers: ours answers whatever goes wrong."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        for layer, args, options in reversed(self.user_middleware):
            app = layer(app, *args, **options)
        return app


class _Cors(CORSMiddleware):
    """Only for requests that a page of some origin sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(name == b"origin" for name, _ in scope["headers"]):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _cors(settings: Settings) -> list[Middleware]:
    """Without origins there is nothing to say to pages: a browser takes that for a no."""
    if not settings.cors.origins:
        return []
    return [
        Middleware(
            _Cors,
            allow_origins=settings.cors.origins,
            allow_methods=_CORS_METHODS,
            allow_headers=settings.cors.headers,
            expose_headers=_CORS_EXPOSED,
            max_age=settings.cors.max_age_seconds,
        )
    ]


async def _too_many(request: Request, error: Exception) -> Response:
    assert isinstance(error, TooManyRequests)  # noqa: S101  registered for this class only
    note_code(request, error.code, error.message)
    fault = Fault(429, Code(error.code, retryable=True), "Too many requests", error.message, error.headers)
    return answer_to(fault, request.scope)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class only
    told = mounts_of(request.scope).unknown(request.scope["path"]) if error.status_code == 404 else None
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request.app.routes, request.scope))
    fault = Fault(error.status_code, code_of_status(error.status_code), error.detail, told, headers)
    return answer_to(fault, request.scope)
