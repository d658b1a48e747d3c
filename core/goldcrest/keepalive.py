"""HTTP/1.1 between our own processes and OPA: small questions over connections that stay open.

These hops are most of what a blocking command costs beside the node (docs/decisions/0012), so nothing is done here that they do not need: no redirects, cookies,
proxies, compression or streaming. What comes back is parsed by httptools, which also parses what our servers are sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

from goldcrest.errors import InvalidInput

_HEAD_LIMIT: Final = 64 * 1024  # bytes of header fields, as far as we keep count


class NoAnswer(Exception):
    """The server could not be reached, or did not answer as HTTP wants it. The text names what happened, and nothing that was sent."""


class KeepAlive:
    """A client of one server. Made inside a running event loop; end it with :meth:`close`.

    Args:
        url: ``unix:/path/of/socket``, or ``https://host:port`` with ``tls`` to verify it by.
        whose: for messages, ``OPA's``.
        limit: connections at once; further questions wait.
        seconds: for one question from its beginning to the last byte of the answer, waiting and connecting included.
        connect_seconds: for one connection.
        most: bytes of an answer.

    Raises:
        InvalidInput: another kind of URL.
    """

    def __init__(
        self,
        url: str,
        *,
        whose: str,
        tls: ssl.SSLContext | None,
        limit: int,
        seconds: float,
        connect_seconds: float,
        most: int,
    ) -> None:
        split = urlsplit(url)
        try:
            self._host, self._port = split.hostname or "", split.port or 443
        except ValueError as error:
            raise InvalidInput(f"{whose} URL {url!r} has no port that is one") from error
        self._path = url.removeprefix("unix:") if split.scheme == "unix" else ""
        if not self._path and not (split.scheme == "https" and self._host and tls):
            raise InvalidInput(f"{whose} URL {url!r} must begin with https:// or unix:")
        self._base = "" if self._path else split.path.rstrip("/")
        self._host_line = f"Host: {'localhost' if self._path else split.netloc.rpartition('@')[2]}\r\n"
        self._tls, self._limit, self._seconds, self._connect_seconds, self._most = (
            tls,
            limit,
            seconds,
            connect_seconds,
            most,
        )
        self._free: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def close(self) -> None:
        """End all connections; questions under way fail."""
        for connection in list(self._open):
            connection.end()

    async def ask(
        self, method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        A question that went out over a connection which the server had just given up is asked once more: ask only what may be repeated.

        Raises:
            NoAnswer: no connection, no answer in time, none that can be read, or one of more than ``most`` bytes.
            InvalidInput: a header that would be two.
        """
        question = self._head(method, target, len(body), headers or {}) + body
        end = asyncio.get_running_loop().time() + self._seconds
        try:
            await self._take(end)
            try:
                while True:
                    connection = self._kept()
                    used = connection is not None
                    if connection is None:
                        connection = await self._connect(end)
                    try:
                        return await connection.ask(question, end)
                    except ConnectionResetError:
                        if not used or connection.heard:
                            raise
                    finally:
                        self._put_back(connection)
            finally:
                self._give_back()
        except (OSError, ssl.SSLError, TimeoutError) as error:  # a TimeoutError is an OSError; said for who reads
            raise NoAnswer(type(error).__name__) from error

    def _head(self, method: str, target: str, length: int, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {self._base}{target} HTTP/1.1\r\n", self._host_line]
        if length or method == "POST":
            lines.append(f"Content-Length: {length}\r\n")
        for name, value in headers.items():
            if not value.isprintable():  # a line break would begin another header
                raise InvalidInput(f"the header {name} has characters that no header has")
            lines.append(f"{name}: {value}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode()

    async def _take(self, end: float) -> None:
        """Wait for one's turn, until ``end`` (the loop's time)."""
        if self._taken < self._limit:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(end):
                await turn
        except (asyncio.CancelledError, TimeoutError):
            if turn.done() and not turn.cancelled():
                self._give_back()
            raise

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1

    def _kept(self) -> _Connection | None:
        """A connection that was used before."""
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self, end: float) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(end, loop.time() + self._connect_seconds)):
            if self._path:
                _, made = await loop.create_unix_connection(lambda: _Connection(self._most), self._path)
            else:
                _, made = await loop.create_connection(
                    lambda: _Connection(self._most), self._host, self._port, ssl=self._tls
                )
        self._open.add(made)
        return made

    def _put_back(self, connection: _Connection) -> None:
        if connection.usable:
            self._free.append(connection)
        else:
            self._open.discard(connection)
            connection.end()


class _Connection(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body: list[bytes] = []
        self._size = 0
        self.heard = False
        """Whether a byte of the present answer came."""

    @property
    def usable(self) -> bool:
        """Whether it takes a question now."""
        return self._transport is not None and self._answer is None and not self._transport.is_closing()

    async def ask(self, question: bytes, end: float) -> tuple[int, bytes]:
        """Status and body of the answer, which must be there by ``end`` (the loop's time)."""
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._size, self.heard = [], 0, False
        assert self._transport is not None  # noqa: S101 - it is usable
        late = loop.call_at(end, self._break, TimeoutError())  # less than a context of asyncio.timeout() each time
        try:
            self._transport.write(question)
            return await self._answer
        except RuntimeError as error:  # uvloop's, where the socket is gone
            raise ConnectionResetError(str(error)) from error
        except asyncio.CancelledError:
            self.end()  # its answer would be taken for that to the next question
            raise
        finally:
            late.cancel()

    def end(self) -> None:
        self._fail(ConnectionAbortedError("closed"))
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._parser is None:
            self.end()  # nobody asked
            return
        self.heard = True
        self._size += len(data)
        if self._size > self._most + _HEAD_LIMIT:
            self._break(ConnectionAbortedError("the answer is too long"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(ConnectionAbortedError(f"the answer is no HTTP: {type(error).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionResetError("the server ended the connection"))
        self._transport = None

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.end()  # a second answer to one question

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser, answer = self._parser, self._answer
        if parser is None or answer is None:
            return
        status, body = parser.get_status_code(), b"".join(self._body)
        if status < 200 or len(body) > self._most:
            self._break(ConnectionAbortedError("an interim answer" if status < 200 else "the answer is too long"))
            return
        self._parser = self._answer = None
        if not parser.should_keep_alive():
            self.end()
        if not answer.done():
            answer.set_result((status, body))

    def _break(self, error: OSError) -> None:
        self._fail(error)
        self.end()

    def _fail(self, error: OSError) -> None:
        answer, self._answer, self._parser = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
