"""How routes are described: what the pages of ``/docs`` say of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]

MACHINE: Final = {
    "in": "header",
    "name": "X-Machine-Name",
    "required": True,
    "schema": {"type": "string"},
    "description": "Name of the system.",
}
TEXT: Final = {"type": "string"}


class Adder:
    """Adds routes with their description for the pages of /docs."""

    def __init__(self, routes: APIRouter) -> None:
        self._routes = routes

    def __call__(
        self,
        method: str,
        path: str,
        endpoint: Endpoint,
        tag: str,
        *,
        status: int = 200,
        takes: list[dict[str, Any]] | None = None,
        form: dict[str, Any] | None = None,
        shown: bool = True,
    ) -> None:
        extra: dict[str, Any] = {"security": [{"token": []}]}
        if takes:
            extra["parameters"] = takes
        if form:
            extra["requestBody"] = form
        self._routes.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            tags=[tag],
            summary=(endpoint.__doc__ or "").strip().split("\n")[0],
            response_model=None,
            openapi_extra=extra,
            include_in_schema=shown,
        )


def form(
    media_type: str, *, required: tuple[str, ...] = ("file", "targetPath"), **fields: dict[str, Any]
) -> dict[str, Any]:
    """A body that is a form; of ``required`` those fields that it has."""
    schema = {"type": "object", "properties": fields, "required": [name for name in required if name in fields]}
    return {"required": True, "content": {media_type: {"schema": schema}}}


def in_path(name: str) -> dict[str, Any]:
    """A parameter in the path."""
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string"}}


def in_query(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    """A parameter in the query."""
    return {
        "in": "query",
        "name": name,
        "required": required,
        "schema": {"type": "string"},
        "description": description,
    }


def in_header(name: str, description: str) -> dict[str, Any]:
    """An optional header of the request."""
    return {"in": "header", "name": name, "schema": {"type": "string"}, "description": description}
