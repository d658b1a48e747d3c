"""The ASGI application: dialects, health, pages of documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from goldcrest_api.context import Context
from goldcrest_api.dialects import firecrest_v1
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson, answer_refusal
from goldcrest_api.health_routes import health_routes
from goldcrest_api.metrics import Metrics
from goldcrest_api.middleware import RequestLayer
from goldcrest_api.pages import pages

OpenContext = Callable[[], AbstractAsyncContextManager[Context]]
"""Opens what requests are served with, and closes it when the server stops."""


def create_app(open_context: OpenContext, metrics: Metrics | None = None) -> Starlette:
    """The gateway, opened and closed with the server's life.

    FastAPI describes the routes; Starlette serves them, as all endpoints take the bare request: FastAPI's own matching and
    dependencies would cost more than a whole command on a login node.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_context() as context:
            app.state.context = context
            yield

    documented = APIRouter()
    documented.include_router(firecrest_v1.router(), prefix=firecrest_v1.BASE_PATH)
    app = Starlette(
        # At the root too, where clients of the original look for them; documented once.
        routes=[
            *_served(firecrest_v1.router(), prefix=""),
            *_served(firecrest_v1.router(), prefix=firecrest_v1.BASE_PATH),
            *health_routes(),
            *pages(documented),
        ],
        middleware=[Middleware(RequestLayer)],
        exception_handlers={Refusal: answer_refusal, HTTPException: _no_route},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.metrics = metrics or Metrics()
    return app


class _Named(Route):
    """A route that the access log can name, and that answers no HEAD where only GET was declared."""

    def __init__(self, path: str, endpoint: Callable[..., object], *, methods: set[str]) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.methods = methods

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def _served(routes: APIRouter, *, prefix: str) -> list[Route]:
    return [
        _Named(prefix + route.path, route.endpoint, methods=set(route.methods or ()))
        for route in routes.routes
        if isinstance(route, APIRoute)
    ]


async def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class only
    return SortedJson({"description": error.detail}, status_code=error.status_code, headers=error.headers)
