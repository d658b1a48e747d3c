"""What a request carries through the process besides its own parts: the context, its trace, its id, its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request

from goldcrest.errors import Denied, GoldcrestError, Unauthenticated, Unavailable
from goldcrest.telemetry import Trace, current_trace
from goldcrest_api.context import Context
from goldcrest_api.draining import Drain
from goldcrest_api.maintenance import Closed, Maintenance


def context_of(request: Request) -> Context:
    """The process context, as the application was started with."""
    return cast("Context", request.app.state.context)


def maintenance_of(request: Request) -> Closed:
    """What is out of service now, by the gateway's own switch."""
    return cast("Maintenance", request.app.state.maintenance).now


def is_leaving(request: Request) -> bool:
    """Whether this process is about to end: answers without an end should find one."""
    return cast("Drain", request.app.state.drain).begun


def trace_of(request: Request) -> Trace:
    """The trace that this request belongs to."""
    return current_trace.get() or Trace.continued(request.headers.get("traceparent"))


def note_user(request: Request, user: str) -> None:
    """Let the access log name the user."""
    _state(request)["user"] = user


def note_system(request: Request, system: str) -> None:
    """Let metrics and spans name the System, which must exist."""
    _state(request)["system"] = system


def note_code(request: Request, code: str, reason: str) -> None:
    """Let the access log say why a request was refused; for reasons that hold nothing that users name."""
    _state(request).update(code=code, reason=reason)


def note_headers(request: Request, headers: Mapping[str, str]) -> None:
    """Headers that the answer gets, whichever it will be."""
    _state(request)["answer_headers"] = headers


def note_refusal(request: Request, refusal: Exception) -> None:
    """Let the access log say why a request was refused: the code of the error behind the answer.

    The reason itself only where it speaks of tokens, rights or what does not answer. Others name what users name.
    """
    error = refusal.__cause__
    if isinstance(error, GoldcrestError):
        _state(request)["code"] = error.code
        # A failed step carries the error that it failed with.
        cause = getattr(error, "cause", error)
        if isinstance(cause, Unauthenticated | Denied | Unavailable):
            _state(request)["reason"] = cause.message


def _state(request: Request) -> dict[str, Any]:
    """What ``request.state`` shows, without the object around it."""
    state: dict[str, Any] = request.scope.setdefault("state", {})
    return state
