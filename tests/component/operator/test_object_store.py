"""The operator's look at an object store: whether its endpoint answers, whatever it answers for strangers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from component.admission.certificates import Tls
from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.system import ObjectStore
from goldcrest_operator.object_store import look_at

pytestmark = pytest.mark.component

Answer = Callable[[web.Request], web.Response]


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert "Authorization" not in request.headers
        return answer(request)

    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    (_, port), *_ = runner.addresses
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def looked(url: str, *, ca_file: Path | None = None, seconds: float = 5) -> tuple[str, str]:
    return await look_at(ObjectStore(url=url), ca_file=str(ca_file) if ca_file else None, seconds=seconds)


@pytest.mark.parametrize(("status", "state"), [(200, "Up"), (403, "Up"), (404, "Up"), (500, "Down"), (503, "Down")])
async def test_what_it_answers(status: int, state: str) -> None:
    """A no to strangers is an answer; what the server cannot do is none."""
    async with serving(lambda _: web.Response(status=status)) as url:
        assert (await looked(url))[0] == state


async def test_nobody_is_followed_elsewhere() -> None:
    """A redirect is an answer."""
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with serving(answer) as url:
        assert (await looked(url))[0] == "Up"
    assert asked == ["/"]


async def test_it_is_away() -> None:
    """Nobody listens; somebody who says nothing; somebody who talks of something else."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert await looked(f"http://127.0.0.1:{port}", seconds=0.5) == ("Down", "it did not answer within 0.5 s")
    state, message = await looked(f"http://127.0.0.1:{port}")
    assert (state, message[:19]) == ("Down", "it cannot be asked:")

    async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-other\r\n\r\n" * 1000)
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        state, message = await looked(f"http://127.0.0.1:{port}")
        assert (state, message[:19]) == ("Down", "it cannot be asked:")


async def test_over_tls(tmp_path: Path) -> None:
    """Its certificate is verified; a file with certificates that cannot be read says nothing of the store."""
    for name in ("tls", "other"):
        (tmp_path / name).mkdir()
    tls, other = Tls(tmp_path / "tls"), Tls(tmp_path / "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*tls.server("store"))
    async with serving(lambda _: web.Response(status=403), context) as url:
        assert (await looked(url, ca_file=tls.ca))[0] == "Up"
        for ca_file in (None, other.ca):
            state, message = await looked(url, ca_file=ca_file)
            assert state == "Down"
            assert "certificate" in message
        assert (await looked(url, ca_file=tmp_path / "none"))[0] == "Unknown"


@pytest.mark.parametrize("url", ["ftp://store", "http://", "https://user:word@store", "http://store/bucket", "file:///etc", "http://a b", "http://store:x"])  # fmt: skip
def test_urls_that_are_none(url: str) -> None:
    """Of an endpoint only, and without credentials."""
    with pytest.raises(InvalidInput):
        parse_model(ObjectStore, {"url": url}, what="objectStore")
