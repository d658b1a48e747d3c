"""Tokens of the light OIDC server, by each flow: from its token endpoint to a grant."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

from component.identity import flows
from component.identity.identity_stage import IdentityStage, claims_in
from component.identity.issuers import Issuers

pytestmark = pytest.mark.component


async def test_client_credentials(stage: IdentityStage, light: dict[str, Any]) -> None:
    """A program that works for a person, as the issuer says."""
    claims = await stage.granted(await flows.by_client_credentials(light, "alice-client"), user="alice")
    assert claims["iss"] == light["issuer"]
    assert claims["claims"]["scopes"] == ["firecrest"]
    assert claims["claims"]["token"] == {"azp": "alice-client"}  # nobody signed in


async def test_service_account(stage: IdentityStage, light: dict[str, Any]) -> None:
    """A program that is nobody's is the Unix user that the table of its rule says, by the claim that the rule says."""
    claims = await stage.granted(await flows.by_client_credentials(light, "portal"), user="svc-portal")
    assert claims["sub"] == "portal"


async def test_code_with_pkce(stage: IdentityStage, light: dict[str, Any], issuers: Issuers) -> None:
    """A person with a browser; how and when they signed in reaches the grant, with its types."""
    tokens = await flows.by_code(light, issuers.redirect_uri, user="alice")
    claims = await stage.granted(tokens["access_token"], user="alice")
    signed_in = claims["claims"]["token"]
    assert (signed_in["acr"], signed_in["amr"], signed_in["azp"]) == ("1", ["pwd"], "web")
    assert 0 <= time.time() - signed_in["auth_time"] < 300
    await stage.refused(
        tokens["id_token"], code="InvalidAudience", description="Invalid audience in JWT token"
    )  # it is for the client


async def test_wrong_verifier(light: dict[str, Any], issuers: Issuers) -> None:
    """Who has only seen the code gets no token for it."""
    code = await flows.code_of(light, issuers.redirect_uri, user="alice", verifier=secrets.token_urlsafe(48))
    status, answer = await flows.exchange(light, issuers.redirect_uri, code=code, verifier=secrets.token_urlsafe(48))
    assert (status, answer["error"]) == (400, "invalid_grant")


async def test_device(stage: IdentityStage, light: dict[str, Any]) -> None:
    """A person who approves a program elsewhere."""
    claims = await stage.granted(await flows.by_device(light, user="bob"), user="bob")
    assert claims["claims"]["token"]["azp"] == "terminal"


async def test_without_a_user(stage: IdentityStage, light: dict[str, Any]) -> None:
    """A client that works for nobody, and says so: 401, but on the two services whose clients know 400 (contract 3.2)."""
    token = await flows.by_client_credentials(light, "unnamed-client")
    assert "preferred_username" not in claims_in(token)
    await stage.refused(token, code="NoUser", description="Bad header or JWT, general exception raised")
    status, headers, body = stage.rest_with_headers("/utilities/whoami", token)
    sentence = "Error creating certificate: 'preferred_username'"
    assert (status, body) == (400, {"description": "Error on whoami operation", "error": sentence})
    assert (headers["X-Error"], headers["X-Goldcrest-Code"]) == (sentence, "NoUser")
    status, headers, body = stage.rest_with_headers("/compute/jobs", token)
    assert (status, body) == (400, {"description": "Failed to retrieve jobs information"})
    assert (headers["X-Error"], headers["X-Goldcrest-Code"]) == (None, "NoUser")


async def test_without_the_scope(stage: IdentityStage, light: dict[str, Any]) -> None:
    """A client that does not have the scope is told which one."""
    token = await flows.by_client_credentials(light, "scopeless-client")
    await stage.refused(token, code="MissingScope", description="Scope 'firecrest' wasn't found in JWT")
