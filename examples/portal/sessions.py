"""Sessions that stay at the server: the browser holds nothing but a random number, in a cookie that no script can read."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IDLE_SECONDS = 8 * 3600
MOST = 10_000  # sessions; the one that was idle for longest goes first


@dataclass
class Session:
    """What is known of one browser."""

    data: dict[str, Any] = field(default_factory=dict)
    """Of the log-in that is under way, and afterwards the tokens."""
    refreshing: asyncio.Lock = field(default_factory=asyncio.Lock)
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """In every form of ours, so that no other page can send one."""
    seen: float = field(default_factory=time.monotonic)


class Sessions:
    """ASGI middleware: ``request.session`` is the data, ``request.state.session`` the whole.

    Kept in memory, for one process. More of them share a store: Redis, say, with the same random numbers as keys.

    Args:
        secure: whether the portal is served by HTTPS. Then the cookie is sent by HTTPS only, and no neighbour can set it (``__Host-``).
    """

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._secure = secure
        self._cookie = "__Host-portal" if secure else "portal"
        self.all: dict[str, Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = HTTPConnection(scope).cookies.get(self._cookie, "")
        session = self._known(given) or Session()
        scope["session"] = session.data
        scope.setdefault("state", {})["session"] = session

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = self._kept(given, session, renew=scope["state"].get("renew_session", False))
                if cookie is not None:
                    MutableHeaders(raw=message["headers"]).append("Set-Cookie", cookie)
            await send(message)

        await self._app(scope, receive, sent)

    def _known(self, number: str) -> Session | None:
        session = self.all.get(number)
        if session is None or time.monotonic() - session.seen > IDLE_SECONDS:
            self.all.pop(number, None)
            return None
        session.seen = time.monotonic()
        return session

    def _kept(self, number: str, session: Session, *, renew: bool) -> str | None:
        """The cookie to set, if any: a new number for a new session, and for one whose owner has just logged in."""
        if number in self.all and not renew:
            if session.data:
                return None
            del self.all[number]  # logged out
            return self._header("", seconds=0)
        self.all.pop(number, None)
        if not session.data:
            return None
        if len(self.all) >= MOST:
            self.all.pop(min(self.all, key=lambda key: self.all[key].seen))
        number = secrets.token_urlsafe(32)
        self.all[number] = session
        return self._header(number, seconds=IDLE_SECONDS)

    def _header(self, number: str, *, seconds: int) -> str:
        cookie: SimpleCookie = SimpleCookie({self._cookie: number})
        # Lax: it comes along when the identity provider sends the browser back, and with no form of another site.
        cookie[self._cookie].update({"path": "/", "httponly": True, "samesite": "Lax", "max-age": seconds})
        if self._secure:
            cookie[self._cookie]["secure"] = True
        return cookie[self._cookie].OutputString()
