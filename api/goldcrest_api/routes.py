"""Routes as they are found: most by their exact path, the others one after another. Starlette alone would try a regular expression for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

_NONE: Final[tuple[Match, Scope]] = (Match.NONE, {})


class NamedRoute(Route):
    """A route that the access log can name, and that answers no HEAD where only GET was declared.

    Its errors are left to the application's handlers, which Starlette would look for twice.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], *, methods: set[str]) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.methods = methods
        handler: Callable[[Request], Awaitable[Response]] = endpoint

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handler(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE:
            child["route"] = self
        return match, child


def with_exact(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """The same routes, behind one that finds those without parameters at once."""
    exact: dict[tuple[str, str], NamedRoute] = {}
    for route in routes:
        if isinstance(route, NamedRoute) and "{" not in route.path:
            for method in route.methods or ():
                exact.setdefault((method, route.path), route)
    return [_Exact(exact), *routes]


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """Every method that a path can be asked with (RFC 9110 section 10.2.1); Starlette names those of the first route alone."""
    found = (route for route in routes if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE)
    return sorted({method for route in found for method in route.methods or ()})


class _Exact(BaseRoute):
    """Finds a route by method and path; what it does not find, wrong methods among it, the others answer."""

    def __init__(self, routes: dict[tuple[str, str], NamedRoute]) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return _NONE
        route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            return _NONE
        return Match.FULL, {"endpoint": route.endpoint, "path_params": {}, "route": route}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["route"].app(scope, receive, send)
