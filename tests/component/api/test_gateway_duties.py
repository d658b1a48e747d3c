"""What the gateway does for every request: ids, trace, log, headers, health, documentation, and an answer to anything."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import Gateway, running_gateway
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.component


async def test_request_id_is_taken_over(gateway: Gateway) -> None:
    """A well-formed one comes back; else a new one is made."""
    reply = await gateway.request("GET", "/tasks", headers={"X-Request-ID": "abc-123"})
    assert reply.headers["X-Request-ID"] == "abc-123"
    reply = await gateway.request("GET", "/tasks", headers={"X-Request-ID": "a b{}"})
    assert len(reply.headers["X-Request-ID"]) == 32


async def test_trace_is_continued(gateway: Gateway) -> None:
    """Same trace id, a span of our own; a malformed header starts a new trace."""
    trace = Trace.new()
    reply = await gateway.request("GET", "/tasks", headers={"traceparent": trace.header})
    answered = Trace.parse(reply.headers["traceparent"])
    assert answered is not None
    assert answered.trace_id == trace.trace_id
    assert answered.span_id != trace.span_id
    reply = await gateway.request("GET", "/tasks", headers={"traceparent": "nonsense"})
    assert Trace.parse(reply.headers["traceparent"]) is not None


async def test_access_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """One line a request: route, status, time, user; neither the token nor what the user named."""
    with caplog.at_level(logging.INFO, logger="goldcrest_api.access"):
        await gateway.request("GET", "/utilities/view", params={"targetPath": "/secret/place"})
    (record,) = (record for record in caplog.records if record.message == "request")
    fields: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    assert (fields["method"], fields["route"], fields["status"], fields["user"]) == (
        "GET",
        "/utilities/view",
        400,
        "alice",
    )
    assert fields["milliseconds"] > 0
    assert "token-alice" not in str(fields)
    assert "secret" not in str(fields)


async def test_fault_of_our_own(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """A page (contract 2.4) with nothing of the inside, and the request's id to ask with; JSON in /reservations."""
    gateway.node.refusal = RuntimeError("internal detail")  # type: ignore[assignment]
    reply = await gateway.upload()
    assert reply.status == 500
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"<p>request {reply.headers['X-Request-ID']}</p>" in reply.text
    assert "internal detail" not in reply.text
    assert "internal detail" in caplog.text
    reply = await gateway.request("GET", "/reservations")
    assert reply.status == 500
    assert reply.json() == {"description": "Internal error", "error": f"request {reply.headers['X-Request-ID']}"}


async def test_security_headers(gateway: Gateway) -> None:
    """On every answer."""
    for path in ("/tasks", "/nowhere", "/livez"):
        headers = (await gateway.request("GET", path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path", "title"),
    [
        ("GET", "/compute/nothing", "404 Not Found"),
        ("GET", "/reservations/a/b", "404 Not Found"),
        ("GET", "/v1/<script>alert(1)</script>", "404 Not Found"),
        ("PUT", "/tasks", "405 Method Not Allowed"),
        ("PUT", "/v1/reservations", None),
    ],
)
async def test_unknown_route_and_method(gateway: Gateway, method: str, path: str, title: str | None) -> None:
    """A page that repeats nothing of the request (contract 2.4); /reservations answers a wrong method with JSON."""
    reply = await gateway.request(method, path)
    if title is None:
        assert (reply.status, reply.json()) == (405, {"description": "Method Not Allowed"})
        assert reply.headers["Content-Type"] == "application/json"
        return
    assert reply.status == int(title[:3])
    assert f"<h1>{title}</h1>" in reply.text
    assert "alert" not in reply.text
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_health(gateway: Gateway) -> None:
    """Alive and ready, without a token; still ready while Kubernetes is away, because old answers are served."""
    assert (await gateway.request("GET", "/livez", user=None)).status == 200
    assert (await gateway.request("GET", "/readyz", user=None)).status == 200
    gateway.kubernetes.down = True
    assert (await gateway.request("GET", "/readyz", user=None)).status == 200


async def test_documentation(gateway: Gateway) -> None:
    """The pages are public and name every route once."""
    assert (await gateway.request("GET", "/docs", user=None)).status == 200
    page = (await gateway.request("GET", "/openapi.json", user=None)).json()
    assert "/v1/compute/jobs/upload" in page["paths"]
    assert "/compute/jobs/upload" not in page["paths"]
    upload = page["paths"]["/v1/compute/jobs/upload"]["post"]
    assert "multipart/form-data" in upload["requestBody"]["content"]


async def test_slow_sender_is_not_waited_for(tmp_path: Path) -> None:
    """A body that does not arrive in time ends with a clear answer."""
    async with running_gateway(tmp_path, change={"limits": {"body_seconds": 0.2}}) as gateway:
        host, port = gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /compute/jobs/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-alice\r\n"
            b"X-Machine-Name: cluster\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b"
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
        assert head == b"HTTP/1.1 400 Bad Request\r\n"
        writer.close()
