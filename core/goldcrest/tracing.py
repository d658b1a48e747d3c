"""Spans of the one trace that goes through all parts, sent to an OpenTelemetry collector (OTLP over HTTP). Off without an endpoint.

Like logging, it is set up once for the process. A span is made only inside a trace that is recorded: what a process does by itself
(queries of a queue, renewals) makes none. Attributes name operation, system and Unix user; never paths, tokens or certificates.
"""

from __future__ import annotations

import random
import secrets
import time
from contextvars import Token
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from pydantic import BaseModel, ConfigDict, Field

from goldcrest.errors import GoldcrestError
from goldcrest.telemetry import Trace, current_trace

SERVER: Final = SpanKind.SERVER
CLIENT: Final = SpanKind.CLIENT
INTERNAL: Final = SpanKind.INTERNAL

FILTER: Final = "ssh-filter"  # it tells its times to whoever asked, and that one makes the spans

_QUEUE: Final = 8192  # spans that wait to be sent; further ones are dropped, for nothing may wait for a collector
_BATCH: Final = 512
_EVERY_MILLISECONDS: Final = 1000
_SEND_SECONDS: Final = 3


class TracingSettings(BaseModel):
    """Where spans are sent. The exporter also reads ``OTEL_EXPORTER_OTLP_HEADERS``, for collectors that want a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^/].*$",
        description="Base URL of an OTLP/HTTP receiver, e.g. http://otel-collector:4318; /v1/traces is added. Unset: no spans.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM certificates that an https receiver is verified against; default: the usual ones.",
    )
    ratio: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Part of the reading requests (GET) without a trace of their own of which spans are made; of those that change something they are always made. A request that brings a trace says itself whether it is recorded.",
    )


class _Recorder:
    """Hands spans to one processor, under the names of the services that they are of.

    They are made when they are over, as what the SDK exports, and not by its tracer: that takes several times as long, and would
    decide on ids and sampling, which are decided before, as logs, certificates and annotations have them in any case.
    """

    def __init__(self, process: str, exporter: SpanExporter, *, ratio: float) -> None:
        self._ratio = ratio
        self._processor = BatchSpanProcessor(
            exporter, max_queue_size=_QUEUE, max_export_batch_size=_BATCH, schedule_delay_millis=_EVERY_MILLISECONDS
        )
        self._own, self._filter = _service(f"goldcrest-{process}"), _service(FILTER)

    def chosen(self, *, reading: bool) -> bool:
        return not reading or random.random() < self._ratio  # noqa: S311  no secret

    def record(
        self,
        name: str,
        trace: Trace,
        parent: Trace | None,
        *,
        kind: SpanKind,
        attributes: dict[str, Any],
        began: int,
        ended: int,
        error: str,
        of_filter: bool = False,
    ) -> None:
        """Take a span.

        Args:
            began, ended: nanoseconds of the epoch.
            error: code of what went wrong; empty when nothing did.
        """
        if error:
            attributes["error.type"] = error
        self._processor.on_end(
            ReadableSpan(
                name,
                context=_context(trace),
                parent=_context(parent) if parent is not None else None,
                resource=self._filter if of_filter else self._own,
                attributes=attributes,
                kind=kind,
                status=_FAILED if error else _UNSET,
                start_time=began,
                end_time=ended,
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _service(name: str) -> Resource:
    return Resource({"service.name": name, "service.namespace": "goldcrest"})


def _context(trace: Trace) -> SpanContext:
    return SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=False, trace_flags=_RECORDED)


_SCOPE: Final = InstrumentationScope("goldcrest")
_FAILED: Final = Status(StatusCode.ERROR)
_UNSET: Final = Status(StatusCode.UNSET)
_RECORDED: Final = TraceFlags(TraceFlags.SAMPLED)
_recorder: _Recorder | None = None


class Stopping(Protocol):
    """Ends what :func:`start_tracing` began."""

    def __call__(self) -> None: ...


def start_tracing(process: str, settings: TracingSettings) -> Stopping:
    """Send spans from now on, if an endpoint is set.

    Args:
        process: api, operator, delegation or admission.

    Returns:
        Sends what waits, for some seconds at most, and ends it.
    """
    if settings.endpoint is None:
        return _nothing
    exporter = OTLPSpanExporter(
        endpoint=settings.endpoint.rstrip("/") + "/v1/traces",
        certificate_file=str(settings.ca_file) if settings.ca_file else None,
        timeout=_SEND_SECONDS,
    )
    return record_to(process, exporter, ratio=settings.ratio)


def record_to(process: str, exporter: SpanExporter, *, ratio: float = 1.0) -> Stopping:
    """As :func:`start_tracing`, to any exporter."""
    global _recorder
    _recorder = recorder = _Recorder(process, exporter, ratio=ratio)

    def stop() -> None:
        global _recorder
        _recorder = None
        recorder.close()

    return stop


def _nothing() -> None:
    """There was nothing to end."""


def sampled(*, reading: bool) -> bool:
    """Whether a trace that begins here is recorded. Without tracing the mark is set all the same: others may record it."""
    return _recorder is None or _recorder.chosen(reading=reading)


class Span:
    """One piece of work, as a context manager. ``trace`` is what further work is a part of: this span, or its parent when none is made."""

    __slots__ = (
        "_attributes",
        "_began",
        "_current",
        "_error",
        "_kind",
        "_name",
        "_parent",
        "_token",
        "recorded",
        "trace",
    )

    def __init__(
        self,
        name: str,
        trace: Trace,
        parent: Trace | None,
        *,
        kind: SpanKind,
        attributes: dict[str, Any],
        current: bool,
        recorded: bool,
    ) -> None:
        self.recorded = recorded
        self.trace = trace
        self._token: Token[Trace | None] | None = None
        self._current = current and recorded
        if recorded:
            self._name, self._parent, self._kind, self._error = name, parent, kind, ""
            self._attributes = _named(attributes)
            self._began = time.time_ns()

    def header_or(self, given: str) -> str:
        """``traceparent`` of this span; what was given where none is made."""
        return self.trace.header if self.recorded else given

    def note(self, **attributes: str | int | float | bool) -> None:
        """More attributes: ``operation="fs.stat"`` becomes ``goldcrest.operation``."""
        if self.recorded:
            self._attributes.update(_named(attributes))

    def rename(self, name: str) -> None:
        """When it is known only later what it is."""
        self._name = name

    def fail(self, code: str) -> None:
        """It did not succeed: the code of an error, not its message, which may name what users name."""
        self._error = code

    def end(self) -> None:
        """For spans that are no context managers."""
        if self.recorded and _recorder is not None:
            _recorder.record(
                self._name,
                self.trace,
                self._parent,
                kind=self._kind,
                attributes=self._attributes,
                began=self._began,
                ended=time.time_ns(),
                error=self._error,
            )

    def __enter__(self) -> Self:
        if self._current:
            self._token = current_trace.set(self.trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            current_trace.reset(self._token)
        if self.recorded:
            if error is not None:
                self.fail(code_of(error))
            self.end()


def code_of(error: BaseException) -> str:
    """What a span says of an error: never its message, which may name what users name."""
    return error.code if isinstance(error, GoldcrestError) else type(error).__name__


def span(
    name: str, parent: Trace | None = None, *, kind: SpanKind = INTERNAL, current: bool = True, **attributes: Any
) -> Span:
    """A span below ``parent``, or below the current trace.

    Args:
        current: logs and further spans inside of it are of it; false in generators, which others resume.
        attributes: ``operation``, ``system``, …; named ``goldcrest.…``.
    """
    above = parent if parent is not None else current_trace.get()
    if _recorder is None or above is None or not above.sampled:
        whole = above if above is not None else _UNKNOWN
        return Span(name, whole, None, kind=kind, attributes=attributes, current=False, recorded=False)
    own = Trace(above.trace_id, secrets.token_hex(8))
    return Span(name, own, above, kind=kind, attributes=attributes, current=current, recorded=True)


_UNKNOWN: Final = Trace("0" * 32, "0" * 16, sampled=False)


def entrance(name: str, trace: Trace, parent: Trace | None, *, kind: SpanKind = SERVER, **attributes: Any) -> Span:
    """The span that ``trace`` itself names, below the caller's: where a request comes in."""
    recorded = _recorder is not None and trace.sampled
    return Span(name, trace, parent, kind=kind, attributes=attributes, current=False, recorded=recorded)


