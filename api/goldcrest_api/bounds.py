"""Bounds on answers, whatever the route: when they must have begun, and how large one that is made in memory may be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldcrest.telemetry import Log

_SIZE_LIMIT: Final = {"X-Size-Limit": "Answer exceeds size limit"}

_log = Log(__name__)


class AnswerBounds:
    """ASGI middleware.

    Args:
        seconds: after the last byte of the request that the route read; then the route is stopped and the client gets 504. Once the
            answer has begun it may take as long as it takes.
        size: bytes of an answer that was made in memory, in one piece; instead of a larger one the client gets 400.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, size: int) -> None:
        self._app = app
        self._seconds = seconds
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Bounded(send, size=self._size)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds) as deadline:

                async def received() -> Message:
                    message = await receive()
                    if message["type"] == "http.request" and not answer.begun:
                        deadline.reschedule(loop.time() + self._seconds)
                    return message

                async def sent(message: Message) -> None:
                    if not answer.begun:
                        deadline.reschedule(None)
                    await answer.send(message)

                await self._app(scope, received, sent)
        except TimeoutError:
            if answer.begun:
                raise
            _log.warning("request.late", seconds=self._seconds)
            await answer.refuse(504, f"There was no answer within {self._seconds:g} seconds", {"Retry-After": "10"})


class _Bounded:
    def __init__(self, send: Send, *, size: int) -> None:
        self._send = send
        self._size = size
        self._held: Message | None = None
        self._dropped = False
        self.begun = False

    async def send(self, message: Message) -> None:
        self.begun = True
        if message["type"] == "http.response.start" and self._is_large(message):
            self._held = message  # a stream of a known length is large, too: its first piece tells
            return
        if self._held is not None:
            held, self._held = self._held, None
            if message.get("more_body"):
                await self._send(held)
            else:
                self._dropped = True
                text = f"The answer has more than {self._size} bytes: ask for less at once"
                await self.refuse(400, text, _SIZE_LIMIT)
        if not self._dropped:
            await self._send(message)

    async def refuse(self, status: int, description: str, headers: Mapping[str, str]) -> None:
        self.begun = True
        body = orjson.dumps({"description": description}, option=orjson.OPT_APPEND_NEWLINE)
        told = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})

    def _is_large(self, message: Message) -> bool:
        return any(name == b"content-length" and int(value) > self._size for name, value in message["headers"])
