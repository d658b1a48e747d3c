"""Whatever goes wrong, and wherever: a stable code, whether to try again, and an id to ask with. In headers, as bodies are the contract's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from component.api.gateway import SYSTEM, Gateway, Reply, running_gateway
from goldcrest.errors import SystemUnreachable, Unavailable
from goldcrest_api.dialects.firecrest_v1 import DIALECT
from goldcrest_api.mounts import Mounts

pytestmark = pytest.mark.component


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with small limits, one of whose systems is switched off."""
    file = tmp_path / "maintenance.toml"
    file.write_text('[systems]\nclosed = "Disks are exchanged."\n')
    change = {
        "limits": {"answer_seconds": 0.3, "answer_bytes": 70_000, "body_bytes": 2048},
        "listen": {"head_bytes": 8192},
        "maintenance_file": file,
        "rates": {"routes": {"GET /compute/status": "1/hour"}},
    }
    closed = SYSTEM | {"metadata": {"name": "closed"}}
    async with running_gateway(tmp_path, change=change, systems=(SYSTEM, closed)) as running:
        yield running


def _told(reply: Reply, status: int, code: str, *, retryable: bool) -> None:
    assert (reply.status, reply.headers.get("X-Goldcrest-Code")) == (status, code), reply
    assert reply.headers["X-Goldcrest-Retryable"] == ("true" if retryable else "false")
    assert len(reply.headers["X-Request-ID"]) == 32
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    if "Retry-After" in reply.headers:
        assert retryable  # who is told when to come again may come again


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NotFound"),
        ("POST", "/v1/compute/nothing", 404, "NotFound"),
        ("PUT", "/tasks", 405, "MethodNotAllowed"),
        ("HEAD", "/tasks", 405, "MethodNotAllowed"),
        ("PATCH", "/v1/utilities/ls", 405, "MethodNotAllowed"),
        ("GET", "/", 400, "InvalidInput"),
        ("GET", "/tasks/taskslist", 400, "InvalidInput"),
        ("GET", "/docs/no-part", 404, "NotFound"),
        ("GET", "/tasks/0123456789abcdef0123456789abcdef", 404, "NotFound"),
        ("GET", "/status/systems/other", 404, "UnknownSystem"),
        ("GET", "/status/filesystems/other", 404, "UnknownSystem"),
        ("GET", "/status/services/other", 404, "NotFound"),
        ("GET", "/utilities/stat", 400, "InvalidInput"),
        ("GET", "/utilities/stat?targetPath=/no", 400, "NoSuchFile"),
    ],
)
async def test_requests_that_are_wrong(gateway: Gateway, method: str, path: str, status: int, code: str) -> None:
    """Another request is needed."""
    _told(await gateway.request(method, path), status, code, retryable=False)


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_allowed_methods_are_named(gateway: Gateway, prefix: str) -> None:
    """RFC 9110: a 405 says which there are, of all routes that the path fits."""
    for path, methods in (
        ("/tasks", "GET"),
        ("/compute/jobs/7", "DELETE, GET"),
        ("/compute/jobs/upload", "DELETE, GET, POST"),
        ("/reservations", "GET, POST"),
        ("/reservations/lab", "DELETE, PUT"),
    ):
        assert (await gateway.request("PATCH", prefix + path)).headers["Allow"] == methods


async def test_callers_and_systems(narrow: Gateway) -> None:
    """Tokens, systems that are not there, and systems that are closed or away."""
    stat = "/utilities/stat?targetPath=/a"
    _told(await narrow.request("GET", "/tasks", user=None), 401, "TokenMissing", retryable=False)
    _told(await narrow.request("GET", stat, machine="other"), 400, "UnknownSystem", retryable=False)
    _told(await narrow.request("GET", stat, machine="closed"), 400, "Maintenance", retryable=True)
    narrow.node.refusal = SystemUnreachable("away")
    _told(await narrow.request("GET", stat), 400, "SystemUnreachable", retryable=True)
    narrow.tokens.unavailable = Unavailable("the issuer does not answer")
    _told(await narrow.request("GET", "/tasks"), 503, "Unavailable", retryable=True)


