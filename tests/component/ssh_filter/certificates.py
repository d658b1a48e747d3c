"""An independent builder of OpenSSH certificates, which can also build wrong ones. Shares no code with the filter."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
FILTER_PATH = b"/usr/libexec/goldcrest/ssh-filter"


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def key_fields(key: PrivateKey) -> tuple[bytes, bytes]:
    """Type of the public key, and its fields in wire form."""
    public = key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return b"ssh-ed25519", string(public.public_bytes_raw())
    numbers = public.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        return b"ssh-rsa", mpint(numbers.e) + mpint(numbers.n)
    point = b"\4" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    return b"ecdsa-sha2-nistp256", string(b"nistp256") + string(point)


def public_blob(key: PrivateKey) -> bytes:
    key_type, fields = key_fields(key)
    return string(key_type) + fields


def public_line(key: PrivateKey) -> str:
    """The line of a public-key file."""
    key_type, _ = key_fields(key)
    return f"{key_type.decode()} {base64.b64encode(public_blob(key)).decode()} test\n"


def sign(key: PrivateKey, data: bytes, *, rsa_hash: int = 512) -> bytes:
    """A signature in the wire form of SSH."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return string(b"ssh-ed25519") + string(key.sign(data))
    if isinstance(key, rsa.RSAPrivateKey):
        digest: hashes.HashAlgorithm = hashes.SHA512() if rsa_hash == 512 else hashes.SHA256()
        return string(b"rsa-sha2-%d" % rsa_hash) + string(key.sign(data, padding.PKCS1v15(), digest))
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return string(b"ecdsa-sha2-nistp256") + string(mpint(r) + mpint(s))


def canonical(command: object) -> bytes:
    return json.dumps(command, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def force_command(command: object) -> bytes:
    return FILTER_PATH + b" v1." + base64.urlsafe_b64encode(canonical(command)).rstrip(b"=")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """All fields of a certificate; ``build`` signs whatever they are."""

    ca: PrivateKey
    key: PrivateKey
    command: Any = None
    principals: tuple[bytes, ...]
    serial: int = field(default_factory=lambda: int.from_bytes(os.urandom(8), "big"))
    type: int = 1
    key_id: bytes = b"goldcrest/alice/uid-1/trace-1"
    valid_after: int = field(default_factory=lambda: int(time.time()) - 30)
    valid_before: int = field(default_factory=lambda: int(time.time()) + 60)
    critical: tuple[tuple[bytes, bytes], ...] | None = None  # None: force-command of the command
    extensions: bytes = b""
    reserved: bytes = b""
    rsa_hash: int = 512
    claimed_ca: PrivateKey | None = None  # another CA's name over this CA's signature

    def but(self, **changes: Any) -> Certificate:
        return replace(self, **changes)

    def signed_part(self) -> bytes:
        key_type, fields = key_fields(self.key)
        options = self.critical
        if options is None:
            options = ((b"force-command", force_command(self.command)),)
        return b"".join(
            (
                string(key_type + b"-cert-v01@openssh.com"),
                string(os.urandom(32)),
                fields,
                struct.pack(">QI", self.serial, self.type),
                string(self.key_id),
                string(b"".join(string(principal) for principal in self.principals)),
                struct.pack(">QQ", self.valid_after, self.valid_before),
                string(b"".join(string(name) + string(string(value)) for name, value in options)),
                string(self.extensions),
                string(self.reserved),
                string(public_blob(self.claimed_ca or self.ca)),
            )
        )

    def build(self) -> bytes:
        body = self.signed_part()
        return body + string(sign(self.ca, body, rsa_hash=self.rsa_hash))


def session_command(*, system: str, user: str) -> dict[str, Any]:
    return {"kind": "session", "system": system, "user": user, "op": "session", "args": {}, "payload": {}}
