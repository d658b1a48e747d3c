"""The pages of documentation, ``/docs`` and ``/openapi.json``, made from the routes of the dialects.

All that the page needs comes from here: it works where there is no internet, and nobody else learns who reads it.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from goldcrest_api.settings import FIRECREST_VERSION

_TITLE: Final = "Goldcrest"
_DESCRIPTION: Final = "/openapi.json"
_PAGE: Final = "/docs"
_PARTS: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
# Addresses are relative, so that the page works behind a proxy that serves us below a path.
_START: Final = """"use strict";
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset].filter(Boolean),
  validatorUrl: null,
});
"""
_HTML: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_POLICY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
_KEPT: Final = {"Cache-Control": "public, max-age=3600"}  # seconds; they change with a release only


def is_page(path: str) -> bool:
    """Whether the path is one of these pages or their parts."""
    return path in (_PAGE, _DESCRIPTION) or path.startswith(_PAGE + "/")


def pages(documented: APIRouter, about: str) -> list[Route]:
    """The routes. The description is made when it is first asked for.

    Args:
        about: what is said above all routes.
    """
    made: dict[str, Any] = {}

    async def description(_: Request) -> Response:
        if not made:
            made.update(_openapi(documented, about))
        return JSONResponse(made)

    return [Route(_DESCRIPTION, description), Route(_PAGE, _page), Route(_PAGE + "/{part}", _part)]


async def _page(_: Request) -> Response:
    return HTMLResponse(_HTML, headers=_POLICY)


async def _part(request: Request) -> Response:
    name = request.path_params["part"]
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=_KEPT)
    if name not in _PARTS:
        raise HTTPException(404)
    return FileResponse(_parts() / name, media_type=_PARTS[name], headers=_KEPT)


def _parts() -> Path:
    """Swagger UI's own files, of the package that brings them."""
    return Path(str(files("fastapi_offline") / "static"))


def _openapi(documented: APIRouter, about: str) -> dict[str, Any]:
    page = get_openapi(title=_TITLE, version=FIRECREST_VERSION, description=about, routes=documented.routes)
    schemes = page.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["token"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return page
