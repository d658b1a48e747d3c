"""Downloads and followed answers to somebody who stops reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from goldcrest_api.file_response import FileResponse
from goldcrest_api.streaming import StreamedResponse

pytestmark = pytest.mark.unit


class Client:
    """Takes so many messages, then nothing."""

    def __init__(self, takes: int) -> None:
        self._takes = takes
        self.got: list[dict[str, Any]] = []

    async def send(self, message: Any) -> None:
        if len(self.got) == self._takes:
            await asyncio.Event().wait()
        self.got.append(message)

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    @property
    def has_all(self) -> bool:
        return bool(self.got) and self.got[-1].get("more_body") is False


class Source:
    """Two pieces."""

    def __init__(self) -> None:
        self.closed = False

    async def pieces(self, *_: object) -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            yield b"second"
        finally:
            self.closed = True


@pytest.mark.parametrize("takes", [1, 2, 3, 4])
async def test_a_download_that_nobody_reads(takes: int) -> None:
    """It ends, without an end that the client could take for the file's, and what it was read from is given back."""
    client, source = Client(takes), Source()
    response = FileResponse(source.pieces(), size=11, headers={}, slow_seconds=0.05)
    async with asyncio.timeout(5):
        await response.stream_response(client.send)
    assert source.closed
    assert client.has_all == (takes == 4)


@pytest.mark.parametrize("takes", [2, 3, 4])
async def test_a_followed_answer_that_nobody_reads(takes: int) -> None:
    """Also when all was said and only its end is left: the slot is given back."""
    given_back = []

    @contextmanager
    def slot() -> Iterator[Any]:
        yield SimpleNamespace(caller=SimpleNamespace(user="alice"))
        given_back.append(True)

    client, source = Client(takes), Source()
    response = StreamedResponse(slot(), source.pieces, media_type="text/plain", slow_seconds=0.05)
    async with asyncio.timeout(5):
        await response({}, client.receive, client.send)
    assert given_back == [True]
    assert source.closed
    assert client.has_all == (takes == 4)
