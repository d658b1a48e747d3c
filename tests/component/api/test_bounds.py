"""Bounds on requests and answers, whatever the route."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from component.api.gateway import Gateway, running_gateway

pytestmark = pytest.mark.component


async def _connect(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = gateway.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize(
    "head",
    [
        b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /tasks?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-No-End: " + b"a" * 20_000,
    ],
    ids=["header", "path", "without end"],
)
async def test_head_that_is_too_large(tmp_path: Path, head: bytes) -> None:
    """431 in JSON, and the connection ends; also when the header never ends, which no parser would give up on."""
    async with running_gateway(tmp_path, change={"listen": {"head_bytes": 8192}}) as gateway:
        reader, writer = await _connect(gateway)
        writer.write(head)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"\r\n\r\n{" in answer
        assert answer.count(b"HTTP/1.1") == 1
        writer.close()
        assert (await gateway.request("GET", "/tasks")).status == 200


async def test_large_head_below_the_limit_passes(tmp_path: Path) -> None:
    """Also over and over on one connection, and with a body behind it: bytes of one request are not those of the next."""
    async with running_gateway(tmp_path, change={"listen": {"head_bytes": 8192}}) as gateway:
        for _ in range(5):
            assert (await gateway.request("GET", "/tasks", headers={"X-Large": "a" * 6000})).status == 200
            assert (await gateway.upload(b"#!/bin/sh\n" + b"#" * 20_000, headers={"X-Large": "a" * 6000})).status == 201


@pytest.mark.parametrize("sent", [b"", b"GET /tasks HTT", b"GET /tasks HTTP/1.1\r\nHost: x\r\n"])
async def test_head_that_does_not_come(tmp_path: Path, sent: bytes) -> None:
    """The connection of who sends nothing, or no whole head, is closed; one with an idle pause between requests is not."""
    async with running_gateway(tmp_path, change={"listen": {"head_seconds": 0.3}}) as gateway:
        reader, writer = await _connect(gateway)
        writer.write(sent)
        began = time.monotonic()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert time.monotonic() - began >= 0.2
        reader, writer = await _connect(gateway)
        for _ in range(2):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), 5)
            await asyncio.sleep(0.5)
        writer.close()


async def test_answer_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """504 with JSON, and what was under way for it is stopped."""
    async with running_gateway(tmp_path, change={"limits": {"answer_seconds": 0.3}}) as gateway:
        stopped = asyncio.Event()

        async def hang(*_: object, **__: object) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

        monkeypatch.setattr(gateway.node, "run", hang)
        reply = await gateway.request("GET", "/utilities/stat?targetPath=/a")
        assert (reply.status, reply.json()) == (504, {"description": "There was no answer within 0.3 seconds"})
        assert reply.headers["Retry-After"] == "10"
        assert stopped.is_set()
        assert "X-Request-ID" in reply.headers


async def test_slow_body_does_not_count(tmp_path: Path) -> None:
    """The time begins with the last byte of the request."""
    async with running_gateway(tmp_path, change={"limits": {"answer_seconds": 0.4}}) as gateway:

        async def slowly():  # type: ignore[no-untyped-def]
            for piece in (
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.sh"\r\n\r\n',
                b"#!/bin",
                b"/sh\n",
            ):
                yield piece
                await asyncio.sleep(0.3)
            yield b"\r\n--b--\r\n"

        reply = await gateway.request(
            "POST",
            "/compute/jobs/upload",
            data=slowly(),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert reply.status == 201, reply


async def test_answer_that_is_too_large(tmp_path: Path) -> None:
    """400 with X-Size-Limit instead of what would fill the memory of many; a smaller one passes."""
    change = {"limits": {"answer_bytes": 100_000}}
    async with running_gateway(tmp_path, change=change) as gateway:
        gateway.node.files |= {"/large": b"a" * 200_000, "/small": b"a" * 50_000}
        reply = await gateway.request("GET", "/utilities/view?targetPath=/large")
        assert reply.status == 400
        assert reply.headers["X-Size-Limit"] == "Answer exceeds size limit"
        assert reply.json() == {"description": "The answer has more than 100000 bytes: ask for less at once"}
        assert (await gateway.request("GET", "/utilities/view?targetPath=/small")).status == 200


async def test_body_on_a_route_that_takes_none(gateway: Gateway) -> None:
    """The client is answered, and cut off when it goes on sending."""
    reader, writer = await _connect(gateway)
    writer.write(
        b"GET /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-alice\r\nContent-Length: 1000000000\r\n\r\n"
    )
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).startswith(b"HTTP/1.1 200")
    sent = 0
    with pytest.raises(ConnectionError):
        for _ in range(500):
            writer.write(b"a" * 100_000)
            await writer.drain()
            sent += 100_000
    assert sent < 25_000_000  # what the kernel takes meanwhile
    writer.close()
