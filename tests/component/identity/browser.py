"""A person with a browser, as far as login pages need one: follows redirects, keeps cookies, fills in forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

_STEPS = 20
_NOT_PRESSED = ("", "cancel", "abort", "rememberMe")


@dataclass
class Form:
    """The first form of a page."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """Where the browser is, and what it shows."""

    url: str
    text: str
    form: Form | None
    status: int = 200


class Browser:
    """One person's browser.

    Args:
        server: URL of the login pages' server. Like all browsers' its loopback counts as secure, for cookies that ask for that.
        stops_at: redirects to URLs that begin so are not followed: they are what a flow ends with.
    """

    def __init__(self, *, user: str, password: str, server: str, stops_at: str = "http://nowhere.invalid") -> None:
        self._answers = {"username": user, "password": password, "confirm": "yes", "accept": "Yes"}
        self._stops_at = stops_at
        self.urls: list[str] = []
        """All that were opened or stopped at."""
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=URL(server).origin())
        self._session = aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=60))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self._session.close()

    def cookies(self, url: str) -> SimpleCookie:
        """Those that a page there is sent, with their attributes."""
        wanted = self._session.cookie_jar.filter_cookies(URL(url))
        return SimpleCookie({each.key: each for each in self._session.cookie_jar if each.key in wanted})

    async def open(self, url: str, *, data: dict[str, str] | None = None, follow_all: bool = False) -> Page:
        """One page, with a form by POST.

        Args:
            follow_all: also to ``stops_at``.
        """
        return await self._open("GET" if data is None else "POST", url, data, stops=not follow_all)

    async def sign_in(self, url: str, *, until: str = "", change: dict[str, str] | None = None) -> Page:
        """Open a page and fill in forms until there is none, or until the browser is sent to ``stops_at`` or ``until``.

        Args:
            change: parameters of the login page's URL that somebody on the way changes.
        """
        page = await self._open("GET", url, None, change=change)
        for _ in range(_STEPS):
            if page.form is None or page.url == until:
                return page
            filled = {name: self._answers.get(name, value) for name, value in page.form.fields.items()}
            shown = page.text
            page = await self._open("POST", urljoin(page.url, page.form.action), filled)
            if page.text == shown:
                raise AssertionError(f"the same page again: {shown[:3000]}")
        raise AssertionError(f"no end: {page.url}")

    async def _open(
        self,
        method: str,
        url: str,
        data: dict[str, str] | None,
        *,
        stops: bool = True,
        change: dict[str, str] | None = None,
    ) -> Page:
        for _ in range(_STEPS):
            if change and set(change) <= set(URL(url).query):
                url = str(URL(url).update_query(change))
            self.urls.append(url)
            if stops and url.startswith(self._stops_at):
                return Page(url, "", None)
            async with self._session.request(
                method, URL(url, encoded=True), data=data, allow_redirects=False
            ) as response:
                text = await response.text()
                if response.status not in (301, 302, 303, 307, 308):
                    parser = _Forms()
                    parser.feed(text)
                    return Page(url, text, parser.form, response.status)
                url, method, data = urljoin(url, response.headers["Location"]), "GET", None
        raise AssertionError(f"too many redirects, the last to {url}")


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.form is None:
            self.form, self._inside = Form(given.get("action", "")), True
        elif self._inside and self.form is not None and tag in ("input", "button"):
            name = given.get("name", "")
            if name not in _NOT_PRESSED:
                self.form.fields.setdefault(name, given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
