"""Tokens of service accounts, which the API server itself issues: from a pod to a grant."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import aiohttp
import pytest

from component.identity.identity_stage import PODS, IdentityStage
from goldcrest.errors import Unavailable
from goldcrest.identity import TokenVerifier

pytestmark = pytest.mark.component

GENERAL = "Bad header or JWT, general exception raised"


async def test_pod(stage: IdentityStage) -> None:
    """A service account of the one namespace is the Unix user of its name; it has the scope that the rule implies."""
    claims = await stage.granted(stage.pod_token(PODS, "carol"), user="carol")
    assert (claims["iss"], claims["sub"]) == (stage.kubernetes_issuer, f"system:serviceaccount:{PODS}:carol")
    assert claims["claims"] == {"scopes": ["firecrest"], "groups": [], "token": {}, "route": ""}


async def test_single_account(stage: IdentityStage) -> None:
    """One of another namespace is what the rule's table says."""
    await stage.granted(stage.pod_token("ci", "builder"), user="svc-ci")


async def test_same_name_elsewhere(stage: IdentityStage) -> None:
    """Who may make service accounts in another namespace becomes nobody by it."""
    for namespace in ("ci", "default", f"{PODS}-2"):
        await stage.refused(stage.pod_token(namespace, "carol"), code="InvalidToken", description=GENERAL)


async def test_account_root(stage: IdentityStage) -> None:
    """Nor root, whatever the pattern says."""
    await stage.refused(stage.pod_token(PODS, "root"), code="InvalidToken", description=GENERAL)


async def test_token_for_the_api_server(stage: IdentityStage) -> None:
    """The token that every pod has for the API server is not for us: a pod must ask for one with our audience."""
    for audience in (stage.kubernetes_issuer, "goldcrest-delegation"):
        token = stage.pod_token(PODS, "carol", audience=audience)
        await stage.refused(token, code="InvalidAudience", description="Invalid audience in JWT token")


async def test_where_the_keys_are(stage: IdentityStage, tmp_path: Path) -> None:
    """Kubernetes shows its keys to service accounts only: strangers are refused until a role is bound to them."""
    url = f"{stage.kubernetes_issuer}/openid/v1/jwks"
    tls = ssl.create_default_context(cafile=str(stage.tls.ca))
    api_token = stage.pod_token(PODS, "carol", audience=stage.kubernetes_issuer)

    async def status(headers: dict[str, str]) -> int:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=tls) as response:
            return response.status

    assert await status({"Authorization": f"Bearer {api_token}"}) == 200
    assert await status({}) == 403
    verifier = TokenVerifier.from_file(_rule_with_url(stage, tmp_path, url))
    token = stage.pod_token(PODS, "carol")
    try:
        with pytest.raises(Unavailable, match="cannot be fetched now"):
            await verifier.verify(token)
    finally:
        await verifier.close()
    binding = {
        "metadata": {"name": "jwks-for-all"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"},
        ],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    stage.must("POST", bindings, binding)
    verifier = TokenVerifier.from_file(_rule_with_url(stage, tmp_path, url))
    try:
        assert (await verifier.verify(token)).username == "carol"
    finally:
        await verifier.close()
        stage.must("DELETE", f"{bindings}/jwks-for-all")


def _rule_with_url(stage: IdentityStage, folder: Path, url: str) -> Path:
    path = folder / "identity.toml"
    path.write_text(f"""
[[issuer]]
issuer = "{stage.kubernetes_issuer}"
jwks_url = "{url}"
ca_file = {json.dumps(str(stage.tls.ca))}
audience = "goldcrest"
algorithms = ["ES256"]
username_claim = "sub"
username_pattern = 'system:serviceaccount:{PODS}:(?P<username>[a-z][a-z0-9-]*)'
systems = ["cluster"]
implied_scopes = ["firecrest"]
""")
    return path
