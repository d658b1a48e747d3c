"""Spans: below what they should be, off without an endpoint, and with nothing in them that users name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from goldcrest import tracing
from goldcrest.errors import Denied
from goldcrest.telemetry import Trace, current_trace
from goldcrest.tracing import TracingSettings, entrance, record, record_to, recording, sampled, span, start_tracing

pytestmark = pytest.mark.unit

TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


class Recorded:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.stop = record_to("api", self.exporter, ratio=0.0)

    def spans(self) -> dict[str, ReadableSpan]:
        self.stop()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    recorded = Recorded()
    yield recorded
    recorded.stop()


def parent_of(made: ReadableSpan) -> str | None:
    return None if made.parent is None else f"{made.parent.span_id:016x}"


def id_of(made: ReadableSpan) -> str:
    assert made.context is not None
    assert f"{made.context.trace_id:032x}" == TRACE.trace_id
    return f"{made.context.span_id:016x}"


def test_a_tree(recorded: Recorded) -> None:
    """The entrance has the ids that were given back to the caller; what is inside is below it, and logs are told so."""
    caller = Trace(TRACE.trace_id, "1" * 16)
    with entrance("GET", TRACE, caller) as whole, span("command", TRACE, operation="fs.stat") as outer:
        whole.rename("GET /utilities/stat")
        assert current_trace.get() == outer.trace
        with span("certificate") as inner:
            assert inner.trace.trace_id == TRACE.trace_id
            assert inner.header_or("") == inner.trace.header
        assert current_trace.get() == outer.trace
    assert current_trace.get() is None
    spans = recorded.spans()
    assert set(spans) == {"GET /utilities/stat", "command", "certificate"}
    assert (id_of(spans["GET /utilities/stat"]), parent_of(spans["GET /utilities/stat"])) == (TRACE.span_id, "1" * 16)
    assert parent_of(spans["command"]) == TRACE.span_id
    assert parent_of(spans["certificate"]) == id_of(spans["command"])
    assert spans["command"].attributes == {"goldcrest.operation": "fs.stat"}
    assert {made.resource.attributes["service.name"] for made in spans.values()} == {"goldcrest-api"}


def test_what_was_told_afterwards(recorded: Recorded) -> None:
    """The filter's spans are of ssh-filter, with the times that it said."""
    whole = record("ssh-filter fs.stat", TRACE, began=10.0, ended=10.5, of_filter=True)
    record("verify", whole, began=10.0, ended=10.2, of_filter=True, error="replay")
    spans = recorded.spans()
    made = spans["verify"]
    assert (made.start_time, made.end_time) == (10_000_000_000, 10_200_000_000)
    assert parent_of(made) == id_of(spans["ssh-filter fs.stat"])
    assert made.resource.attributes["service.name"] == "ssh-filter"
    assert (made.attributes or {})["error.type"] == "replay"


def test_errors_without_their_words(recorded: Recorded) -> None:
    """The code of an error, never its message: that may name what users name."""
    with pytest.raises(Denied), span("command", TRACE):
        raise Denied("/home/alice/secret is not yours")
    made = recorded.spans()["command"]
    assert (made.attributes or {})["error.type"] == "PolicyDenied"
    assert "secret" not in made.to_json()


def test_nothing_outside_of_a_recorded_trace(recorded: Recorded) -> None:
    """What a process does by itself, and what was not chosen, makes no spans; ids go on as they were."""
    quiet = Trace(TRACE.trace_id, TRACE.span_id, sampled=False)
    with span("by itself"), span("quiet", quiet) as step, entrance("GET", quiet, None):
        assert step.trace == quiet
        assert step.header_or("as given") == "as given"
    assert record("quiet", quiet, began=0, ended=1) is None
    assert recorded.spans() == {}


def test_what_is_chosen(recorded: Recorded) -> None:
    """The ratio is that of reading; changes are always recorded."""
    assert not any(sampled(reading=True) for _ in range(100))
    assert sampled(reading=False)


def test_off() -> None:
    """Without an endpoint nothing is made, and the mark for others is set."""
    start_tracing("api", TracingSettings())()
    assert tracing._recorder is None
    assert sampled(reading=True)
    assert not recording(TRACE)
    with span("command", TRACE) as step:
        assert (step.recorded, step.trace, current_trace.get()) == (False, TRACE, None)


def test_an_end_that_does_not_wait_for_a_collector() -> None:
    """A collector that is not there keeps nobody from ending."""
    import time

    stop = start_tracing("api", TracingSettings(endpoint="http://127.0.0.1:9", ratio=1))
    with span("command", TRACE):
        pass
    began = time.monotonic()
    stop()
    assert time.monotonic() - began < 15
