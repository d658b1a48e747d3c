"""An issuer of tokens: a key, its JWKS in a file, and identity.toml that trusts it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://issuer.example"


class Issuer:
    """Signs tokens with ES256."""

    def __init__(self, folder: Path, *, systems: str = '["cluster"]') -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [{**jwk, "kid": "one", "use": "sig", "alg": "ES256"}]}))
        self.identity_file = folder / "identity.toml"
        self.identity_file.write_text(
            f"""
[[issuer]]
issuer = "{ISSUER}"
jwks_file = "{jwks}"
audience = "goldcrest"
algorithms = ["ES256"]
username_claim = "preferred_username"
systems = {systems}
required_scope = "firecrest"
groups_claim = "groups"
"""
        )

    def token(self, username: Any, **claims: Any) -> str:
        """A token that is valid for five minutes unless ``claims`` say otherwise."""
        now = int(time.time())
        content = {
            "iss": ISSUER,
            "sub": f"id-of-{username}",
            "aud": "goldcrest",
            "preferred_username": username,
            "scope": "openid firecrest",
            "iat": now,
            "exp": now + 300,
            **claims,
        }
        return jwt.encode(content, self._key, algorithm="ES256", headers={"kid": "one"})
