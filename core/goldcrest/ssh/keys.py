"""The process's own key: new at each start, kept in memory only, worth nothing without a certificate."""

from __future__ import annotations

import asyncssh
from asyncssh.public_key import decode_ssh_certificate
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from goldcrest.errors import DelegationUnavailable


class EphemeralKey:
    """An Ed25519 key pair that delegation certifies."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._ssh_key = asyncssh.import_private_key(
            key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        )

    @property
    def public(self) -> bytes:
        """The raw public key, 32 bytes: what certificates are asked for with."""
        return self._public

    def client_keys(self, certificate: bytes) -> list[tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]]:
        """The key with a session certificate, in the form that asyncssh logs in with.

        Args:
            certificate: OpenSSH's wire form.

        Raises:
            DelegationUnavailable: the bytes are no certificate of this key.
        """
        try:
            decoded = decode_ssh_certificate(certificate)
        except asyncssh.KeyImportError:
            raise DelegationUnavailable("delegation answered something that is no certificate") from None
        if decoded.key.public_data != self._ssh_key.public_data:
            raise DelegationUnavailable("delegation answered a certificate for another key")
        return [(self._ssh_key, decoded)]

    def __repr__(self) -> str:
        return "EphemeralKey()"  # never its contents
