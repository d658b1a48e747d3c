"""The stage with real issuers: rules of identity.toml as docs/identity.md gives them, with the addresses of the tests."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from component.attacks.attack_stage import AttackStage
from component.attacks.test_tokens import grant_body
from component.delegation.callers import post
from component.identity.issuers import Issuers
from goldcrest.wellknown import namespace_of_user

PODS = "portal-pods"
"""The one namespace whose service accounts are Unix users."""

_RULES = """
[[issuer]]
issuer = "{keycloak[issuer]}"
jwks_url = "{keycloak[jwks_uri]}"
audience = "{keycloak[audience]}"
algorithms = ["RS256"]
username_claim = "preferred_username"
systems = ["cluster"]
required_scope = "firecrest"

[issuer.users]
service-account-portal = "svc-portal"

[[issuer]]
issuer = "{light[issuer]}"
jwks_url = "{light[jwks_uri]}"
audience = "{light[audience]}"
algorithms = ["RS256"]
username_claim = "preferred_username"
users_claim = "sub"
systems = ["cluster"]
required_scope = "firecrest"

[issuer.users]
portal = "svc-portal"

[[issuer]]
issuer = "{kubernetes}"
jwks_file = "{kubernetes_jwks}"
audience = "goldcrest"
algorithms = ["ES256"]
username_claim = "sub"
username_pattern = 'system:serviceaccount:{pods}:(?P<username>[a-z][a-z0-9-]*)'
systems = ["cluster"]
implied_scopes = ["firecrest"]

[issuer.users]
"system:serviceaccount:ci:builder" = "svc-ci"

[[issuer]]
issuer = "https://rotating.example"
jwks_url = "{rotating}"
audience = "goldcrest"
algorithms = ["ES256"]
username_claim = "preferred_username"
systems = ["cluster"]
required_scope = "firecrest"
"""


class IdentityStage(AttackStage):
    """Trusts Keycloak, the light OIDC server, its own API server, and an issuer whose keys a test serves at ``rotating``."""

    def __init__(self, folder: Path, issuers: Issuers, *, rotating: str) -> None:
        super().__init__(folder)
        self._issuers = issuers
        self._rotating = rotating

    @property
    def kubernetes_issuer(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def _fill_kubernetes(self) -> None:
        super()._fill_kubernetes()  # it is up now, delegation is not yet
        jwks = self.folder / "kubernetes-jwks.json"
        jwks.write_text(json.dumps(self.must("GET", "/openid/v1/jwks")))
        file = self.issuer.identity_file
        file.write_text(
            file.read_text()
            + _RULES.format(
                keycloak=self._issuers.keycloak_urls,
                light=self._issuers.light_urls,
                kubernetes=self.kubernetes_issuer,
                kubernetes_jwks=jwks,
                pods=PODS,
                rotating=self._rotating,
            )
        )

    def pod_token(self, namespace: str, account: str, *, audience: str = "goldcrest") -> str:
        """What a kubelet writes into a pod's projected volume."""
        self.namespace(namespace)
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        assert self.call("root", "POST", accounts, {"metadata": {"name": account}}).status in (201, 409)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [audience]}}
        return str(self.must("POST", f"{accounts}/{account}/token", body)["status"]["token"])

    async def granted(self, token: str, *, user: str) -> dict[str, Any]:
        """The token at delegation's door for a grant, the grant at admission's, and the token at the gateway's to see what it made.

        Returns what delegation wrote into the grant.
        """
        wanted = grant_body(token)
        wanted["namespace"] = self.namespace(namespace_of_user(user))
        wanted["spec"]["runAs"] = user
        caller = self.caller_token("goldcrest-api")
        status, answer = await post(self, "/v1/grants", wanted, token=caller)
        assert status == 200, answer
        resource = {
            "apiVersion": "hpc.goldcrest.dev/v1alpha1",
            "kind": "Job",
            "metadata": {"name": wanted["name"], "annotations": {"hpc.goldcrest.dev/grant": answer["grant"]}},
            "spec": wanted["spec"],
        }
        account = "system:serviceaccount:goldcrest:goldcrest-api"
        made = self.create_job(account, resource, namespace=wanted["namespace"])
        assert made.status == 201, made
        requested_by = made.body["spec"]["requestedBy"]
        claims = claims_in(answer["grant"])
        assert (requested_by["via"], requested_by["username"]) == ("Grant", user)
        assert (claims["username"], claims["runAs"]) == (user, user)
        status, body = self._seen(wanted["name"].removeprefix("r-"), token)
        assert (status, body.get("task", {}).get("user")) == (200, user), body
        return claims

    def _seen(self, task_id: str, token: str) -> tuple[int, dict[str, Any]]:
        """The task as the gateway shows it, which hears of it a moment later."""
        end = time.monotonic() + 10
        while (answer := self.rest(f"/tasks/{task_id}", token))[0] == 404 and time.monotonic() < end:
            time.sleep(0.05)
        return answer

    async def refused(self, token: str, *, code: str, description: str) -> None:
        """At both doors."""
        assert self.rest("/tasks", token) == (401, {"description": description})
        caller = self.caller_token("goldcrest-api")
        status, answer = await post(self, "/v1/grants", grant_body(token), token=caller)
        assert (status, answer["code"]) == (401, code)


def claims_in(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims
