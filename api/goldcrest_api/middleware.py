"""The outermost layer of every request: id, trace, access log, security headers, and an answer whatever happens."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldcrest.propagation import Incoming, incoming, outgoing
from goldcrest.telemetry import Log, Trace, current_trace
from goldcrest.tracing import Span, entrance, sampled
from goldcrest_api.codes import Code
from goldcrest_api.dialect import Fault
from goldcrest_api.metrics import Metrics
from goldcrest_api.mounts import send_fault

_log = Log("goldcrest_api.access")

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_QUIET: Final = frozenset({"/livez", "/readyz"})  # asked every few seconds by the platform
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_CONTENT_POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'"  # the answers are data; pages have one of their own
)
_FAULT: Final = Code("InternalError")


class RequestLayer:
    """ASGI middleware. ``X-Request-ID`` and trace context (:mod:`goldcrest.propagation`) are taken over when they are well-formed, and sent back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        context = incoming(headers)
        trace = _trace(context, scope["method"])
        token = current_trace.set(trace)
        answer = _Answer(send, request_id=request_id, headers=outgoing(trace, context.form))
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

    def __init__(self, send: Send, *, request_id: str, headers: Mapping[str, str]) -> None:
        self._send = send
        self._request_id = request_id
        self._headers = headers
        self.started = False
        self.status = 0
        self.bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", _CONTENT_POLICY)
            headers["X-Request-ID"] = self._request_id
            for name, value in self._headers.items():
                headers[name] = value
            message["headers"] = headers.raw
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)


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
