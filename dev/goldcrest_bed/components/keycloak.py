"""Keycloak with the same clients and people as the light OIDC provider (``up --with keycloak``)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from goldcrest_bed import apt, maven
from goldcrest_bed.command import logged, output
from goldcrest_bed.component import Command, HostProcess, http_ready, remove_tree
from goldcrest_bed.components.oidc import described_clients, described_users, identity_facts
from goldcrest_bed.context import Bed
from goldcrest_bed.kubeconfig import write_private

NAME = "keycloak"
REALM = "goldcrest"

_ADMIN = "keycloak-admin"  # the secret's name

# What is compiled in; the rest is said at the start.
_BUILT_WITH = ("--db=dev-mem",)
# Half of the time to start: it runs for minutes, with two people, on a machine that does other things.
_JAVA = {"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m", "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}


def keycloak(bed: Bed) -> HostProcess:
    """The component. Its database is in memory and filled from the realm file at every start."""
    port = bed.config.port("keycloak")
    issuer = f"http://127.0.0.1:{port}/realms/{REALM}"
    folder = bed.paths.data / NAME

    def configured() -> None:
        # The database being in memory, only the realm and scratch files are the bed's own: links to the cache do.
        mark = folder / "complete"
        if not mark.exists() or mark.read_text() != built(bed).name:
            remove_tree(folder)  # of another version, or half of it, from an interrupted start
            shutil.copytree(built(bed), folder, copy_function=_link)
            mark.write_text(built(bed).name)
        realm = folder / "data" / "import" / f"{REALM}.json"
        realm.parent.mkdir(parents=True, exist_ok=True)
        write_private(realm, json.dumps(realm_file(bed), indent=1))

    def command() -> Command:
        return Command(
            [
                str(folder / "bin" / "kc.sh"),
                "start",
                "--optimized",
                "--import-realm",
                "--cache=local",
                "--http-enabled=true",
                "--http-host=127.0.0.1",
                f"--http-port={port}",
                f"--hostname=http://127.0.0.1:{port}",
            ],
            env=_JAVA | {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": bed.pki.secret(_ADMIN)},
            cwd=folder,
        )

    protocol = f"{issuer}/protocol/openid-connect"
    endpoints = {
        "token_endpoint": f"{protocol}/token",
        "jwks_uri": f"{protocol}/certs",
        "authorization_endpoint": f"{protocol}/auth",
        "device_authorization_endpoint": f"{protocol}/auth/device",
    }
    return HostProcess(
        name=NAME,
        paths=bed.paths,
        report=bed.report,
        command=command,
        ready=http_ready(f"{issuer}/.well-known/openid-configuration"),
        inputs=[folder / "data" / "import" / f"{REALM}.json"],
        prepared=lambda: build(bed),
        configured=configured,
        data=folder,
        facts_of=lambda: {NAME: identity_facts(bed, issuer, endpoints) | {"admin_password": bed.pki.secret(_ADMIN)}},
        ready_seconds=300,
    )


def built(bed: Bed) -> Path:
    """Where Keycloak is, compiled for its options, or will be."""
    recipe = hashlib.sha256(repr(_BUILT_WITH).encode()).hexdigest()[:8]
    return bed.paths.builds / f"{NAME}-{bed.versions.maven[NAME]['version']}-{recipe}"


def build(bed: Bed) -> Path:
    """Keycloak, downloaded and compiled now if the cache does not have it."""
    apt.ensure([bed.versions.toolchain["java_package"]], why=NAME, log=bed.paths.logs / "apt.log", report=bed.report)
    target = built(bed)
    if target.exists():
        return target
    archive = maven.fetch(bed, NAME, kind="tar.gz")
    log = bed.paths.logs / f"build-{NAME}.log"
    with (
        bed.report.step(NAME, "compiling it for its options", log=log),
        tempfile.TemporaryDirectory(dir=bed.paths.builds, prefix=".building-") as name,
    ):
        # Not Python's tarfile: its filter for what comes from elsewhere is not in Debian 12's. GNU tar refuses such names by itself.
        logged(["tar", "--extract", "--gzip", "--no-same-owner", "--file", str(archive), "--directory", name], log)
        (home,) = Path(name).iterdir()
        logged([str(home / "bin" / "kc.sh"), "build", *_BUILT_WITH], log, env=os.environ | _JAVA, cwd=home)
        home.rename(target)
    return target


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


def realm_file(bed: Bed) -> dict[str, Any]:
    """The realm as Keycloak imports it, with a signing key that outlives the database."""
    table = bed.config["oidc"]
    clients = described_clients(bed)
    return {
        "realm": REALM,
        "enabled": True,
        "sslRequired": "none",
        "accessTokenLifespan": table["token_seconds"],
        "attributes": {"oauth2DevicePollingInterval": "1"},  # seconds; five are for the world
        "clientScopes": [_basic_scope(table["audience"]), _profile_scope(), *map(_plain_scope, table["scopes"])],
        "clients": [_client(name, client) for name, client in clients.items()],
        "users": [_user(name, user["password"]) for name, user in described_users(bed).items()],
        "components": {"org.keycloak.keys.KeyProvider": [_signing_key(bed)]},
    }


def _client(name: str, client: dict[str, Any]) -> dict[str, Any]:
    public, redirects = bool(client.get("public")), client.get("redirect_uris", [])
    entry: dict[str, Any] = {
        "clientId": name,
        "protocol": "openid-connect",
        "publicClient": public,
        "standardFlowEnabled": bool(redirects),
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": not public,
        "redirectUris": redirects,
        "attributes": {"access.token.lifespan": str(client["token_seconds"])},
        "defaultClientScopes": ["basic", *(["profile"] if public else []), *client["scopes"]],
        "optionalClientScopes": [],
    }
    if public:
        way = (
            {"pkce.code.challenge.method": "S256"}
            if redirects
            else {"oauth2.device.authorization.grant.enabled": "true"}
        )
        entry["attributes"] |= way
        return entry
    entry["secret"] = client["secret"]
    if "username" not in client:  # its own name is service-account-<client>
        entry["defaultClientScopes"].append("profile")
        return entry
    if not client["username"]:
        return entry
    # The person that it works for goes on top of its own name.
    claim = {"claim.name": "preferred_username", "claim.value": client["username"], "jsonType.label": "String"}
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
            # How and when somebody signed in: what policy may ask for.
            _mapper("acr", "oidc-acr-mapper", {}),
            _mapper("amr", "oidc-amr-mapper", {}),
            _mapper("auth_time", "oidc-usersessionmodel-note-mapper", _AUTH_TIME),
            _mapper("audience", "oidc-audience-mapper", {"included.custom.audience": audience}),
        ],
    }


_AUTH_TIME = {"user.session.note": "AUTH_TIME", "claim.name": "auth_time", "jsonType.label": "long"}


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
