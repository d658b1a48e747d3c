"""Trace context in the headers of a request: what others send, in whichever of the usual forms, and the same form back.

W3C ``traceparent``, ``b3`` in one header and in several (openzipkin/b3-propagation), ``uber-trace-id`` (Jaeger). Where a request has more
than one, the first of them counts, in this order. What is malformed is as if it were not there: the standard says to start anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from goldcrest.telemetry import Trace

_LONGEST: Final = 256  # characters of a header; none of the forms is longer
_B3: Final = re.compile(r"([0-9a-fA-F]{16}|[0-9a-fA-F]{32})-([0-9a-fA-F]{16})(?:-([01d])(?:-[0-9a-fA-F]{16})?)?")
_B3_TRACE: Final = re.compile(r"[0-9a-fA-F]{16}|[0-9a-fA-F]{32}")
_B3_SPAN: Final = re.compile(r"[0-9a-fA-F]{16}")
_UBER: Final = re.compile(r"([0-9a-fA-F]{1,32}):([0-9a-fA-F]{1,16}):[0-9a-fA-F]{0,16}:([0-9a-fA-F]{1,2})")
_SAMPLED: Final = {"1": True, "d": True, "true": True, "0": False, "false": False}


class Form(StrEnum):
    """How a trace is written into headers."""

    W3C = "traceparent"
    B3 = "b3"
    B3_MULTI = "x-b3-traceid"
    UBER = "uber-trace-id"


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a request says about traces.

    Args:
        parent: the caller's span; None when there is none.
        sampled: whether the trace is to be recorded; None leaves that to us.
    """

    parent: Trace | None = None
    sampled: bool | None = None
    form: Form = Form.W3C


def incoming(headers: Mapping[str, str]) -> Incoming:
    """Read the headers of a request; their names are looked up in lower case."""
    for form, read in _READERS:
        found = read(headers) if form in headers or form is Form.B3_MULTI else None
        if found is not None:
            return found
    return Incoming()


def outgoing(trace: Trace, form: Form) -> dict[str, str]:
    """Headers of an answer: always ``traceparent``, and the form that the request had."""
    headers = {"traceparent": trace.header}
    sampled = "1" if trace.sampled else "0"
    if form is Form.B3:
        headers["b3"] = f"{trace.trace_id}-{trace.span_id}-{sampled}"
    elif form is Form.B3_MULTI:
        headers |= {"X-B3-TraceId": trace.trace_id, "X-B3-SpanId": trace.span_id, "X-B3-Sampled": sampled}
    elif form is Form.UBER:
        headers["uber-trace-id"] = f"{trace.trace_id}:{trace.span_id}:0:{sampled}"
    return headers


def _traceparent(headers: Mapping[str, str]) -> Incoming | None:
    parent = Trace.parse(headers["traceparent"])
    return Incoming(parent, parent.sampled) if parent else None


def _b3(headers: Mapping[str, str]) -> Incoming | None:
    value = headers["b3"].strip()
    if value in ("0", "1", "d"):  # only whether to record
        return Incoming(None, _SAMPLED[value], Form.B3)
    match = _B3.fullmatch(value)
    return _found(Form.B3, match[1], match[2], _SAMPLED.get(match[3] or "")) if match else None


def _b3_multi(headers: Mapping[str, str]) -> Incoming | None:
    sampled = True if headers.get("x-b3-flags") == "1" else _SAMPLED.get(headers.get("x-b3-sampled", "").lower())
    trace, span = headers.get("x-b3-traceid", ""), headers.get("x-b3-spanid", "")
    if _B3_TRACE.fullmatch(trace) and _B3_SPAN.fullmatch(span):
        return _found(Form.B3_MULTI, trace, span, sampled)
    return Incoming(None, sampled, Form.B3_MULTI) if sampled is not None else None


def _uber(headers: Mapping[str, str]) -> Incoming | None:
    value = headers["uber-trace-id"]
    match = _UBER.fullmatch(unquote(value).strip()) if len(value) <= _LONGEST else None
    return _found(Form.UBER, match[1], match[2], bool(int(match[3], 16) & 1)) if match else None


def _found(form: Form, trace_id: str, span_id: str, sampled: bool | None) -> Incoming | None:
    trace_id, span_id = trace_id.lower().zfill(32), span_id.lower().zfill(16)
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Incoming(Trace(trace_id, span_id, sampled=sampled is not False), sampled, form)


_READERS: Final[tuple[tuple[Form, Callable[[Mapping[str, str]], Incoming | None]], ...]] = (
    (Form.W3C, _traceparent),
    (Form.B3, _b3),
    (Form.B3_MULTI, _b3_multi),
    (Form.UBER, _uber),
)
