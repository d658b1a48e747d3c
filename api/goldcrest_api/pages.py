"""The pages of documentation, ``/docs`` and ``/openapi.json``, made from the routes of the dialects."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from goldcrest_api.settings import FIRECREST_VERSION

_TITLE: Final = "Goldcrest"
_ABOUT: Final = "Programmatic access to HPC systems, in the dialect of FirecREST v1."
_DESCRIPTION: Final = "/openapi.json"


def pages(documented: APIRouter) -> list[Route]:
    """The two routes. The description is made when it is first asked for."""
    made: dict[str, Any] = {}

    async def description(_: Request) -> Response:
        if not made:
            made.update(_openapi(documented))
        return JSONResponse(made)

    async def page(request: Request) -> Response:
        return get_swagger_ui_html(openapi_url=request.scope.get("root_path", "") + _DESCRIPTION, title=_TITLE)

    return [Route(_DESCRIPTION, description), Route("/docs", page)]


def _openapi(documented: APIRouter) -> dict[str, Any]:
    page = get_openapi(title=_TITLE, version=FIRECREST_VERSION, description=_ABOUT, routes=documented.routes)
    schemes = page.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["token"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return page
