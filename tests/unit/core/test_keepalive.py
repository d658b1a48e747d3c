"""The client between our own processes, against a server of raw bytes that does what real ones do and what they must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.keepalive import KeepAlive, NoAnswer

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each question by ``handler``; counts connections and keeps the questions."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections = 0
        self.questions: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")), 0
                )
                question = head + await reader.readexactly(length)
                self.questions.append(question)
                await self.handler(question, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def talking(
    handler: Handler, folder: Path, *, limit: int = 4, seconds: float = 2.0, most: int = 1000
) -> AsyncIterator[tuple[KeepAlive, Server]]:
    server = Server(handler)
    path = folder / "s"
    listener = await asyncio.start_unix_server(server.serve, path)
    client = KeepAlive(
        f"unix:{path}", whose="the other's", tls=None, limit=limit, seconds=seconds, connect_seconds=1.0, most=most
    )
    try:
        yield client, server
    finally:
        await client.close()
        listener.close()
        for writer in server.writers:
            writer.close()


def said(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def echo(question: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(said(question.partition(b"\r\n\r\n")[2]))


async def test_one_connection_serves_many_questions(tmp_path: Path) -> None:
    async with talking(echo, tmp_path) as (client, server):
        for number in range(5):
            assert await client.ask("POST", "/x", body=b"%d" % number, headers={"A": "b"}) == (200, b"%d" % number)
        assert server.connections == 1
        assert server.questions[0] == b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nA: b\r\n\r\n0"


async def test_answers_in_pieces_and_in_chunks(tmp_path: Path) -> None:
    async def slowly(_: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in said(b"whole", status="404 Not Found"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async def chunked(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwh\r\n3\r\nole\r\n0\r\n\r\n")

    for handler, status in ((slowly, 404), (chunked, 200)):
        async with talking(handler, tmp_path) as (client, server):
            assert [await client.ask("GET", "/") for _ in range(2)] == [(status, b"whole")] * 2
            assert server.connections == 1


async def test_questions_beyond_the_limit_wait_for_their_turn(tmp_path: Path) -> None:
    async def later(question: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await echo(question, writer)

    async with talking(later, tmp_path, limit=2) as (client, server):
        answers = await asyncio.gather(*(client.ask("POST", "/", body=b"%d" % number) for number in range(9)))
        assert answers == [(200, b"%d" % number) for number in range(9)]
        assert server.connections == 2


async def test_waiting_for_a_turn_is_part_of_the_time(tmp_path: Path) -> None:
    """A silent server takes no question's turn for longer than that question has."""
    silent = True

    async def handler(question: bytes, writer: asyncio.StreamWriter) -> None:
        if not silent:
            await echo(question, writer)

    async with talking(handler, tmp_path, limit=1, seconds=0.1) as (client, _):
        late = await asyncio.gather(*(client.ask("POST", "/") for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in late] == ["TimeoutError"] * 3
        silent = False
        answers = await asyncio.gather(*(client.ask("POST", "/", body=b"%d" % number) for number in range(3)))
        assert answers == [(200, b"0"), (200, b"1"), (200, b"2")]


async def test_a_connection_that_was_given_up_is_replaced(tmp_path: Path) -> None:
    """A server ends idle connections when it likes, also in the very moment of the next question."""
    async with talking(echo, tmp_path) as (client, server):
        await client.ask("POST", "/", body=b"1")
        server.writers[0].close()
        assert await client.ask("POST", "/", body=b"2") == (200, b"2")  # before we saw the end
        server.writers[1].close()
        await asyncio.sleep(0.05)
        assert await client.ask("POST", "/", body=b"3") == (200, b"3")  # after
        assert server.connections == 3


async def test_a_server_that_asks_for_the_end_gets_it(tmp_path: Path) -> None:
    async def once(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(said(b"bye", more="Connection: close\r\n"))

    async with talking(once, tmp_path) as (client, server):
        assert [await client.ask("GET", "/") for _ in range(2)] == [(200, b"bye")] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "ConnectionResetError"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "ConnectionResetError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "ConnectionResetError"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "ConnectionAbortedError"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + said(b"x"), "ConnectionAbortedError"),
        (said(b"x" * 1001), "ConnectionAbortedError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "ConnectionAbortedError"),
    ],
    ids=["nothing", "half a head", "half a body", "no HTTP", "interim", "too long a body", "too long a head"],
)
async def test_what_is_no_answer(answer: bytes, why: str, tmp_path: Path) -> None:
    """Told by its kind, never with what was sent; the next question is on another connection."""

    async def bad(question: bytes, writer: asyncio.StreamWriter) -> None:
        if b"good" in question:
            await echo(question, writer)
            return
        writer.write(answer)
        writer.close()

    async with talking(bad, tmp_path) as (client, server):
        with pytest.raises(NoAnswer, match=f"^{why}$"):
            await client.ask("POST", "/", body=b"secret")
        assert await client.ask("POST", "/", body=b"good") == (200, b"good")
        assert server.connections == 2


async def test_an_answer_that_does_not_come(tmp_path: Path) -> None:
    """The time counts from the beginning; an answer that comes later is not taken for the next one's."""
    late: list[asyncio.StreamWriter] = []

    async def handler(question: bytes, writer: asyncio.StreamWriter) -> None:
        if b"late" in question:
            late.append(writer)
        else:
            for waiting in late:
                waiting.write(said(b"the late answer"))
            await echo(question, writer)

    async with talking(handler, tmp_path, limit=1, seconds=0.2) as (client, _):
        with pytest.raises(NoAnswer, match=r"^TimeoutError$"):
            await client.ask("POST", "/", body=b"late")
        assert await client.ask("POST", "/", body=b"next") == (200, b"next")


async def test_more_than_was_asked_for(tmp_path: Path) -> None:
    """A second answer to one question is not taken for that of the next."""

    async def twice(question: bytes, writer: asyncio.StreamWriter) -> None:
        await echo(question, writer)
        writer.write(said(b"again"))

    async with talking(twice, tmp_path) as (client, server):
        assert await client.ask("POST", "/", body=b"1") == (200, b"1")
        await asyncio.sleep(0.05)
        assert await client.ask("POST", "/", body=b"2") == (200, b"2")
        assert server.connections == 2


async def test_who_gives_up_gives_up_the_turn(tmp_path: Path) -> None:
    async with talking(echo, tmp_path, limit=1) as (client, _):
        for _ in range(3):
            asking = [asyncio.create_task(client.ask("POST", "/", body=b"x")) for _ in range(3)]
            await asyncio.sleep(0)
            for task in asking[:2]:
                task.cancel()
            assert await asking[2] == (200, b"x")


async def test_nobody_there(tmp_path: Path) -> None:
    client = KeepAlive(
        f"unix:{tmp_path}/none", whose="the other's", tls=None, limit=1, seconds=1.0, connect_seconds=1.0, most=10
    )
    with pytest.raises(NoAnswer, match=r"^FileNotFoundError$"):
        await client.ask("GET", "/")


async def test_a_header_is_one_header(tmp_path: Path) -> None:
    async with talking(echo, tmp_path) as (client, server):
        for value in ("a\r\nHost: b", "a\nb", "a\0"):
            with pytest.raises(InvalidInput, match="Authorization") as refused:
                await client.ask("GET", "/", headers={"Authorization": value})
            assert value not in refused.value.message
        assert server.questions == []


@pytest.mark.parametrize(
    "url", ["http://opa:8181", "https://", "opa", "unix:", "https://opa:port", "https://opa:99999"]
)
async def test_urls(url: str) -> None:
    with pytest.raises(InvalidInput, match="the other's URL"):
        KeepAlive(url, whose="the other's", tls=None, limit=1, seconds=1.0, connect_seconds=1.0, most=10)
