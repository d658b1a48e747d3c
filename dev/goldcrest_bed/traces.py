"""Spans as the bed's receiver keeps them, and the tree that they make. Standard library only but for decoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_BAR = 40  # characters of the time line


@dataclass(frozen=True)
class Span:
    """One span. Times in epoch seconds; ``parent`` is empty for a first one."""

    trace: str
    id: str
    parent: str
    service: str
    name: str
    began: float
    ended: float
    error: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        return asdict(self)


def decode(body: bytes) -> list[Span]:
    """Spans of an ``ExportTraceServiceRequest`` (OTLP, protobuf)."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(resource.resource.attributes).get("service.name", "?")
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes = _attributes(span.attributes)
                error = str(attributes.get("error.type", "error")) if span.status.code == 2 else ""
                spans.append(
                    Span(
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        service,
                        span.name,
                        span.start_time_unix_nano / 1e9,
                        span.end_time_unix_nano / 1e9,
                        error,
                        attributes,
                    )
                )
    return spans


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def tree(spans: Sequence[Span]) -> str:
    """One trace as text: what is below what, when, and how long. Spans whose parent is not there stand at the left, as first ones do."""
    if not spans:
        return "no spans\n"
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.began, -span.ended)):
        below.setdefault(span.parent if span.parent in known else "", []).append(span)
    first = min(span.began for span in spans)
    whole = max(max(span.ended for span in spans) - first, 1e-6)
    rows: list[tuple[str, Span]] = []

    def walk(parent: str, lead: str) -> None:
        children = below.get(parent, [])
        for number, span in enumerate(children):
            last = number == len(children) - 1
            branch, follow = ("", "") if parent == "" else ("└─ " if last else "├─ ", "   " if last else "│  ")
            rows.append((f"{lead}{branch}{span.name}", span))
            walk(span.id, lead + follow)

    walk("", "")
    width = max(len(name) for name, _ in rows)
    services = max(len(span.service) for _, span in rows)
    return "".join(
        f"{name:<{width}}  {span.service:<{services}}  {1000 * (span.began - first):9.1f} {1000 * (span.ended - span.began):9.1f} ms"
        f"  {_bar(span, first, whole)}{f'  {span.error}' if span.error else ''}\n"
        for name, span in rows
    )


def _bar(span: Span, first: float, whole: float) -> str:
    start = min(_BAR - 1, int(_BAR * (span.began - first) / whole))
    length = max(1, round(_BAR * (span.ended - span.began) / whole))
    return "·" * start + "█" * min(length, _BAR - start) + "·" * max(0, _BAR - start - length)
