"""Spans as the bed's receiver takes them in, and as a tree."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from goldcrest.telemetry import Trace
from goldcrest.tracing import TracingSettings, record, span, start_tracing
from goldcrest_bed.trace_receiver import Receiver
from goldcrest_bed.traces import Span, tree

pytestmark = pytest.mark.unit


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver(0)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def test_over_otlp(receiver: Receiver) -> None:
    """What a process sends with the real exporter arrives with names, services, times and parents."""
    trace = Trace.new()
    stop = start_tracing("operator", TracingSettings(endpoint=receiver.url))
    with span("Submit", trace, operation="slurm.submit") as step:
        record("verify", step.trace, began=10.0, ended=10.5, of_filter=True, error="replay")
    stop()
    spans = {found.name: found for found in receiver.trace(trace.trace_id)}
    assert set(spans) == {"Submit", "verify"}
    assert spans["Submit"].parent == trace.span_id
    assert spans["Submit"].attributes["goldcrest.operation"] == "slurm.submit"
    verify = spans["verify"]
    assert (verify.parent, verify.service, verify.began, verify.ended, verify.error) == (
        spans["Submit"].id,
        "ssh-filter",
        10.0,
        10.5,
        "replay",
    )


def test_tree() -> None:
    """What is below what, in the order of time; a span whose parent is missing stands at the left."""
    spans = [
        Span("t", "3", "2", "filter", "run", 1.2, 1.3),
        Span("t", "1", "caller", "api", "GET", 1.0, 1.5),
        Span("t", "2", "1", "api", "fs.stat", 1.1, 1.4, "PolicyDenied"),
        Span("t", "4", "1", "api", "late", 1.45, 1.5),
    ]
    lines = tree(spans).splitlines()
    assert [line.split("  ")[0].rstrip() for line in lines] == ["GET", "├─ fs.stat", "│", "└─ late"]
    assert "└─ run" in lines[2]
    assert lines[1].endswith("PolicyDenied")
    assert "100.0     300.0 ms" in lines[1]
    assert tree([]) == "no spans\n"
