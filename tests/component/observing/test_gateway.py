"""The gateway's metrics and traces, as requests make them; hostile ones too."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from component.api.gateway import Gateway, running_gateway
from goldcrest.errors import Denied, Unavailable
from goldcrest.metrics_page import metrics_page
from goldcrest.propagation import Form
from goldcrest.tracing import record_to

pytestmark = pytest.mark.component

LONG, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HOSTILE = ("x" * 200, "a\nb", 'q"{}', "../../etc", "\u00e9", "goldcrest_api_requests_total 1")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path) as running:
        yield running


def series(gateway: Gateway) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Everything on the page."""
    page = gateway.metrics.measures.page().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(gateway: Gateway, name: str, **labels: str) -> float:
    return series(gateway).get((name, frozenset(labels.items())), 0.0)


async def test_requests(gateway: Gateway) -> None:
    """By route, status, system, and by the error behind a refusal."""
    path = "/utilities/stat?targetPath=/home/alice/secret-name"
    gateway.node.files["/home/alice/secret-name"] = b""
    assert (await gateway.request("GET", path)).status == 200
    assert (await gateway.request("GET", path, user=None)).status == 401
    gateway.node.refusal = Denied("not you")
    assert (await gateway.request("GET", path)).status == 400
    route = {"method": "GET", "route": "/utilities/stat"}
    assert value(gateway, "goldcrest_api_requests_total", **route, code="200") == 1
    assert value(gateway, "goldcrest_api_requests_total", **route, code="400") == 1
    assert value(gateway, "goldcrest_api_requests_total", **route, code="401") == 1
    assert value(gateway, "goldcrest_api_request_seconds_count", **route) == 3
    assert value(gateway, "goldcrest_api_system_requests_total", **route, system="cluster") == 2
    assert value(gateway, "goldcrest_api_errors_total", cause="TokenMissing") == 1
    assert value(gateway, "goldcrest_api_errors_total", cause="PolicyDenied") == 1
    assert value(gateway, "goldcrest_api_requests_in_flight") == 0
    assert value(gateway, "goldcrest_api_resources", kind="System") == 1
    assert "secret-name" not in gateway.metrics.measures.page().decode()


async def test_limited(gateway: Gateway) -> None:
    """What the limits on requests count."""
    gateway.metrics.limited("user")
    assert value(gateway, "goldcrest_api_requests_limited_total", limit="user") == 1


async def test_hostile_input_adds_no_labels(gateway: Gateway) -> None:
    """Paths, methods, hosts, users, systems and tasks that nobody has heard of: after the first round no series are new."""

    async def round_of(number: int) -> None:
        for text in HOSTILE:
            odd = f"{text}{number}".encode("ascii", "backslashreplace").decode().replace("\n", "")
            await gateway.request("GET", f"/{odd}", user=odd)
            await gateway.request("GET", f"/tasks/{odd}", user=odd, headers={"Host": f"h{number}.example"})
            await gateway.request("GET", f"/v1/status/systems/{odd}", machine=odd)
            await gateway.request("GET", "/utilities/stat?targetPath=/x", machine=odd)
            await gateway.request("GET", f"/utilities/stat?targetPath=/{odd}", headers={"X-Request-ID": f"r{number}"})
            await gateway.request("DELETE", f"/compute/jobs/{odd}", user=odd)
            for method in ("PROPFIND", "OPTIONS", "PUT", "MKCOL"):
                await gateway.request(method, f"/{odd}")

    await round_of(0)
    before = set(series(gateway))
    for number in range(1, 4):
        await round_of(number)
    assert set(series(gateway)) == before
    methods = {value for _, labels in before for name, value in labels if name == "method"}
    assert methods == {"GET", "PUT", "DELETE", "OPTIONS", "other"}
    assert all(len(value) < 64 for _, labels in before for _, value in labels)


@pytest.mark.parametrize(
    ("headers", "form", "name"),
    [
        ({"traceparent": f"00-{LONG}-{SPAN}-01"}, Form.W3C, "traceparent"),
        ({"b3": f"{LONG}-{SPAN}-1"}, Form.B3, "b3"),
        ({"X-B3-TraceId": LONG, "X-B3-SpanId": SPAN, "X-B3-Sampled": "1"}, Form.B3_MULTI, "X-B3-TraceId"),
        ({"uber-trace-id": f"{LONG}:{SPAN}:0:1"}, Form.UBER, "uber-trace-id"),
    ],
)
async def test_trace_context(gateway: Gateway, headers: dict[str, str], form: Form, name: str) -> None:
    """Every form is taken over, handed to the login node and to the span, and sent back; the ids of the answer are those of the span."""
    gateway.node.files["/x"] = b""
    exporter = InMemorySpanExporter()
    stop = record_to("api", exporter, ratio=0)
    try:
        reply = await gateway.request("GET", "/utilities/stat?targetPath=/x", headers=headers)
    finally:
        stop()
    assert (reply.status, LONG in reply.headers[name]) == (200, True), form
    (made,) = exporter.get_finished_spans()
    assert made.parent is not None
    assert made.context is not None
    assert f"00-{made.context.trace_id:032x}-{made.context.span_id:016x}-01" == reply.headers["traceparent"]
    assert f"{made.parent.span_id:016x}" == SPAN
    assert made.name == "GET /utilities/stat"
    assert (made.attributes or {})["goldcrest.system"] == "cluster"
    assert gateway.node.traces[-1].trace_id == LONG


async def test_reading_is_sampled(gateway: Gateway) -> None:
    """By the ratio; what changes something always; whoever says no is obeyed."""
    exporter = InMemorySpanExporter()
    stop = record_to("api", exporter, ratio=0)
    try:
        await gateway.request("GET", "/tasks")
        await gateway.request("POST", "/compute/jobs/path", headers={"b3": "0"})
        reply = await gateway.request("POST", "/compute/jobs/path")
    finally:
        stop()
    names = [made.name for made in exporter.get_finished_spans()]
    assert names == ["POST /compute/jobs/path"]
    assert reply.headers["traceparent"].endswith("-01")


async def test_the_page(gateway: Gateway) -> None:
    """On a port of its own, in Prometheus' form; the port of users does not have it; an address that is taken is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port} for /metrics"):
            async with metrics_page(gateway.metrics.measures, host="127.0.0.1", port=port):
                pass
    page = metrics_page(gateway.metrics.measures, host="127.0.0.1", port=port)
    async with page, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "goldcrest_api_requests_in_flight 0.0" in await response.text()
        async with session.get(f"http://127.0.0.1:{port}/") as response:
            assert response.status == 404
    assert (await gateway.request("GET", "/metrics")).status == 404
