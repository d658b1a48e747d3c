"""The light OIDC provider: ``dev/oidc/server.mjs`` on Node."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from goldcrest_bed.command import logged
from goldcrest_bed.component import Command, HostProcess, http_ready
from goldcrest_bed.context import Bed
from goldcrest_bed.kubeconfig import write_private
from goldcrest_bed.paths import DEV

SOURCE = DEV / "oidc"


def described_clients(bed: Bed) -> dict[str, dict[str, Any]]:
    """Clients of the configuration with scopes filled in and, unless public, their secrets."""
    table: dict[str, Any] = bed.config["oidc"]
    clients = {}
    for name, client in table["clients"].items():
        entry = {"scopes": table["scopes"], "token_seconds": table["token_seconds"], **client}
        if not client.get("public"):
            entry["secret"] = client.get("secret") or bed.pki.secret(f"oidc-client-{name}")
        clients[name] = entry
    return clients


def described_users(bed: Bed) -> dict[str, dict[str, Any]]:
    """People who can sign in, with their passwords."""
    return {
        name: {"password": user.get("password") or bed.pki.secret(f"oidc-user-{name}")}
        for name, user in bed.config["oidc"]["users"].items()
    }


def identity_facts(bed: Bed, issuer: str, endpoints: dict[str, str]) -> dict[str, Any]:
    """What tests need to know of an issuer."""
    return {
        "issuer": issuer,
        **endpoints,
        "audience": bed.config["oidc"]["audience"],
        "scopes": bed.config["oidc"]["scopes"],
        "service_accounts": bed.config["oidc"]["service_accounts"],
        "clients": {
            name: {key: entry.get(key) for key in ("secret", "username", "scopes", "token_seconds", "redirect_uris")}
            for name, entry in described_clients(bed).items()
        },
        "users": described_users(bed),
    }


def oidc(bed: Bed) -> HostProcess:
    """The component."""
    issuer = f"http://127.0.0.1:{bed.config.port('oidc')}"
    folder = bed.paths.data / "oidc"
    settings = folder / "config.json"

    def configured() -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(settings, json.dumps(_settings(bed, issuer), indent=1))
        # Node looks for packages beside the script, and the source tree stays clean.
        shutil.copy(SOURCE / "server.mjs", folder / "server.mjs")
        link = folder / "node_modules"
        if not link.is_symlink() or link.readlink() != packages(bed):
            link.unlink(missing_ok=True)
            link.symlink_to(packages(bed))

    endpoints = {
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "authorization_endpoint": f"{issuer}/auth",
        "device_authorization_endpoint": f"{issuer}/device/auth",
    }
    return HostProcess(
        name="oidc",
        paths=bed.paths,
        report=bed.report,
        command=lambda: Command([str(bed.toolchain.node()), str(folder / "server.mjs"), str(settings)], cwd=folder),
        ready=http_ready(f"{issuer}/healthz"),
        inputs=[settings, folder / "server.mjs", SOURCE / "package-lock.json"],
        prepared=lambda: install_packages(bed),
        configured=configured,
        data=folder,
        facts_of=lambda: {"oidc": identity_facts(bed, issuer, endpoints)},
    )


def _settings(bed: Bed, issuer: str) -> dict[str, Any]:
    table = bed.config["oidc"]
    return {
        "issuer": issuer,
        "jwks": str(bed.paths.keys / "oidc-jwks.json"),
        "cookie_key": bed.pki.secret("oidc-cookies"),
        "audience": table["audience"],
        "scopes": table["scopes"],
        "token_seconds": table["token_seconds"],
        "clients": described_clients(bed),
        "users": described_users(bed),
    }


def packages(bed: Bed) -> Path:
    """The folder with the locked packages."""
    lock = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:12]
    return bed.paths.cache / "npm" / f"oidc-{lock}" / "node_modules"


def install_packages(bed: Bed) -> None:
    """``npm ci`` into the cache, once per lock file."""
    target = packages(bed).parent
    if target.exists():
        return
    node = bed.toolchain.node()
    log = bed.paths.logs / "build-oidc.log"
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        bed.report.step("oidc", "installing its packages", log=log),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".installing-") as name,
    ):
        folder = Path(name) / "oidc"
        folder.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / file, folder / file)
        env = os.environ | {"PATH": f"{node.parent}:{os.environ['PATH']}"}
        logged(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], log, env=env, cwd=folder)
        folder.rename(target)
