"""Keycloak with the same clients and people as the light OIDC provider (``up --with keycloak``)."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from goldcrest_bed import apt, maven
from goldcrest_bed.command import output
from goldcrest_bed.component import Command, HostProcess, http_ready, remove_tree
from goldcrest_bed.components.oidc import described_clients, described_users, identity_facts
from goldcrest_bed.context import Bed
from goldcrest_bed.kubeconfig import write_private

NAME = "keycloak"
REALM = "goldcrest"


def keycloak(bed: Bed) -> HostProcess:
    """The component. Its database is in memory and filled from the realm file at every start."""
    port = bed.config.port("keycloak")
    issuer = f"http://127.0.0.1:{port}/realms/{REALM}"
    folder = bed.paths.data / NAME
    version = bed.versions.maven[NAME]["version"]
    home = folder / f"keycloak-{version}"

    def prepared() -> None:
        java = bed.versions.toolchain["java_package"]
        apt.ensure([java], why=NAME, log=bed.paths.logs / "apt.log", report=bed.report)
        maven.fetch(bed, NAME, kind="tar.gz")

    def configured() -> None:
        if not (folder / "unpacked").exists():
            remove_tree(folder)  # half of it, from an interrupted start
            folder.mkdir(parents=True, mode=0o700)
            with tarfile.open(maven.fetch(bed, NAME, kind="tar.gz")) as archive:
                archive.extractall(folder, filter="data")
            (folder / "unpacked").touch()
        realm = home / "data" / "import" / f"{REALM}.json"
        realm.parent.mkdir(parents=True, exist_ok=True)
        write_private(realm, json.dumps(realm_file(bed), indent=1))

    def command() -> Command:
        return Command(
            [
                str(home / "bin" / "kc.sh"),
                "start-dev",
                "--import-realm",
                "--db=dev-mem",
                "--http-host=127.0.0.1",
                f"--http-port={port}",
                f"--hostname=http://127.0.0.1:{port}",
            ],
            env={"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"},
            cwd=home,
        )

    protocol = f"{issuer}/protocol/openid-connect"
    endpoints = {
        "token_endpoint": f"{protocol}/token",
        "jwks_uri": f"{protocol}/certs",
        "authorization_endpoint": f"{protocol}/auth",
    }
    return HostProcess(
        name=NAME,
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=http_ready(f"{issuer}/.well-known/openid-configuration"),
        inputs=[home / "data" / "import" / f"{REALM}.json"],
        prepared=prepared,
        configured=configured,
        data=folder,
        facts_of=lambda: {NAME: identity_facts(bed, issuer, endpoints)},
        ready_seconds=180,
    )


def realm_file(bed: Bed) -> dict[str, Any]:
    """The realm as Keycloak imports it, with a signing key that outlives the database."""
    table = bed.config["oidc"]
    clients = described_clients(bed)
    return {
        "realm": REALM,
        "enabled": True,
        "sslRequired": "none",
        "accessTokenLifespan": table["token_seconds"],
        "clientScopes": [_basic_scope(table["audience"]), _profile_scope(), *map(_plain_scope, table["scopes"])],
        "clients": [_client(name, client) for name, client in clients.items()],
        "users": [_user(name, user["password"]) for name, user in described_users(bed).items()],
        "components": {"org.keycloak.keys.KeyProvider": [_signing_key(bed)]},
    }


def _client(name: str, client: dict[str, Any]) -> dict[str, Any]:
    public = bool(client.get("public"))
    entry: dict[str, Any] = {
        "clientId": name,
        "protocol": "openid-connect",
        "publicClient": public,
        "standardFlowEnabled": public,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": not public,
        "redirectUris": client.get("redirect_uris", []),
        "attributes": {"access.token.lifespan": str(client["token_seconds"])},
        "defaultClientScopes": ["basic", *(["profile"] if public else []), *client["scopes"]],
        "optionalClientScopes": [],
    }
    if public:
        entry["attributes"]["pkce.code.challenge.method"] = "S256"
        return entry
    # A service account's own name is service-account-<client>: the person that it works for goes on top.
    claim = {"claim.name": "preferred_username", "claim.value": client["username"], "jsonType.label": "String"}
    entry["secret"] = client["secret"]
    entry["protocolMappers"] = [_mapper("username", "oidc-hardcoded-claim-mapper", claim)]
    return entry


def _user(name: str, password: str) -> dict[str, Any]:
    return {
        "username": name,
        "enabled": True,
        # Without these Keycloak asks for them at the first login.
        "email": f"{name}@example.org",
        "emailVerified": True,
        "firstName": name.title(),
        "lastName": "Test",
        "credentials": [{"type": "password", "value": password, "temporary": False}],
    }


def _mapper(name: str, kind: str, settings: dict[str, str]) -> dict[str, Any]:
    config = {"access.token.claim": "true", "id.token.claim": "true", **settings}
    return {"name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config}


def _basic_scope(audience: str) -> dict[str, Any]:
    # Since Keycloak 25 even `sub` comes from a scope, and a realm file with scopes of its own gets no built-in ones.
    return _plain_scope("basic") | {
        "attributes": {"include.in.token.scope": "false"},
        "protocolMappers": [
            _mapper("sub", "oidc-sub-mapper", {}),
            _mapper("audience", "oidc-audience-mapper", {"included.custom.audience": audience}),
        ],
    }


def _profile_scope() -> dict[str, Any]:
    claim = {"user.attribute": "username", "claim.name": "preferred_username", "jsonType.label": "String"}
    return _plain_scope("profile") | {
        "protocolMappers": [_mapper("username", "oidc-usermodel-attribute-mapper", claim)],
    }


def _plain_scope(name: str) -> dict[str, Any]:
    return {"name": name, "protocol": "openid-connect", "attributes": {"include.in.token.scope": "true"}}


def _signing_key(bed: Bed) -> dict[str, Any]:
    key, _ = bed.pki.rsa_key(NAME)
    certificate = Path(f"{key}.crt")
    if not certificate.exists():
        subject = ["-subj", "/CN=goldcrest-bed-keycloak", "-days", "3650"]
        output(["openssl", "req", "-x509", "-new", "-key", str(key), *subject, "-out", str(certificate)])
    config = {
        "privateKey": [key.read_text()],
        "certificate": [certificate.read_text()],
        "priority": ["100"],
        "algorithm": ["RS256"],
    }
    return {"name": "bed", "providerId": "rsa", "config": config}