def recording(trace: Trace | None) -> bool:
    """Whether spans are made in this trace."""
    return _recorder is not None and trace is not None and trace.sampled


def record(
    name: str,
    parent: Trace | None,
    *,
    began: float,
    ended: float,
    trace: Trace | None = None,
    of_filter: bool = False,
    kind: SpanKind = INTERNAL,
    error: str = "",
    **attributes: Any,
) -> Trace | None:
    """A span of what is over.

    Args:
        parent: None for the first span of ``trace``.
        began, ended: epoch seconds.
        trace: the span's own ids, where they were decided before.
        of_filter: it was done by ssh-filter.
        error: code of what went wrong.

    Returns:
        Its own ids; None when nothing was recorded.
    """
    above = trace or parent
    if _recorder is None or above is None or not above.sampled:
        return None
    own = trace or Trace(above.trace_id, secrets.token_hex(8))
    _recorder.record(
        name,
        own,
        parent,
        kind=kind,
        attributes=_named(attributes),
        began=int(began * 1e9),
        ended=int(max(began, ended) * 1e9),
        error=error,
        of_filter=of_filter,
    )
    return own


def now() -> float:
    """Epoch seconds, for :func:`record`."""
    return time.time()


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"goldcrest.{name}": value for name, value in attributes.items()} if attributes else attributes
