"""A Job as one tree of spans, and what the operator counts of it."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from component.operator.world import NAMESPACE, World
from goldcrest.telemetry import Trace
from goldcrest.tracing import record_to
from goldcrest.wellknown import ANNOTATION_TRACEPARENT, Kind
from goldcrest_operator.life import trace_of_job

pytestmark = pytest.mark.component


@pytest.mark.parametrize("sampled", [True, False])
async def test_life_of_a_job(world: World, sampled: bool) -> None:
    """The Job's own span is below the request that made it, and all steps are below the Job's; a request that is not recorded makes none."""
    parent = Trace.new(sampled=sampled)
    exporter = InMemorySpanExporter()
    stop = record_to("operator", exporter)
    try:
        world.add_system(observer="watcher")
        spec = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}}
        annotations = {ANNOTATION_TRACEPARENT: parent.header}
        world.kube.create(Kind.JOB, "hello", spec, namespace=NAMESPACE, annotations=annotations)
        operator = await world.operator()
        await world.until(lambda: world.phase() == "Succeeded")
        await world.quiet()
    finally:
        stop()
    page = operator.workers._metrics.text().decode()
    assert 'goldcrest_operator_jobs_submitted_total{system="cluster"} 1.0' in page
    assert 'goldcrest_operator_jobs_finished_total{phase="Succeeded"} 1.0' in page
    assert 'goldcrest_operator_tracking_stale_seconds{system="cluster"} ' in page
    assert "goldcrest_operator_queue_wait_seconds_count 0.0" not in page
    spans = exporter.get_finished_spans()
    if not sampled:
        assert spans == ()
        return
    job = world.job()
    assert job is not None
    own = trace_of_job(job)
    assert own.trace_id == parent.trace_id
    whole = next(span for span in spans if span.name == "Job")
    assert whole.context is not None
    assert f"{whole.context.span_id:016x}" == own.span_id
    assert whole.parent is not None
    assert f"{whole.parent.span_id:016x}" == parent.span_id
    below = {span.name for span in spans if span.parent and span.parent.span_id == whole.context.span_id}
    assert {"WriteIntent", "Submit", "Persist", "Release", "queued", "running"} <= below
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {parent.trace_id}
