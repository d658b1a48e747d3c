"""The SSH user CA: its key, and certificates signed with it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from goldcrest.canonical import Json, b64url, canonical, sha256_hex
from goldcrest.errors import InvalidInput
from goldcrest.identity.keyfiles import public_path, read_private, write_new
from goldcrest_delegation.certificate import ssh_mpint, ssh_string, to_be_signed

BACKDATED_SECONDS: Final = 30  # clocks differ
VALID_SECONDS: Final = 60
FORCE_COMMAND_LIMIT: Final = 64 * 1024  # bytes (T2)
LEAST_RSA_BITS: Final = 3072

_NOT_IN_KEY_ID = re.compile(r"[^A-Za-z0-9@._:-]")
_PART_LIMIT = 128  # characters of a requester in a key id


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signed certificate in wire form, and what the audit log keeps of it."""

    wire: bytes
    serial: int
    key_id: str
    command_sha256: str


class CertificateAuthority:
    """Signs user certificates. The only holder of the CA key."""

    def __init__(self, key: Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey) -> None:
        self.public_line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        self._blob, self._sign = _signer(key)

    @classmethod
    def from_file(cls, path: Path) -> CertificateAuthority:
        """Load an unencrypted key, in OpenSSH's form or in PEM: Ed25519, ECDSA P-256 or RSA of 3072 bits and more.

        Raises:
            InvalidInput: naming the file and what to do.
        """
        data = read_private(path)
        load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
        try:
            key = load(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput(f"the CA key {path} is not an unencrypted private key: {error}") from error
        match key:
            case Ed25519PrivateKey():
                return cls(key)
            case EllipticCurvePrivateKey() if isinstance(key.curve, SECP256R1):
                return cls(key)
            case RSAPrivateKey() if key.key_size >= LEAST_RSA_BITS:
                return cls(key)
        raise InvalidInput(f"the CA key {path} must be Ed25519, ECDSA P-256, or RSA of at least {LEAST_RSA_BITS} bits")

    def issue(
        self,
        *,
        public_key: bytes,
        user: str,
        key_id: str,
        filter_path: str,
        command: dict[str, Json],
        now: int | None = None,
    ) -> Certificate:
        """A certificate for one user and one command, valid for a minute (T2).

        Args:
            public_key: 32 raw bytes of an Ed25519 key.
            now: epoch seconds; None takes the present.

        Raises:
            InvalidInput: the command is too large or has no canonical form.
        """
        body = canonical(command)
        force_command = f"{filter_path} v1.{b64url(body)}"
        if len(force_command) > FORCE_COMMAND_LIMIT:
            raise InvalidInput(
                f"the command is {len(force_command)} bytes as force-command, more than {FORCE_COMMAND_LIMIT}: "
                "put large values into its payload"
            )
        at = int(time.time()) if now is None else now
        serial = _serial()
        signed = to_be_signed(
            public_key=public_key,
            authority=self._blob,
            nonce=os.urandom(32),
            serial=serial,
            key_id=key_id,
            principal=user,
            valid_after=at - BACKDATED_SECONDS,
            valid_before=at + VALID_SECONDS,
            force_command=force_command,
        )
        return Certificate(signed + ssh_string(self._sign(signed)), serial, key_id, sha256_hex(body))


def certificate_key_id(*, requester: str, origin: str, trace: str) -> str:
    """``goldcrest/<requester>/<resource uid or request id>/<trace id>``: three parts without slashes."""
    return "/".join(
        ("goldcrest", *(_NOT_IN_KEY_ID.sub("_", part)[:_PART_LIMIT] for part in (requester, origin, trace)))
    )


def make_ca_key(path: Path) -> bool:
    """Make an Ed25519 CA key unless there is one, and write its public line beside it. Returns whether it was made.

    Raises:
        InvalidInput: the file that is there is no CA key of ours.
    """
    made = not path.exists()
    if made:
        key = Ed25519PrivateKey.generate()
        write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), mode=0o400)
    public_path(path).write_text(CertificateAuthority.from_file(path).public_line + " goldcrest-user-ca\n")
    return made


def _serial() -> int:
    while True:
        serial = int.from_bytes(os.urandom(8), "big")
        if serial:
            return serial


def _signer(
    key: Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey,
) -> tuple[bytes, Callable[[bytes], bytes]]:
    """The public key in wire form, and a function that gives signatures in wire form."""
    match key:
        case Ed25519PrivateKey():
            name = ssh_string(b"ssh-ed25519")
            raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return name + ssh_string(raw), lambda data: name + ssh_string(key.sign(data))
        case EllipticCurvePrivateKey():
            point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            name = ssh_string(b"ecdsa-sha2-nistp256")
            return name + ssh_string(b"nistp256") + ssh_string(point), lambda data: name + ssh_string(_ecdsa(key, data))
        case RSAPrivateKey():
            numbers = key.public_key().public_numbers()
            blob = ssh_string(b"ssh-rsa") + ssh_mpint(numbers.e) + ssh_mpint(numbers.n)
            algorithm = ssh_string(b"rsa-sha2-512")
            return blob, lambda data: algorithm + ssh_string(key.sign(data, padding.PKCS1v15(), hashes.SHA512()))
    raise AssertionError("unreachable")


def _ecdsa(key: EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ECDSA(hashes.SHA256())))
    return ssh_mpint(r) + ssh_mpint(s)
