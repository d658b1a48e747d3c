"""examples/portal, as it stands: people log in at the OIDC server with a browser, and the portal calls the gateway for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
import uvicorn

from component.admission.stage import REPOSITORY
from component.api.gateway import Gateway, running_gateway
from component.identity import flows
from component.identity.browser import Browser, Page
from component.identity.issuers import Issuers
from goldcrest.errors import CommandFailed, SystemUnreachable
from goldcrest.identity import TokenVerifier

pytestmark = pytest.mark.component

_RULE = """
[[issuer]]
issuer = "{issuer}"
jwks_url = "{jwks_uri}"
audience = "{audience}"
algorithms = ["RS256"]
username_claim = "preferred_username"
systems = ["*"]
required_scope = "firecrest"
"""


@dataclass
class Portal:
    """A running one."""

    url: str
    gateway: Gateway
    app: Any
    light: dict[str, Any]

    @property
    def sessions(self) -> dict[str, Any]:
        layer = self.app.middleware_stack
        while not hasattr(layer, "all"):
            layer = layer.app
        found: dict[str, Any] = layer.all
        return found

    def tokens(self) -> dict[str, Any]:
        """Of the one session there is."""
        (session,) = self.sessions.values()
        found: dict[str, Any] = session.data["tokens"]
        return found

    def person(self, user: str = "alice", *, stops_at: str = "http://nowhere.invalid") -> Browser:
        return flows.person(self.light, user, stops_at=stops_at)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def portal(issuers: Issuers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Portal]:
    """The portal, before a gateway that believes the OIDC server; the login node is a stand-in."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "examples" / "portal"))
    import portal as example

    light = issuers.light_urls
    rules = tmp_path / "identity.toml"
    rules.write_text(_RULE.format(**light))
    rules.chmod(0o600)
    verifier = TokenVerifier.from_file(rules)
    url = f"http://127.0.0.1:{issuers.portal_port}"
    async with running_gateway(tmp_path, verifier=verifier) as gateway:
        app = example.create_app(
            {
                "PORTAL_ISSUER": light["issuer"],
                "PORTAL_CLIENT_ID": "web-portal",
                "PORTAL_CLIENT_SECRET": light["clients"]["web-portal"]["secret"],
                "PORTAL_URL": url,
                "PORTAL_API": gateway.url,
                "PORTAL_SYSTEM": "cluster",
            }
        )
        server = _Server(uvicorn.Config(app, port=issuers.portal_port, log_config=None, access_log=False))
        task = asyncio.create_task(server.serve())
        async with asyncio.timeout(20):
            await server.ready.wait()
        try:
            yield Portal(url, gateway, app, light)
        finally:
            server.should_exit = True
            await task
            await app.state.client.aclose()
            await verifier.close()
            for name in ("portal", "api", "login", "sessions"):
                sys.modules.pop(name, None)


async def _logged_in(portal: Portal, browser: Browser) -> Page:
    """The browser goes to the login page, fills it in, and is back."""
    page = await browser.sign_in(portal.url + "/login", until=portal.url + "/")
    assert page.url == portal.url + "/", page
    return page


