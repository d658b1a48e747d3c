"""Grants and stamps: signed words that say who asked for exactly this resource (T6, T7).

A *grant* is delegation's: a REST caller with a verified token asked for a resource with this spec. A *stamp* is admission's: a Kubernetes
user did. An *action grant* is delegation's too: a REST caller may set one mutable field of one resource.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldcrest.canonical import canonical, sha256_hex
from goldcrest.errors import Denied
from goldcrest.wellknown import MUTABLE_SPEC_FIELDS, STAMPED_SPEC_FIELDS

GRANT_TYPE: Final = "goldcrest-grant+jwt"
ACTION_GRANT_TYPE: Final = "goldcrest-action+jwt"
STAMP_TYPE: Final = "goldcrest-stamp+jwt"
GRANT_SECONDS: Final = 60
STAMP_SECONDS: Final = 60  # between a stamp and the creation of its resource: clocks differ, and a grant lives as long

_NOT_SIGNED = frozenset(MUTABLE_SPEC_FIELDS + STAMPED_SPEC_FIELDS)


def spec_digest(spec: Mapping[str, Any]) -> str:
    """``v1:`` and the SHA-256 of the canonical spec, without what may change and what admission writes (T6).

    Raises:
        InvalidInput: when the spec has no canonical form (floats, nulls).
    """
    return "v1:" + sha256_hex(canonical({name: value for name, value in spec.items() if name not in _NOT_SIGNED}))


def key_id(key: Ed25519PublicKey) -> str:
    """Short name of a public key: the first 16 hex digits of its SHA-256."""
    return sha256_hex(key.public_bytes(Encoding.Raw, PublicFormat.Raw))[:16]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that makes grants or stamps."""

    key: Ed25519PrivateKey

    def sign(self, claims: Mapping[str, Any], *, type_: str) -> str:
        return jwt.encode(
            dict(claims), self.key, algorithm="EdDSA", headers={"typ": type_, "kid": key_id(self.key.public_key())}
        )


class Verifier:
    """Verifies grants or stamps against a few public keys (several while one is being replaced)."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def of(cls, *keys: Ed25519PublicKey) -> Verifier:
        return cls({key_id(key): key for key in keys})

    def verify(self, token: str, *, type_: str) -> dict[str, Any]:
        """Claims of a token with a valid signature of one of our keys. Its times are not judged here.

        Raises:
            Denied: for anything that is not exactly that.
        """
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid")))
            if header.get("typ") != type_ or key is None:
                raise Denied(f"not a {type_} of a known key")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.PyJWTError as error:
            raise Denied(f"not a valid {type_}: {error}") from error
        return claims


def grant_claims(
    *,
    issuer: str,
    subject: str,
    username: str,
    run_as: str,
    system: str,
    kind: str,
    namespace: str,
    name: str,
    spec: Mapping[str, Any],
    jti: str,
    policy_claims: Mapping[str, Any],
) -> dict[str, Any]:
    """Claims of a grant, valid for a minute from now."""
    issued = int(time.time())
    return {
        "iss": issuer,
        "sub": subject,
        "username": username,
        "runAs": run_as,
        "system": system,
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "specSha256": spec_digest(spec),
        "claims": dict(policy_claims),
        "jti": jti,
        "iat": issued,
        "exp": issued + GRANT_SECONDS,
    }


def check_grant(
    claims: Mapping[str, Any], *, kind: str, resource: Mapping[str, Any], created: float | None = None
) -> None:
    """Refuse a grant that was not made for this resource.

    Args:
        resource: JSON of the resource.
        created: epoch seconds to compare ``exp`` with; None takes the resource's creationTimestamp.

    Raises:
        Denied: naming what differs.
    """
    meta, spec = resource["metadata"], resource["spec"]
    expected = {
        "kind": kind,
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "runAs": spec.get("runAs"),
        "system": spec.get("system"),
        "specSha256": spec_digest(spec),
    }
    for claim, value in expected.items():
        if claims.get(claim) != value:
            raise Denied(f"the grant is for another {claim}")
    at = created if created is not None else parse_time(meta["creationTimestamp"])
    expires = claims.get("exp")
    if not isinstance(expires, int) or at > expires:
        raise Denied("the grant had expired when the resource was made")


def check_stamp(claims: Mapping[str, Any], *, kind: str, resource: Mapping[str, Any]) -> None:
    """Refuse a stamp that was not made for this resource.

    A stamp can be read and copied onto another resource while admission is away: so it counts for its name (where there
    was one yet) and its time only.

    Raises:
        Denied: naming what differs.
    """
    meta, spec = resource["metadata"], resource["spec"]
    expected = {
        "kind": kind,
        "namespace": meta.get("namespace"),
        "specSha256": spec_digest(spec),
        "requestedBy": spec.get("requestedBy"),
    }
    if (spec.get("script") or {}).get("configMap") is not None:
        expected["scriptSha256"] = spec.get("scriptSha256")
    if claims.get("name"):  # none with generateName, and in stamps of older releases
        expected["name"] = meta.get("name")
    for claim, value in expected.items():
        if claims.get(claim) != value:
            raise Denied(f"the stamp is for another {claim}")
    issued, created = claims.get("iat"), meta.get("creationTimestamp")
    if type(issued) is not int or not isinstance(created, str) or abs(parse_time(created) - issued) > STAMP_SECONDS:
        raise Denied(
            f"the stamp is for another time than {created}: a copy, or the clocks of admission and the API server differ"
        )


def parse_time(text: str) -> float:
    """Epoch seconds of a Kubernetes time such as 2030-01-02T03:04:05Z."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
