"""A second dialect beside the first: the one that docs/extending.md shows, as it stands there, and a route that fails."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"


def _shown() -> Any:
    names: dict[str, Any] = {"__name__": "sizes"}
    block = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    return names["DIALECT"]


async def _broken(_: Request) -> Response:
    raise RuntimeError("internal detail")


def _routes() -> APIRouter:
    table: APIRouter = _SHOWN.routes()
    table.add_api_route("/broken", _broken, methods=["POST"], response_model=None)
    return table


_SHOWN = _shown()
DIALECT = replace(_SHOWN, routes=_routes)
