"""Kubeconfig files, as JSON (which is YAML)."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from goldcrest_bed.pki import Certificate


def with_certificate(certificate: Certificate) -> dict[str, Any]:
    """A kubeconfig user that shows a client certificate."""
    return {"client-certificate-data": _encoded(certificate.crt), "client-key-data": _encoded(certificate.key)}


def with_token_file(path: Path) -> dict[str, Any]:
    """A kubeconfig user whose token is read from a file again and again."""
    return {"tokenFile": str(path)}


def for_server(server: str, ca: Path) -> dict[str, Any]:
    """A kubeconfig cluster."""
    return {"server": server, "certificate-authority-data": _encoded(ca)}


def write(path: Path, *, cluster: dict[str, Any], name: str, user: dict[str, Any], namespace: str = "default") -> None:
    """Write a kubeconfig with one context (mode 0600, atomically)."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": name, "namespace": namespace}}],
        "current-context": "bed",
    }
    write_private(path, json.dumps(content, indent=1))


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.rename(path)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