async def test_limits(narrow: Gateway) -> None:
    """Bodies, answers, rates."""
    narrow.node.files["/large"] = b"a" * 100_000
    _told(await narrow.request("GET", "/utilities/view?targetPath=/large"), 400, "TooLarge", retryable=False)
    _told(await narrow.upload(b"#" * 10_000), 413, "TooLarge", retryable=False)
    assert (await narrow.request("GET", "/compute/status")).status == 200
    _told(await narrow.request("GET", "/compute/status"), 429, "RateLimited", retryable=True)


@pytest.mark.parametrize(("method", "retryable"), [("GET", True), ("POST", False)])
async def test_answer_that_is_late(
    narrow: Gateway, monkeypatch: pytest.MonkeyPatch, method: str, retryable: bool
) -> None:
    """What only reads may be asked again; of what changes something nobody knows what came of it."""

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(narrow.node, "run", hang)
    route = "stat" if method == "GET" else "mkdir"
    form = None if method == "GET" else {"targetPath": "/a"}
    reply = await narrow.request(method, f"/utilities/{route}?targetPath=/a", data=form)
    _told(reply, 504, "AnswerLost", retryable=retryable)
    assert ("Retry-After" in reply.headers) == retryable


async def test_fault_of_our_own(gateway: Gateway) -> None:
    """500, and nothing of the inside."""
    gateway.node.refusal = RuntimeError("internal detail")  # type: ignore[assignment]
    reply = await gateway.request("GET", "/utilities/stat?targetPath=/a")
    _told(reply, 500, "InternalError", retryable=False)
    assert "internal detail" not in reply.text + str(reply.headers)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /tasks HTTP/1.1\r\nX-Large: " + b"a" * 20_000 + b"\r\n\r\n", 431, "TooLarge"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "InvalidInput"),
        (b"BREW /tasks HTTP/1.1\r\nHost: x\r\n\r\n", 400, "InvalidInput"),
        (b"GET /tasks HTTP/9.9.9\r\n\r\n", 400, "InvalidInput"),
        (b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400, "InvalidInput"),
    ],
    ids=["large head", "TLS", "method", "version", "length"],
)
async def test_what_is_no_request(narrow: Gateway, sent: bytes, status: int, code: str) -> None:
    """One JSON answer with both headers, and the connection ends; the next request is served."""
    host, port = narrow.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.startswith(f"HTTP/1.1 {status} ")
    _told(Reply(status, headers, body), status, code, retryable=False)
    assert (headers["Content-Type"], int(headers["Content-Length"])) == ("application/json", len(body))
    assert list(Reply(status, headers, body).json()) == ["description"]
    writer.close()
    assert (await narrow.request("GET", "/tasks")).status == 200


async def test_preflight_that_is_refused(gateway: Gateway) -> None:
    """Made by a library that knows no codes."""
    asked = {"Origin": "https://portal.example", "Access-Control-Request-Method": "PATCH"}
    reply = await gateway.request("OPTIONS", "/tasks", user=None, headers=asked)
    _told(reply, 400, "InvalidInput", retryable=False)


async def test_every_route_without_a_token(gateway: Gateway) -> None:
    """No route of the table forgets the headers, and none answers who shows nothing."""
    served = [(route.path, method) for route in Mounts([DIALECT]).routes() for method in sorted(route.methods or ())]
    assert len(served) > 100
    open_paths = {"/", "/tasks/tasklist", "/tasks/taskslist"}
    for path, method in served:
        reply = await gateway.request(method, path.replace("{", "").replace("}", ""), user=None)
        if path.removeprefix("/v1") in open_paths:
            _told(reply, 400, "InvalidInput", retryable=False)
        else:
            _told(reply, 401, "TokenMissing", retryable=False)
