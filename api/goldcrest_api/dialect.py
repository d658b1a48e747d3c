"""What a dialect is: a REST API of its own over the same services, in a folder of its own under ``dialects``.

docs/extending.md says step by step how to add one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from goldcrest_api.codes import Code

Handler = Callable[[Request, Exception], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that no route of a dialect made: an unknown route, too many requests, a maintenance, a fault of our own.

    Args:
        title: what is wrong, in a few words that do not change.
        detail: a sentence more; None: there is none.
        headers: of the answer; those of the code are added.
    """

    status: int
    code: Code
    title: str
    detail: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect.

    Args:
        name: in labels of the resources that it makes (``hpc.goldcrest.dev/dialect``), and in the setting ROOT_DIALECT.
        prefix: of its routes: a slash and one word, ``/v1``.
        about: a sentence for /docs.
        routes: makes its routes, without the prefix; endpoints take the bare request (docs/decisions/0010).
        fault: the answer to a :class:`Fault`, in the shape that its clients know; of the path that was asked for, without the prefix.
        errors: what answers exceptions that its own routes raise, by class.
    """

    name: str
    prefix: str
    about: str
    routes: Callable[[], APIRouter]
    fault: Callable[[Fault, str], Response]
    errors: Mapping[type[Exception], Handler] = field(default_factory=lambda: MappingProxyType({}))
