"""Headers that answers get beside their own: how much may still be sent, the code of what is an error, TLS only from now on, and that this
process is about to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldcrest_api.codes import CODE_HEADER, code_headers, code_of_status

_HTTPS_ONLY: Final = "max-age=31536000"  # seconds: a year (RFC 6797)


class AnswerHeaders:
    """ASGI middleware.

    Args:
        leaving: whether the process is about to end.
    """

    def __init__(self, app: ASGIApp, *, leaving: Callable[[], bool]) -> None:
        self._app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                # Noted by request_scope.note_headers; what the answer itself says counts.
                for name, value in scope.get("state", {}).get("answer_headers", {}).items():
                    headers.setdefault(name, value)
                if message["status"] >= 400 and CODE_HEADER not in headers:  # made by what knows no codes
                    headers.update(code_headers(code_of_status(message["status"])))
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)
                if self._leaving():
                    headers["Connection"] = "close"  # the client's next request goes to another replica
                message["headers"] = headers.raw
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)
