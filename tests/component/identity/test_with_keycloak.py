"""Tokens of a real Keycloak, by each flow: from its token endpoint to a grant. The file's name lets others go first."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt
import pytest

from component.identity import flows
from component.identity.identity_stage import IdentityStage, claims_in
from component.identity.issuers import Issuers
from goldcrest.errors import Unauthenticated
from goldcrest.identity import TokenVerifier, load_rules
from goldcrest.identity.keys import AGE_SECONDS, REFRESH_SECONDS

pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]  # the first start downloads and compiles it

GENERAL = "Bad header or JWT, general exception raised"


async def test_client_credentials(stage: IdentityStage, keycloak: dict[str, Any]) -> None:
    """A program that works for a person, by a mapper at its client."""
    claims = await stage.granted(await flows.by_client_credentials(keycloak, "alice-client"), user="alice")
    assert claims["iss"] == keycloak["issuer"]
    assert claims["claims"]["scopes"] == ["firecrest"]
    # Nobody signed in, and still Keycloak says acr 1: policy must ask for auth_time or amr as well.
    assert claims["claims"]["token"] == {"acr": "1", "amr": [], "azp": "alice-client"}


async def test_service_account(stage: IdentityStage, keycloak: dict[str, Any]) -> None:
    """Keycloak calls the account of a client service-account-<client>: the rule's table says which Unix user that is."""
    token = await flows.by_client_credentials(keycloak, "portal")
    assert claims_in(token)["preferred_username"] == "service-account-portal"
    await stage.granted(token, user="svc-portal")


async def test_code_with_pkce(stage: IdentityStage, keycloak: dict[str, Any], issuers: Issuers) -> None:
    """A person with a browser; how and when they signed in reaches the grant, with its types."""
    tokens = await flows.by_code(keycloak, issuers.redirect_uri, user="alice")
    claims = await stage.granted(tokens["access_token"], user="alice")
    signed_in = claims["claims"]["token"]
    assert (signed_in["acr"], signed_in["amr"], signed_in["azp"]) == ("1", [], "web")
    assert 0 <= time.time() - signed_in["auth_time"] < 300


async def test_id_and_refresh_tokens(stage: IdentityStage, keycloak: dict[str, Any], issuers: Issuers) -> None:
    """An ID token is signed by the same key and, with Keycloak's audience mapper, for the same audience: it is no key."""
    tokens = await flows.by_code(keycloak, issuers.redirect_uri, user="alice")
    assert "goldcrest" in claims_in(tokens["id_token"])["aud"]
    await stage.refused(tokens["id_token"], code="InvalidToken", description=GENERAL)
    await stage.refused(
        tokens["refresh_token"], code="InvalidAlgorithm", description="JWT token has invalid signature algorithm"
    )


async def test_wrong_verifier(keycloak: dict[str, Any], issuers: Issuers) -> None:
    """Who has only seen the code gets no token for it."""
    code = await flows.code_of(keycloak, issuers.redirect_uri, user="alice", verifier=secrets.token_urlsafe(48))
    status, answer = await flows.exchange(keycloak, issuers.redirect_uri, code=code, verifier=secrets.token_urlsafe(48))
    assert (status, answer["error"]) == (400, "invalid_grant")


async def test_device(stage: IdentityStage, keycloak: dict[str, Any]) -> None:
    """A person who approves a program elsewhere."""
    claims = await stage.granted(await flows.by_device(keycloak, user="bob"), user="bob")
    assert claims["claims"]["token"]["azp"] == "terminal"


async def test_rotation(stage: IdentityStage, keycloak: dict[str, Any]) -> None:
    """A realm gets another key, and loses it again: its tokens count after half a minute, and for five minutes after its end."""
    ticks = [1000.0]
    verifier = TokenVerifier(load_rules(stage.issuer.identity_file), ticks=lambda: ticks[0])

    async def token() -> str:
        return await flows.by_client_credentials(keycloak, "alice-client")

    try:
        old = await token()
        await verifier.verify(old)
        async with another_key(keycloak):
            new = await token()
            assert kid_of(new) != kid_of(old)
            ticks[0] += REFRESH_SECONDS - 1
            with pytest.raises(Unauthenticated, match="by a key that its issuer does not publish"):
                await verifier.verify(new)
            ticks[0] += 1
            assert (await verifier.verify(new)).username == "alice"
            assert (await verifier.verify(old)).username == "alice"  # both are published
            later = await token()
        ticks[0] += AGE_SECONDS
        with pytest.raises(Unauthenticated, match="by a key that its issuer does not publish"):
            await verifier.verify(later)
        assert (await verifier.verify(await token())).username == "alice"
    finally:
        await verifier.close()


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@asynccontextmanager
async def another_key(keycloak: dict[str, Any]) -> AsyncIterator[None]:
    """A new key that the realm signs with, beside the one that it has."""
    server, _, realm = keycloak["issuer"].partition("/realms/")
    form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin"}
    master = {"token_endpoint": f"{server}/realms/master/protocol/openid-connect/token"}
    status, answer = await flows.token_request(master, **form, password=keycloak["admin_password"])
    assert status == 200, answer
    key = {
        "name": "another",
        "providerId": "rsa-generated",
        "providerType": "org.keycloak.keys.KeyProvider",
        "config": {"priority": ["200"], "algorithm": ["RS256"]},
    }
    components = f"{server}/admin/realms/{realm}/components"
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(components, json=key) as made:
            assert made.status == 201, await made.text()
        try:
            yield
        finally:
            async with session.delete(made.headers["Location"]) as removed:
                assert removed.status == 204, await removed.text()


async def test_without_the_scope(stage: IdentityStage, keycloak: dict[str, Any]) -> None:
    """A client to which the scope was not given cannot ask for it either, and is told which one."""
    token = await flows.by_client_credentials(keycloak, "scopeless-client")
    await stage.refused(token, code="MissingScope", description="Scope 'firecrest' wasn't found in JWT")
    status, answer = await flows.token_request(
        keycloak,
        grant_type="client_credentials",
        client_id="scopeless-client",
        client_secret=keycloak["clients"]["scopeless-client"]["secret"],
        scope="firecrest",
    )
    assert (status, answer["error"]) == (400, "invalid_scope")