async def test_log_in_and_call(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    """Code and PKCE by redirects, and a page with what the system says. Nothing of the tokens is in the browser, URLs or logs."""
    caplog.set_level(logging.DEBUG)
    async with portal.person() as browser:
        assert (await browser.open(portal.url + "/")).status == 401
        page = await _logged_in(portal, browser)
        assert "You are <b>alice</b>" in page.text
        tokens = portal.tokens()
        # uvicorn's access log is off, but for pytest's own handler; the test on the bed reads all that the process writes.
        lines = [record.getMessage() for record in caplog.records if record.name != "uvicorn.access"]
        assert any("trace=" in line for line in lines)
        logged = "\n".join(lines)
        seen = page.text + str(browser.urls) + str(browser.cookies(portal.url)) + logged
        for secret in (tokens["access"], tokens["refresh"], portal.light["clients"]["web-portal"]["secret"]):
            assert len(secret) > 20
            assert secret not in seen
        (code,) = {parse_qs(urlsplit(url).query)["code"][0] for url in browser.urls if "code=" in url}
        assert code not in logged
        (login,) = (url for url in browser.urls if url.startswith(portal.light["authorization_endpoint"] + "?"))
        asked = parse_qs(urlsplit(login).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert len(asked["state"][0]) >= 20
        assert len(asked["nonce"][0]) >= 20
        assert "access_token" not in login
        cookie = browser.cookies(portal.url)["portal"]
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


async def test_all_that_the_process_writes(portal: Portal, issuers: Issuers, tmp_path: Path) -> None:
    """As docs/portal.md starts it: one line a call, with its trace; neither code, token, secret nor the cookie."""
    url = f"http://127.0.0.1:{issuers.process_port}"
    settings = {**portal.app.state.settings, "PORTAL_URL": url}
    log = tmp_path / "written"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(REPOSITORY / "examples" / "portal" / "portal.py"), env=settings, stdout=out, stderr=out
        )
    try:
        async with portal.person() as browser:

            async def asks_to_log_in() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    return (await browser.open(url + "/")).status == 401
                return False

            await portal.gateway.eventually(asks_to_log_in, seconds=60)
            page = await browser.sign_in(url + "/login", until=url + "/")
            assert "You are <b>alice</b>" in page.text
            cookie = browser.cookies(url)["portal"].value
            (code,) = {parse_qs(urlsplit(each).query)["code"][0] for each in browser.urls if "code=" in each}
    finally:
        process.terminate()
        await process.wait()
    written = log.read_text()
    assert re.search(r"portal GET / trace=[0-9a-f]{32}\n", written)
    for secret in (code, cookie, settings["PORTAL_CLIENT_SECRET"], "eyJ", "Bearer"):
        assert secret not in written


async def test_job_is_submitted_once(portal: Portal) -> None:
    """A form that is sent twice is one task, shown on a page of its own; the trace that the portal began goes through."""
    async with portal.person() as browser:
        page = await _logged_in(portal, browser)
        assert page.form is not None
        fields = page.form.fields | {"script": "#!/bin/sh\r\nhostname\r\n"}
        first = await browser.open(portal.url + "/jobs", data=fields)
        second = await browser.open(portal.url + "/jobs", data=fields)
        assert first.url == second.url
        assert "<p>100: " in first.text
        (granted,) = {each["name"]: each for each in portal.gateway.delegation.granted}.values()
        assert granted["spec"]["runAs"] == "alice"
        assert granted["spec"]["script"]["inline"] == "#!/bin/sh\nhostname\n"
        assert granted["trace"].split("-")[3] == "01"


async def test_form_of_another_page(portal: Portal) -> None:
    """Without the number that only our own forms have nothing is submitted."""
    async with portal.person() as browser:
        await _logged_in(portal, browser)
        page = await browser.open(
            portal.url + "/jobs", data={"script": "#!/bin/sh\n", "key": "theirs", "form": "guess"}
        )
        assert page.status == 401
        assert portal.gateway.delegation.granted == []


async def test_errors_by_their_codes(portal: Portal) -> None:
    """What passes by itself is tried again, and then said to; what does not is not; administrators get code and trace."""
    async with portal.person() as browser:
        await _logged_in(portal, browser)
        node = portal.gateway.node
        node.refusal = SystemUnreachable("away")
        before = len(node.asked)
        page = await browser.open(portal.url + "/")
        assert page.status == 502
        assert "Trying again makes sense, in 2 s." in page.text
        assert "<code>SystemUnreachable</code>" in page.text
        assert len(node.asked) == before + 3
        (trace_id,) = {trace.trace_id for trace in node.traces[before:]}
        assert f"trace <code>{trace_id}</code>" in page.text
        node.refusal = CommandFailed("", kind="os", errno_name="EACCES")
        page = await browser.open(portal.url + "/")
        assert page.status == 400
        assert "Trying again does not help." in page.text
        assert "<code>PermissionDenied</code>" in page.text
        assert len(node.asked) == before + 4


@pytest.mark.parametrize("change", ["wrong state", "no state", "no code", "other issuer"])
async def test_answers_that_fit_to_nothing(portal: Portal, change: str) -> None:
    """Nobody is logged in, and no code of a stranger is used."""
    async with portal.person(stops_at=portal.url + "/callback") as browser:
        page = await browser.sign_in(portal.url + "/login")
        answer = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
        match change:
            case "wrong state":
                answer["state"] = "x" * len(answer["state"])
            case "no state":
                del answer["state"]
            case "no code":
                del answer["code"]
            case "other issuer":
                answer["iss"] = "https://evil.example"
        refused = await browser.open(f"{portal.url}/callback?{urlencode(answer)}", follow_all=True)
        assert (refused.status, "Not logged in" in refused.text) == (400, True)
        assert (await browser.open(portal.url + "/")).status == 401


async def test_answer_of_somebody_elses_login(portal: Portal) -> None:
    """An attacker's own code and state, sent to a victim's browser: the victim is not logged in as the attacker."""
    callback = portal.url + "/callback"
    async with portal.person("bob", stops_at=callback) as attacker, portal.person(stops_at=callback) as victim:
        theirs = await attacker.sign_in(portal.url + "/login")
        await victim.open(portal.url + "/login")
        refused = await victim.open(theirs.url, follow_all=True)
        assert refused.status == 400
        assert (await victim.open(portal.url + "/")).status == 401


async def test_answer_that_comes_twice(portal: Portal) -> None:
    """The state counts once; a used code with a new state is refused by the issuer, who then takes the tokens back."""
    callback = portal.url + "/callback"
    async with portal.person(stops_at=callback) as browser:
        page = await browser.sign_in(portal.url + "/login")
        assert (await browser.open(page.url, follow_all=True)).status == 200
        assert (await browser.open(page.url, follow_all=True)).status == 400
        code = parse_qs(urlsplit(page.url).query)["code"][0]
        again = await browser.sign_in(portal.url + "/login")
        state = parse_qs(urlsplit(again.url).query)["state"][0]
        refused = await browser.open(f"{callback}?{urlencode({'code': code, 'state': state})}", follow_all=True)
        assert refused.status == 400
        assert "The log-in did not succeed." in refused.text


async def test_nonce_of_another_login(portal: Portal) -> None:
    """An ID token that was made for another question is not taken."""
    callback = portal.url + "/callback"
    async with portal.person(stops_at=callback) as browser:
        page = await browser.sign_in(portal.url + "/login", change={"nonce": "another"})
        refused = await browser.open(page.url, follow_all=True)
        assert refused.status == 400
        assert "does not fit to this log-in" in refused.text


async def test_user_says_no(portal: Portal) -> None:
    """access_denied, in plain words; what the URL says beside it is not shown."""
    async with portal.person(stops_at=portal.url + "/callback") as browser:
        page = await browser.sign_in(portal.url + "/login")
        state = parse_qs(urlsplit(page.url).query)["state"][0]
        told = {"state": state, "error": "access_denied", "error_description": "<b>call 555-1234</b>"}
        refused = await browser.open(f"{portal.url}/callback?{urlencode(told)}", follow_all=True)
        assert refused.status == 400
        assert "said no" in refused.text
        assert "555" not in refused.text


async def test_tokens_are_renewed(portal: Portal) -> None:
    """One that is about to end, and one that the gateway refuses although it should count; many requests at once renew once."""
    async with portal.person() as browser:
        await _logged_in(portal, browser)
        tokens = portal.tokens()
        first = tokens["access"]
        assert (await browser.open(portal.url + "/")).status == 200  # 20 s are less than it wants to have left
        second = portal.tokens()
        assert second["access"] != first
        second["ends"] += 1000
        pages = await asyncio.gather(*(browser.open(portal.url + "/") for _ in range(5)))
        assert {page.status for page in pages} == {200}
        assert portal.tokens() is second
        second["access"] = "broken"
        pages = await asyncio.gather(*(browser.open(portal.url + "/") for _ in range(5)))
        assert {page.status for page in pages} == {200}
        assert portal.tokens()["access"] not in (first, "broken")


async def test_renewal_is_refused(portal: Portal) -> None:
    """The issuer took the log-in back: the user is asked to log in again, and can."""
    async with portal.person() as browser:
        await _logged_in(portal, browser)
        secret = portal.light["clients"]["web-portal"]["secret"]
        form = {"token": portal.tokens()["refresh"], "client_id": "web-portal", "client_secret": secret}
        revoked = portal.light["issuer"] + "/token/revocation"
        async with aiohttp.ClientSession() as session, session.post(revoked, data=form) as answer:
            assert answer.status == 200, await answer.text()
        page = await browser.open(portal.url + "/")
        assert (page.status, "Log in" in page.text) == (401, True)
        assert portal.sessions == {}
        assert "You are <b>alice</b>" in (await _logged_in(portal, browser)).text


async def test_log_out(portal: Portal) -> None:
    """The session and its tokens are gone; its cookie, used again, is nobody's."""
    async with portal.person() as browser:
        page = await _logged_in(portal, browser)
        assert page.form is not None
        cookie = browser.cookies(portal.url)["portal"].value
        form = {"form": page.form.fields["form"]}
        await browser.open(portal.url + "/logout", data=form, follow_all=False)
        assert portal.sessions == {}
        sent = {"Cookie": f"portal={cookie}"}
        async with aiohttp.ClientSession() as session, session.get(portal.url + "/", headers=sent) as answer:
            assert answer.status == 401


async def test_session_gets_a_new_number_with_the_login(portal: Portal) -> None:
    """Who knew the cookie before somebody logged in knows nothing afterwards."""
    callback = portal.url + "/callback"
    async with portal.person(stops_at=callback) as browser:
        page = await browser.sign_in(portal.url + "/login")
        before = browser.cookies(portal.url)["portal"].value
        await browser.open(page.url, follow_all=True)
        assert browser.cookies(portal.url)["portal"].value != before
        assert before not in portal.sessions


@pytest.mark.parametrize("name", ["PORTAL_ISSUER", "PORTAL_URL"])
def test_plain_http_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But on loopback."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "examples" / "portal"))
    from portal import create_app  # type: ignore[import-not-found]

    settings = {"PORTAL_ISSUER": "https://idp.example", "PORTAL_URL": "https://p.example", "PORTAL_CLIENT_ID": "p"}
    with pytest.raises(ValueError, match="is not https"):
        create_app(settings | {name: "http://idp.example"})
