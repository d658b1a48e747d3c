"""Where dialects are served: each at its prefix, one of them at ``/`` as well; and who answers what no route answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from goldcrest.errors import InvalidInput
from goldcrest_api.codes import code_headers
from goldcrest_api.dialect import Dialect, Fault, Handler
from goldcrest_api.routes import NamedRoute

_PREFIX: Final = re.compile(r"/[a-z][a-z0-9-]*")
_OURS: Final = frozenset({"/livez", "/readyz", "/docs", "/openapi.json"})


class Mounts:
    """The dialects of a gateway, mounted.

    Args:
        dialects: at least one.
        root: name of the one at ``/``. Empty: the only one, where there is one; else none, for no client could know which is meant.

    Raises:
        InvalidInput: they cannot stand side by side, or none has that name.
    """

    def __init__(self, dialects: Sequence[Dialect], *, root: str = "") -> None:
        self._dialects = tuple(dialects)
        self.root = _root(self._dialects, root)
        _check(self._dialects, self.root)

    def routes(self) -> list[_Mounted]:
        """As Starlette serves them. Prefixes come first: a path parameter of the root's dialect takes nothing from another."""
        found = [route for dialect in self._dialects for route in _served(dialect, prefix=dialect.prefix)]
        return found if self.root is None else [*found, *_served(self.root, prefix="")]

    def documented(self) -> tuple[APIRouter, str]:
        """All routes, once, and what is said of them."""
        router = APIRouter()
        for dialect in self._dialects:
            router.include_router(dialect.routes(), prefix=dialect.prefix)
        return router, " ".join(dialect.about for dialect in self._dialects)

    def of(self, path: str) -> Dialect:
        """The dialect whose client asks for this path."""
        for dialect in self._dialects:
            if path == dialect.prefix or path.startswith(dialect.prefix + "/"):
                return dialect
        return self.root or self._dialects[0]

    def unknown(self, path: str) -> str | None:
        """What to say of a path at ``/`` that nothing serves."""
        served = any(path == one.prefix or path.startswith(one.prefix + "/") for one in self._dialects)
        if self.root is not None or served:
            return None
        return f"the API is served at {', '.join(one.prefix for one in self._dialects)}"

    def handlers(self) -> dict[type[Exception], Handler]:
        """For Starlette: each class of exception is answered by the dialect whose route raised it; of another's it stays what it is."""
        return {kind: _handler(kind) for dialect in self._dialects for kind in dialect.errors}


def mounts_of(scope: Scope) -> Mounts:
    """Those of the application that serves this request."""
    return cast("Mounts", scope["app"].state.mounts)


def answer_to(fault: Fault, scope: Scope) -> Response:
    """In the shape of the dialect that the request was for."""
    path = str(scope["path"])
    dialect = mounts_of(scope).of(path)
    response = dialect.fault(fault, path.removeprefix(dialect.prefix))
    response.headers.update({**fault.headers, **code_headers(fault.code)})
    return response


async def send_fault(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with it."""
    await answer_to(fault, scope)(scope, receive, send)


class _Mounted(NamedRoute):
    """A route of a dialect."""

    def __init__(self, dialect: Dialect, path: str, endpoint: Callable[..., Any], *, methods: set[str]) -> None:
        super().__init__(path, endpoint, methods=methods)
        self.dialect = dialect


def _served(dialect: Dialect, *, prefix: str) -> Iterator[_Mounted]:
    for route in dialect.routes().routes:
        if isinstance(route, APIRoute):
            yield _Mounted(dialect, prefix + route.path, route.endpoint, methods=set(route.methods or ()))


def _handler(kind: type[Exception]) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        route = request.scope.get("route")
        handler = route.dialect.errors.get(kind) if isinstance(route, _Mounted) else None
        if handler is None:
            raise error
        return await handler(request, error)

    return answer


def _root(dialects: Sequence[Dialect], name: str) -> Dialect | None:
    if not dialects:
        raise InvalidInput("a gateway speaks one dialect at least")
    if not name:
        return dialects[0] if len(dialects) == 1 else None
    for dialect in dialects:
        if dialect.name == name:
            return dialect
    raise InvalidInput(f"no dialect is called {name}: there are {', '.join(one.name for one in dialects)}")


def _check(dialects: Sequence[Dialect], root: Dialect | None) -> None:
    taken = set(_OURS)
    if root is not None:
        taken |= {"/" + path.split("/")[1] for path in _paths(root)} - {"/"}
    names: set[str] = set()
    for dialect in dialects:
        if not _PREFIX.fullmatch(dialect.prefix):
            raise InvalidInput(f"{dialect.prefix!r} of the dialect {dialect.name} is no prefix: write it as /v1")
        if dialect.prefix in taken or dialect.name in names:
            raise InvalidInput(f"the dialect {dialect.name} cannot be at {dialect.prefix}: the name or path is taken")
        taken.add(dialect.prefix)
        names.add(dialect.name)


def _paths(dialect: Dialect) -> Iterator[str]:
    return (route.path for route in dialect.routes().routes if isinstance(route, APIRoute))
