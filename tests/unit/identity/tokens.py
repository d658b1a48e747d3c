"""Keys and tokens of a made-up issuer."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://one.example"

RULE = f"""
[[issuer]]
issuer = "{ISSUER}"
jwks_file = "JWKS"
audience = "goldcrest"
algorithms = ["RS256"]
username_claim = "preferred_username"
systems = ["cluster"]
required_scope = "firecrest"
groups_claim = "groups"
"""


class Key:
    """An RSA key with a kid."""

    def __init__(self, kid: str, *, bits: int = 2048) -> None:
        self.kid = kid
        self.private: RSAPrivateKey = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    @property
    def jwk(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return {**content, "kid": self.kid, "use": "sig", "alg": "RS256"}

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def token(self, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        return jwt.encode(
            content(**claims), self.private, algorithm="RS256", headers={"kid": self.kid, **(headers or {})}
        )


def content(**claims: Any) -> dict[str, Any]:
    """Claims of a good token; None removes one."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "sub": "0001",
        "aud": "goldcrest",
        "preferred_username": "alice",
        "scope": "openid firecrest",
        "iat": now,
        "exp": now + 300,
    }
    return {name: value for name, value in {**good, **claims}.items() if value is not None}


def raw_token(header: dict[str, Any], body: str | dict[str, Any], signature: bytes = b"") -> str:
    """A token of any parts."""
    text = body if isinstance(body, str) else json.dumps(body)
    parts = (json.dumps(header).encode(), text.encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def identity_file(folder: Path, *keys: Key, rule: str = RULE) -> Path:
    """identity.toml with the keys beside it."""
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.jwk for key in keys]}))
    path = folder / "identity.toml"
    path.write_text(rule.replace("JWKS", str(jwks)))
    return path
