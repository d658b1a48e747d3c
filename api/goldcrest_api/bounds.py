"""Bounds on answers, whatever the route: when they must have begun, and how large one that is made in memory may be."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldcrest.telemetry import Log
from goldcrest_api.codes import Code
from goldcrest_api.dialect import Fault
from goldcrest_api.mounts import send_fault

_SIZE_LIMIT: Final = {"X-Size-Limit": "Answer exceeds size limit"}
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # to be asked again; of others nobody knows what came of them

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
        answer = _Bounded(scope, receive, send, size=self._size)
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
            code = Code("AnswerLost", retryable=scope["method"] in _READING)
            told = f"There was no answer within {self._seconds:g} seconds"
            await answer.refuse(Fault(504, code, told, headers={"Retry-After": "10"} if code.retryable else {}))


class _Bounded:
    def __init__(self, scope: Scope, receive: Receive, send: Send, *, size: int) -> None:
        self._scope = scope
        self._receive = receive
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
                await self.refuse(Fault(400, Code("TooLarge"), text, headers=_SIZE_LIMIT))
        if not self._dropped:
            await self._send(message)

    async def refuse(self, fault: Fault) -> None:
        self.begun = True
        self._scope.setdefault("state", {})["code"] = fault.code.name
        await send_fault(fault, self._scope, self._receive, self._send)

    def _is_large(self, message: Message) -> bool:
        return any(name == b"content-length" and int(value) > self._size for name, value in message["headers"])
