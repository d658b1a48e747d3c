"""Keys that the SSH user CA may have, and signatures made with one that is in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from goldcrest.errors import InvalidInput
from goldcrest.identity.keyfiles import public_path, read_private, write_new
from goldcrest_delegation.certificate import ssh_mpint, ssh_string

LEAST_RSA_BITS: Final = 3072
CA_COMMENT: Final = "goldcrest-user-ca"

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey


class CaKey(Protocol):
    """The CA's key, wherever it is."""

    @property
    def public_line(self) -> str:
        """Public half as ``<type> <base64>``, the form of sshd's TrustedUserCAKeys."""

    @property
    def blob(self) -> bytes:
        """Public half in wire form (RFC 4253)."""

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        """Signatures in wire form, one for each message.

        Raises:
            Unavailable: the key cannot be used now; then no message is signed.
        """


class FileKey:
    """A key that this process holds in memory."""

    def __init__(self, key: PrivateKey) -> None:
        self.public_line = public_line(key.public_key())
        self.blob = public_blob(key.public_key())
        self._key = key

    @classmethod
    def load(cls, path: Path) -> FileKey:
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
        if isinstance(key, PrivateKey) and is_strong(key.public_key()):
            return cls(key)
        raise InvalidInput(f"the CA key {path} {MUST_BE}")

    async def sign(self, messages: Sequence[bytes]) -> list[bytes]:
        key = self._key
        if isinstance(key, RSAPrivateKey):
            # Milliseconds each: other callers are answered meanwhile.
            return await asyncio.to_thread(lambda: [_sign_rsa(key, message) for message in messages])
        if isinstance(key, Ed25519PrivateKey):
            return [_ED25519 + ssh_string(key.sign(message)) for message in messages]
        return [_sign_ecdsa(key, message) for message in messages]


MUST_BE: Final = f"must be Ed25519, ECDSA P-256, or RSA of at least {LEAST_RSA_BITS} bits"


def is_strong(key: object) -> bool:
    """Whether nodes accept a CA with this public key."""
    match key:
        case Ed25519PublicKey():
            return True
        case EllipticCurvePublicKey():
            return isinstance(key.curve, SECP256R1)
        case RSAPublicKey():
            return key.key_size >= LEAST_RSA_BITS
    return False


def public_line(key: PublicKey) -> str:
    """``<type> <base64>``."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def public_blob(key: PublicKey) -> bytes:
    """A public key in wire form (RFC 4253, RFC 5656, RFC 8709)."""
    match key:
        case Ed25519PublicKey():
            return _ED25519 + ssh_string(key.public_bytes_raw())
        case EllipticCurvePublicKey():
            point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return _P256 + ssh_string(b"nistp256") + ssh_string(point)
    numbers = key.public_numbers()
    return ssh_string(b"ssh-rsa") + ssh_mpint(numbers.e) + ssh_mpint(numbers.n)


def make_ca_key(path: Path) -> bool:
    """Make an Ed25519 CA key unless there is one, and write its public line beside it. Returns whether it was made.

    Raises:
        InvalidInput: the file that is there is no CA key of ours.
    """
    made = not path.exists()
    if made:
        key = Ed25519PrivateKey.generate()
        write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), mode=0o400)
    public_path(path).write_text(f"{FileKey.load(path).public_line} {CA_COMMENT}\n")
    return made


_ED25519: Final = ssh_string(b"ssh-ed25519")
_P256: Final = ssh_string(b"ecdsa-sha2-nistp256")
_RSA_SHA512: Final = ssh_string(b"rsa-sha2-512")


def _sign_rsa(key: RSAPrivateKey, message: bytes) -> bytes:
    return _RSA_SHA512 + ssh_string(key.sign(message, padding.PKCS1v15(), hashes.SHA512()))


def _sign_ecdsa(key: EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ECDSA(hashes.SHA256())))
    return _P256 + ssh_string(ssh_mpint(r) + ssh_mpint(s))
