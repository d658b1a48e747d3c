"""What an attacker can make: keys, tokens of any parts, grants and stamps of any content."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from component.admission.issuer import ISSUER, Issuer


class Key:
    """A P-256 key with a kid."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key()))
        return {**content, "kid": self.kid, "use": "sig", "alg": "ES256"}


def claims_of(username: str, **more: Any) -> dict[str, Any]:
    """Claims of a good token; None removes one."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "sub": f"id-of-{username}",
        "aud": "goldcrest",
        "preferred_username": username,
        "scope": "openid firecrest",
        "iat": now,
        "exp": now + 300,
    }
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token_by(
    key: ec.EllipticCurvePrivateKey, claims: dict[str, Any] | str, header: dict[str, Any] | None = None
) -> str:
    """A token with a right ES256 signature over any header and any text of claims."""
    head = json.dumps({"alg": "ES256", "kid": "one", "typ": "JWT", **(header or {})}).encode()
    body = claims if isinstance(claims, str) else json.dumps(claims)
    text = f"{encoded(head)}.{encoded(body.encode())}"
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    return f"{text}.{encoded(algorithm.sign(text.encode(), key))}"


def unsigned_token(claims: dict[str, Any], *, algorithm: str = "none") -> str:
    head = json.dumps({"alg": algorithm, "kid": "one"}).encode()
    return f"{encoded(head)}.{encoded(json.dumps(claims).encode())}."


def hmac_token(issuer: Issuer, claims: dict[str, Any]) -> str:
    """HS256 with the issuer's public key, as PEM, for the secret: the classic confusion."""
    secret = private_of(issuer).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = encoded(json.dumps({"alg": "HS256", "kid": "one"}).encode())
    text = f"{head}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def private_of(issuer: Issuer) -> ec.EllipticCurvePrivateKey:
    """The real issuer's key: for tokens that are right but for the one thing that is attacked."""
    return issuer._key


def with_payload(token: str, **changes: Any) -> str:
    """The same token with other claims and the old signature."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return f"{head}.{encoded(json.dumps({**claims, **changes}).encode())}.{signature}"
