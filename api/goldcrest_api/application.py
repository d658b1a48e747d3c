"""The ASGI application: dialects, health, pages of documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from goldcrest_api.context import Context
from goldcrest_api.dialects import firecrest_v1
from goldcrest_api.dialects.firecrest_v1.answers import Refusal, SortedJson, answer_refusal
from goldcrest_api.health_routes import health_routes
from goldcrest_api.middleware import RequestLayer
from goldcrest_api.settings import FIRECREST_VERSION

OpenContext = Callable[[], AbstractAsyncContextManager[Context]]
"""Opens what requests are served with, and closes it when the server stops."""

_ABOUT = "Programmatic access to HPC systems, in the dialect of FirecREST v1."


def create_app(open_context: OpenContext) -> FastAPI:
    """The gateway, opened and closed with the server's life."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context() as context:
            app.state.context = context
            yield

    app = FastAPI(
        title="Goldcrest",
        description=_ABOUT,
        version=FIRECREST_VERSION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={Refusal: answer_refusal, HTTPException: _no_route},
    )
    app.add_middleware(RequestLayer)
    app.include_router(health_routes())
    app.include_router(firecrest_v1.router(), prefix=firecrest_v1.BASE_PATH)
    # Also where clients of the original look for it; documented once.
    app.include_router(firecrest_v1.router(), include_in_schema=False)
    _declare_token(app)
    return app


async def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class only
    return SortedJson({"description": error.detail}, status_code=error.status_code, headers=error.headers)


def _declare_token(app: FastAPI) -> None:
    original = app.openapi

    def with_token() -> dict[str, Any]:
        page = original()
        schemes = page.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        return page

    app.openapi = with_token  # type: ignore[method-assign]
