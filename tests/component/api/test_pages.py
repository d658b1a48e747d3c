"""``/docs`` where there is no internet: all that the page needs comes from the gateway, and a browser is told to load nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

from component.api.gateway import Gateway

pytestmark = pytest.mark.component


class _References(HTMLParser):
    """What a page has its browser load, and whether it has code or style of its own, which our policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        for name, value in attrs:
            if name in ("src", "href", "action", "srcset", "data"):
                self.found.append(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


async def test_page_loads_nothing_from_elsewhere(gateway: Gateway) -> None:
    """Its script, its style and the description are all relative to the page, so that they are found behind a proxy's path too."""
    page = await gateway.request("GET", "/docs", user=None)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    references = _References()
    references.feed(page.text)
    assert references.inline == []
    assert len(references.found) == 4
    for address in references.found:
        if address == "data:,":  # no icon
            continue
        assert not urlsplit(address).scheme + urlsplit(address).netloc
        assert not address.startswith("/")
        part = await gateway.request("GET", urlsplit(urljoin(gateway.url + "/docs", address)).path, user=None)
        assert part.status == 200
        kind = part.headers["Content-Type"].partition(";")[0]
        assert kind == ("text/css" if address.endswith(".css") else "text/javascript")
        assert part.headers["X-Content-Type-Options"] == "nosniff"  # so the kind counts
        assert part.headers["Cache-Control"] == "public, max-age=3600"
        if address.endswith(".css"):
            assert all(url.strip("'\"").startswith("data:") for url in re.findall(r"url\(([^)]{1,40})", part.text))
            assert "@import" not in part.text
        if address.endswith("start.js"):
            assert 'url: "openapi.json"' in part.text


async def test_policy_of_the_page(gateway: Gateway) -> None:
    """From ourselves only, without exceptions for code in the page; nobody may frame it, and no answer of data is loosened."""
    policy = (await gateway.request("GET", "/docs", user=None)).headers["Content-Security-Policy"]
    rules = {name: values for name, *values in (rule.split() for rule in policy.split(";"))}
    assert rules.pop("default-src") == rules.pop("frame-ancestors") == rules.pop("base-uri") == ["'none'"]
    assert rules.pop("form-action") == ["'none'"]
    assert rules.pop("img-src") == ["'self'", "data:"]  # drawings within the style
    assert rules == {"script-src": ["'self'"], "style-src": ["'self'"], "connect-src": ["'self'"]}
    for path in ("/openapi.json", "/docs/no-part", "/tasks"):
        other = (await gateway.request("GET", path)).headers["Content-Security-Policy"]
        assert other == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "name", ["..%2f__init__.py", "%2e%2e%2fcore.py", "redoc.standalone.js", "swagger-ui.css.map", "a%00"]
)
async def test_no_other_file_of_the_package(gateway: Gateway, name: str) -> None:
    """A closed list of parts."""
    assert (await gateway.request("GET", f"/docs/{name}", user=None)).status == 404


async def test_description_names_what_the_page_shows(gateway: Gateway) -> None:
    """OpenAPI 3.1, with every public route of the dialect and the token that it asks for."""
    page = (await gateway.request("GET", "/openapi.json", user=None)).json()
    assert page["openapi"].startswith("3.1")
    assert page["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    shown = {(path, method) for path, methods in page["paths"].items() for method in methods}
    assert len(shown) > 40
    for path, method in shown:
        assert page["paths"][path][method]["security"] == [{"token": []}]
        assert page["paths"][path][method]["summary"].endswith(".")
