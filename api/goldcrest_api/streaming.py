"""Answers that are sent piece by piece, for as long as there is something to tell and somebody who reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from goldcrest.telemetry import Log
from goldcrest_api.services.streams import Cut, Stream

_log = Log(__name__)

Pieces = Callable[[Stream], AsyncGenerator[bytes]]


class NothingRead(Exception):
    """A client has taken nothing for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing was read for {seconds:g} s")


def to_a_reader(send: Send, *, slow_seconds: float) -> Send:
    """The same ``send``, which does not wait for ever: it raises :class:`NothingRead`."""

    async def sent(message: Message) -> None:
        try:
            async with asyncio.timeout(slow_seconds):
                await send(message)
        except TimeoutError:
            raise NothingRead(slow_seconds) from None

    return sent


class StreamedResponse(Response):
    """Pieces as they come.

    The slot of the caller is given back however it ends. A reader who takes nothing for ``slow_seconds`` is cut off.

    Args:
        slot: the caller's stream, opened before the answer begins.
        pieces: what to send; raises :class:`Cut` to end without an end.
    """

    def __init__(
        self,
        slot: AbstractContextManager[Stream],
        pieces: Pieces,
        *,
        media_type: str,
        slow_seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._slot = slot
        self._stream = slot.__enter__()
        self._pieces = pieces
        self._slow_seconds = slow_seconds
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]  # nobody knows it
        self.headers["X-Accel-Buffering"] = "no"  # nginx, and ingresses made of it, would hold pieces back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending, leaving = asyncio.create_task(self._send_all(send)), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            (error, _) = await asyncio.gather(sending, leaving, return_exceptions=True)
            self._slot.__exit__(None, None, None)
        if isinstance(error, Exception):
            raise error

    async def _send_all(self, send: Send) -> None:
        send = to_a_reader(send, slow_seconds=self._slow_seconds)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with aclosing(self._pieces(self._stream)) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (NothingRead, Cut) as cut:
            self._note(str(cut))

    def _note(self, reason: str) -> None:
        _log.info("stream.cut", user=self._stream.caller.user, reason=reason)


async def _gone(receive: Receive) -> None:
    """Return when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
