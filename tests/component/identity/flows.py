"""How tokens are got from an OIDC server, by each flow: bare requests, so that what comes back is the server's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp

from component.identity.browser import Browser

SCOPE = "openid firecrest"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


async def token_request(urls: dict[str, Any], **form: str) -> tuple[int, dict[str, Any]]:
    """Status and answer of the token endpoint."""
    async with aiohttp.ClientSession() as session, session.post(urls["token_endpoint"], data=form) as response:
        return response.status, await response.json()


async def by_client_credentials(urls: dict[str, Any], client: str, **more: str) -> str:
    status, answer = await token_request(
        urls, grant_type="client_credentials", client_id=client, client_secret=urls["clients"][client]["secret"], **more
    )
    assert status == 200, answer
    return str(answer["access_token"])


async def code_of(urls: dict[str, Any], redirect_uri: str, *, user: str, verifier: str, scope: str = SCOPE) -> str:
    """An authorisation code for somebody who signed in."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    state = secrets.token_urlsafe(16)
    query = {
        "response_type": "code",
        "client_id": "web",
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    async with person(urls, user, stops_at=redirect_uri) as browser:
        page = await browser.sign_in(f"{urls['authorization_endpoint']}?{urlencode(query)}")
    answer = parse_qs(urlsplit(page.url).query)
    assert answer["state"] == [state], (page.url, page.text)
    return answer["code"][0]


async def exchange(urls: dict[str, Any], redirect_uri: str, *, code: str, verifier: str) -> tuple[int, dict[str, Any]]:
    return await token_request(
        urls,
        grant_type="authorization_code",
        client_id="web",
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=verifier,
    )


async def by_code(urls: dict[str, Any], redirect_uri: str, *, user: str) -> dict[str, Any]:
    """The whole answer of code and PKCE."""
    verifier = secrets.token_urlsafe(48)
    code = await code_of(urls, redirect_uri, user=user, verifier=verifier)
    status, answer = await exchange(urls, redirect_uri, code=code, verifier=verifier)
    assert status == 200, answer
    return answer


async def by_device(urls: dict[str, Any], *, user: str) -> str:
    """A device shows a code, its user approves elsewhere; before that the device is told to wait."""
    endpoint = urls["device_authorization_endpoint"]
    form = {"client_id": "terminal", "scope": SCOPE}
    async with aiohttp.ClientSession() as session, session.post(endpoint, data=form) as response:
        device = await response.json()
        assert response.status == 200, device
    asked = {"grant_type": DEVICE_CODE, "client_id": "terminal", "device_code": device["device_code"]}
    status, answer = await token_request(urls, **asked)
    assert (status, answer["error"]) == (400, "authorization_pending")
    async with person(urls, user) as browser:
        await browser.sign_in(device["verification_uri_complete"])
    await asyncio.sleep(device.get("interval", 0))
    status, answer = await token_request(urls, **asked)
    assert status == 200, answer
    return str(answer["access_token"])


def person(urls: dict[str, Any], user: str, *, stops_at: str = "http://nowhere.invalid") -> Browser:
    return Browser(user=user, password=urls["users"][user]["password"], server=urls["issuer"], stops_at=stops_at)
