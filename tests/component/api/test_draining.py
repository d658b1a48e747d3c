"""The end of the gateway's process: not ready first, then no new connections, and what runs is finished, within bounds."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from pathlib import Path

import aiohttp
import pytest

from component.api.process import Process, running_process
from goldcrest_bed.pki import Pki

pytestmark = pytest.mark.component

_HEAD = (
    "POST /compute/jobs/upload HTTP/1.1\r\nHost: x\r\nAuthorization: {Authorization}\r\nX-Machine-Name: cluster\r\n"
    "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
)
_BODY = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.sh"\r\n\r\n#!/bin/sh\n\r\n--b--\r\n'


async def _half_sent(gateway: Process) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request that runs until its second half is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(_HEAD.format(length=len(_BODY), **gateway.headers).encode() + _BODY[:20])
    await asyncio.sleep(0.2)
    return reader, writer


async def test_what_runs_is_finished(tmp_path: Path) -> None:
    """SIGTERM: /readyz says no while requests are still taken; then new connections are refused; who was served is answered whole."""
    async with running_process(tmp_path, settings={"LISTEN__LEAVE_SECONDS": "1.5"}) as gateway:
        reader, writer = await _half_sent(gateway)
        gateway.signal()
        await asyncio.sleep(0.3)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as session:
            async with session.get("/readyz") as response:
                assert response.status == 503
                assert (await response.json())["status"] == "the process is about to end"
            async with session.get("/status/parameters", headers=gateway.headers) as response:
                assert response.status == 200
                assert response.headers["Connection"] == "close"
            async with session.get("/livez") as response:
                assert response.status == 200
        async with asyncio.timeout(10):
            while True:
                try:
                    _, other = await asyncio.open_connection("127.0.0.1", gateway.port)
                except OSError:
                    break
                other.close()
                await asyncio.sleep(0.05)
        writer.write(_BODY[20:])
        answer = await asyncio.wait_for(reader.read(), 10)
        # Delegation is not there, so nothing could be made of it; but it is an answer to the whole request.
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.rstrip().endswith(b"}")
        assert await gateway.ended() == 0
    events = [line["event"] for line in gateway.log() if "event" in line]
    assert [event for event in events if event in ("api.started", "api.leaving", "api.stopping")] == [
        "api.started",
        "api.leaving",
        "api.stopping",
    ]


async def test_what_does_not_end_is_cut(tmp_path: Path) -> None:
    """The end has a bound: a request that goes on for ever does not keep the process."""
    settings = {"LISTEN__LEAVE_SECONDS": "0.2", "LISTEN__SHUTDOWN_SECONDS": "1"}
    async with running_process(tmp_path, settings=settings) as gateway:
        reader, _writer = await _half_sent(gateway)
        began = time.monotonic()
        gateway.signal()
        assert await gateway.ended() == 0
        assert 1 <= time.monotonic() - began < 8
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readuntil(b"HTTP/1.1 200")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_skips_the_pause(tmp_path: Path, second: signal.Signals) -> None:
    """Who asks twice means it."""
    async with running_process(tmp_path, settings={"LISTEN__LEAVE_SECONDS": "60"}) as gateway:
        gateway.signal()
        await asyncio.sleep(0.3)
        assert gateway.process.returncode is None
        gateway.signal(second)
        assert await gateway.ended() == 0


async def test_tls_in_the_process(tmp_path: Path) -> None:
    """Without a proxy: verified by the client, with HSTS, and a client without TLS gets nothing."""
    pki = Pki(tmp_path / "pki")
    pair = pki.serving("gateway", ["IP:127.0.0.1"])
    context = ssl.create_default_context(cafile=pki.ca.crt)
    settings = {"LISTEN__TLS_CERTIFICATE_FILE": str(pair.crt), "LISTEN__TLS_KEY_FILE": str(pair.key)}
    async with (
        running_process(tmp_path, settings=settings, scheme="https", ssl=context) as gateway,
        aiohttp.ClientSession() as session,
    ):
        url = f"127.0.0.1:{gateway.port}/status/systems"
        async with session.get(f"https://{url}", ssl=context, headers=gateway.headers) as response:
            assert response.status == 200
            assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{url}", headers=gateway.headers)


async def test_tls_files_that_do_not_fit(tmp_path: Path) -> None:
    """The process does not start, and says which file it is, without a traceback."""
    pki = Pki(tmp_path / "pki")
    one, two = (pki.serving(name, ["IP:127.0.0.1"]) for name in ("one", "two"))
    settings = {"LISTEN__TLS_CERTIFICATE_FILE": str(one.crt), "LISTEN__TLS_KEY_FILE": str(two.key)}
    with pytest.raises(AssertionError, match=str(two.key)) as caught:
        async with running_process(tmp_path, settings=settings):
            pass
    assert "Traceback" not in str(caught.value)
