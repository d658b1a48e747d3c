"""The outermost layer of every request: id, trace, access log, security headers, and an answer whatever happens."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldcrest.propagation import Incoming, incoming, outgoing
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.tracing import Span, entrance, sampled
from goldcrest_api.codes import CODE_HEADER, Code, code_headers, code_of_status
from goldcrest_api.dialect import Fault
from goldcrest_api.metrics import Metrics
from goldcrest_api.mounts import send_fault

_log = Log("goldcrest_api.access")

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_QUIET: Final = frozenset({"/livez", "/readyz"})  # asked every few seconds by the platform
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    # The answers are data; pages have a policy of their own.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_HTTPS_ONLY: Final = b"max-age=31536000"  # seconds: a year (RFC 6797)
_CODE: Final = CODE_HEADER.lower().encode()
_FAULT: Final = Code("InternalError")


class RequestLayer:
    """ASGI middleware. ``X-Request-ID`` and trace context (:mod:`goldcrest.propagation`) are taken over when they are well-formed, and sent back.

    Args:
        leaving: whether the process is about to end.
    """

    def __init__(self, app: ASGIApp, *, leaving: Callable[[], bool]) -> None:
        self._app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Of a header that is there twice, the first.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        context = incoming(headers)
        trace = _trace(context, scope["method"])
        token = current_trace.set(trace)
        told = {"X-Request-ID": request_id, **outgoing(trace, context.form)}
        answer = _Answer(scope, send, headers=_raw(told), leaving=self._leaving)
        metrics: Metrics = scope["app"].state.metrics
        metrics.begins()
        step = entrance(scope["method"], trace, context.parent)
        began = time.perf_counter()
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            _log.exception("request.broken", request_id=request_id, route=_route(scope))
            if not answer.started:
                fault = Fault(500, _FAULT, "Internal error", f"request {request_id}")
                await send_fault(fault, scope, receive, answer.send)
        finally:
            seconds = time.perf_counter() - began
            _report(scope, answer, request_id, milliseconds=seconds * 1000)
            _measure(scope, answer, metrics, step, seconds)
            step.end()
            current_trace.reset(token)


class _Answer:
    """Passes an answer on, with our headers, and remembers its status and size."""

    def __init__(self, scope: Scope, send: Send, *, headers: dict[bytes, bytes], leaving: Callable[[], bool]) -> None:
        self._scope = scope
        self._send = send
        self._headers = headers
        self._leaving = leaving
        self.started = False
        self.status = 0
        self.bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message["headers"] = self._with_ours(message["headers"])
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    def _with_ours(self, raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """What the answer itself says counts, but for what says which request and trace it is of, and that the connection ends."""
        own = self._headers
        if self._leaving():
            own[b"connection"] = b"close"  # the client's next request goes to another replica
        headers = [header for header in raw if header[0] not in own]
        said = {name for name, _ in headers}
        headers += [header for header in _HEADERS if header[0] not in said]
        if self._scope["scheme"] == "https" and b"strict-transport-security" not in said:
            headers.append((b"strict-transport-security", _HTTPS_ONLY))
        noted = self._scope.get("state", {}).get("answer_headers", {})  # by request_scope.note_headers
        headers += [header for header in _raw(noted).items() if header[0] not in said]
        if self.status >= 400 and _CODE not in said:  # made by what knows no codes
            headers += _raw(code_headers(code_of_status(self.status))).items()
        headers += own.items()
        return headers


def _raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode("latin-1") for name, value in headers.items()}


def _report(scope: Scope, answer: _Answer, request_id: str, *, milliseconds: float) -> None:
    fields: dict[str, Any] = {
        "method": scope["method"],
        "route": _route(scope),
        "status": answer.status,
        "milliseconds": round(milliseconds, 1),
        "bytes": answer.bytes,
        "user": scope.get("state", {}).get("user"),
        "client": (scope.get("client") or ("",))[0],
        "request_id": request_id,
    }
    if answer.status >= 400:  # why, in the log alone where the answer's words are the contract's
        state = scope.get("state", {})
        fields |= {name: state[name] for name in ("code", "reason") if name in state}
    # The route, not the path: paths and queries hold what users name.
    if scope["path"] in _QUIET:
        _log.debug("request", **fields)
    else:
        _log.info("request", **fields)


def _trace(context: Incoming, method: str) -> Trace:
    """The span of this request: in the caller's trace, or the first of its own."""
    chosen = sampled(reading=method in _READING) if context.sampled is None else context.sampled
    if context.parent is None:
        return Trace.new(sampled=chosen)
    return replace(Trace.continued(context.parent.header), sampled=chosen)


def _measure(scope: Scope, answer: _Answer, metrics: Metrics, step: Span, seconds: float) -> None:
    state = scope.get("state", {})
    system, cause = state.get("system", ""), state.get("code", "") if answer.status >= 400 else ""
    route = _route(scope)
    metrics.ends(method=scope["method"], route=route, code=answer.status, seconds=seconds, system=system, cause=cause)
    if step.recorded:
        step.rename(f"{scope['method']} {route}")
        step.note(status=answer.status, **({"system": system} if system else {}))
        if answer.status >= 500 or cause:
            step.fail(cause or str(answer.status))


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "")) or "unknown"
