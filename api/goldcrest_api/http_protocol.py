"""Heads of requests, for which uvicorn relies on a proxy: how many bytes, how long they may take to come, and what is said to a broken one."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

import orjson

from goldcrest.http_server import HttpServer
from goldcrest_api.codes import Code, code_headers

# Of a body that nobody wants, after the answer: to read so much is cheaper than a new connection.
_UNREAD_BYTES: Final = 1024 * 1024
_TOO_LARGE: Final = (
    "431 Request Header Fields Too Large",
    Code("TooLarge"),
    "The request's line and headers are too large",
)
_BROKEN: Final = ("400 Bad Request", Code("InvalidInput"), "The request is no HTTP")


def bounded_http(*, head_bytes: int, head_seconds: float) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's ``http``.

    Args:
        head_bytes: of a request's line and headers.
        head_seconds: until they must be there, from the start of a connection or of the head.
    """

    class BoundedHttp(HttpServer):
        """One connection. The parser keeps an unfinished header to itself, so bytes are counted before it sees them."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._in_head = True
            self._head_bytes = 0
            self._unread = 0
            self._timer: asyncio.TimerHandle | None = None
            self._answered: Any = None  # the request that is being answered
            self._is_broken = False  # nothing more is read as HTTP

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._is_broken:
                return
            if self._in_head:
                self._head_bytes += len(data)
            # A head that came whole, with a body behind it, is counted when it ends; one that has no end, here.
            super().data_received(data)
            if self._in_head and self._head_bytes > head_bytes:
                self._refuse()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head = True
            self._start_timer()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._stop_timer()
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > head_bytes:
                self._refuse()
                raise ValueError("too large")  # what ends the parsing
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            if self.cycle.response_complete:
                self._unread += len(body)
                if self._unread > _UNREAD_BYTES and not self.transport.is_closing():
                    self.transport.close()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._head_bytes = self._unread = 0

        def send_400_response(self, msg: str) -> None:
            self._end(_answer(*_BROKEN))

        def _start_timer(self) -> None:
            self._stop_timer()
            self._timer = self.loop.call_later(head_seconds, self._too_slow)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            self._answered = cycle
            super()._start_asgi_task(cycle, app)

        def _too_slow(self) -> None:
            self._end(b"")

        def _refuse(self) -> None:
            self.logger.warning("A request's line and headers are larger than %d bytes.", head_bytes)
            self._end(_answer(*_TOO_LARGE))

        def _end(self, answer: bytes) -> None:
            """No more requests from here. What came whole before is carried out, so it gets its own answer, and no other in its place."""
            if self._is_broken or self.transport.is_closing():
                return
            self._is_broken = True
            whole = [cycle for cycle, _ in self.pipeline if not cycle.more_body]  # latest first
            if self._answered is not None and not (self._answered.response_complete or self._answered.more_body):
                whole.append(self._answered)
            if whole:
                whole[0].keep_alive = False  # the connection ends after its answer
            else:
                self.transport.write(answer)
                self.transport.close()

    return BoundedHttp


def _answer(status: str, code: Code, description: str) -> bytes:
    """To what never became a request: no dialect is known, and nothing that the client said is."""
    body = orjson.dumps({"description": description}, option=orjson.OPT_APPEND_NEWLINE)
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
        "X-Request-ID": secrets.token_hex(16),
        **code_headers(code),
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
