"""What is written in one go goes out as one, in order, and nothing is lost at the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from goldcrest import coalescing
from goldcrest.coalescing import Coalescing


class Inner:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ended = ""

    def writelines(self, pieces: list[bytes]) -> None:
        assert not self.ended
        self.writes.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def get_write_buffer_size(self) -> int:
        return 5


@pytest.fixture
async def both() -> AsyncIterator[tuple[Inner, Coalescing]]:
    inner = Inner()
    yield inner, Coalescing(cast(asyncio.Transport, inner))


async def test_one_write_for_what_comes_in_one_go(both: tuple[Inner, Coalescing]) -> None:
    inner, outer = both
    outer.write(b"head ")
    outer.write(bytearray(b"body"))
    assert inner.writes == []
    assert outer.get_write_buffer_size() == 9 + 5
    await asyncio.sleep(0)
    assert inner.writes == [b"head body"]
    outer.write(b"next")
    await asyncio.sleep(0)
    assert inner.writes == [b"head body", b"next"]


async def test_a_buffer_that_changes_later(both: tuple[Inner, Coalescing]) -> None:
    inner, outer = both
    buffer = bytearray(b"first")
    outer.write(memoryview(buffer))
    buffer[:] = b"other"
    await asyncio.sleep(0)
    assert inner.writes == [b"first"]


async def test_what_is_large_does_not_wait(both: tuple[Inner, Coalescing]) -> None:
    inner, outer = both
    outer.write(b"head")
    outer.write(bytes(64 * 1024))
    assert inner.writes == [b"head" + bytes(64 * 1024)]
    await asyncio.sleep(0)
    assert len(inner.writes) == 1


async def test_who_does_not_read_the_rest_is_left_in_the_end(
    both: tuple[Inner, Coalescing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a client that stands still would keep a socket and its buffer for as long as it likes."""
    inner, outer = both
    monkeypatch.setattr(coalescing, "_LINGER_SECONDS", 0.01)
    outer.write(b"rest")
    outer.close()
    assert inner.ended == "closed"
    await asyncio.sleep(0.1)
    assert inner.ended == "aborted"


async def test_closing_sends_the_rest_and_aborting_does_not(both: tuple[Inner, Coalescing]) -> None:
    inner, outer = both
    outer.write(b"rest")
    outer.close()
    assert (inner.writes, inner.ended) == ([b"rest"], "closed")
    outer.write(b"late")
    await asyncio.sleep(0)
    assert inner.writes == [b"rest"]

    inner = Inner()
    outer = Coalescing(cast(asyncio.Transport, inner))
    outer.write(b"rest")
    outer.abort()
    await asyncio.sleep(0)
    assert (inner.writes, inner.ended) == ([], "aborted")


async def test_on_a_real_connection() -> None:
    """The other side gets one segment where there were two writes."""
    received: asyncio.Queue[bytes] = asyncio.Queue()

    class Server(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            received.put_nowait(data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    outer = Coalescing(transport)
    assert outer.get_extra_info("socket").family == socket.AF_INET
    outer.write(b"one ")
    outer.writelines([b"t", b"wo"])
    assert await received.get() == b"one two"
    outer.close()
    server.close()
