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


_BAD_CHUNK = b"POST /utilities/mkdir HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"


@pytest.mark.parametrize("whole", [1, 2])
@pytest.mark.parametrize(
    "behind",
    [
        b"JUNK JUNK\r\n\r\n",
        b"GET /tasks?" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-No-End: " + b"a" * 20_000,
        b"GET /tasks HTT",
        _BAD_CHUNK,
    ],
    ids=["junk", "large", "without end", "cut", "bad chunk"],
)
async def test_what_follows_does_not_take_the_answer(tmp_path: Path, behind: bytes, whole: int) -> None:
    """A job whose request came whole is submitted, so whoever sent it is told, and not 400 for what is behind it; nor does that get an answer."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="j.sh"\r\n\r\n#!/bin/sh\n\r\n--b--\r\n'
    async with running_gateway(tmp_path, change={"listen": {"head_bytes": 8192, "head_seconds": 0.5}}) as gateway:
        submit = (
            b"POST /compute/jobs/upload HTTP/1.1\r\nHost: x\r\nX-Machine-Name: cluster\r\n"
            + f"Authorization: Bearer token-alice\r\nContent-Length: {len(form)}\r\n".encode()
            + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            + form
        )
        reader, writer = await _connect(gateway)
        writer.write(submit * whole + behind)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.count(b"HTTP/1.1 201 ") == answer.count(b"HTTP/1.1") == whole
        assert answer.count(b"task_id") == len(gateway.kubernetes.jobs()) == whole
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")  # nobody reads it
        writer.close()
        assert (await gateway.request("GET", "/tasks")).status == 200


async def test_a_broken_request_is_told(tmp_path: Path) -> None:
    """Alone, or in its own body, or after an answer that is out."""
    async with running_gateway(tmp_path) as gateway:
        for first, broken in ((b"", b"JUNK\r\n\r\n"), (b"", _BAD_CHUNK), (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"JUNK\r\n\r\n")):  # fmt: skip
            reader, writer = await _connect(gateway)
            if first:
                writer.write(first)
                await asyncio.wait_for(reader.readuntil(b'{"status":"ok"}'), 5)
            writer.write(broken)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.count(b"HTTP/1.1 400 ") == answer.count(b"HTTP/1.1") == 1, answer
            assert answer.endswith(b'{"description":"The request is no HTTP"}\n')
            writer.close()


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
