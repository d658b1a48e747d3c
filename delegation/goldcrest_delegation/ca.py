"""The SSH user CA: certificates for one user and one command."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from goldcrest.canonical import Json, b64url, canonical, sha256_hex
from goldcrest.errors import InvalidInput
from goldcrest_delegation.ca_key import CaKey
from goldcrest_delegation.certificate import ssh_string, to_be_signed

BACKDATED_SECONDS: Final = 30  # clocks differ
VALID_SECONDS: Final = 60
FORCE_COMMAND_LIMIT: Final = 64 * 1024  # bytes (T2)

_NOT_IN_KEY_ID = re.compile(r"[^A-Za-z0-9@._:-]")
_PART_LIMIT = 128  # characters of a requester in a key id


@dataclass(frozen=True, slots=True)
class Draft:
    """A certificate without its signature, and what the audit log keeps of it."""

    signed: bytes
    serial: int
    key_id: str
    command_sha256: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signed certificate in wire form, and what the audit log keeps of it."""

    wire: bytes
    serial: int
    key_id: str
    command_sha256: str


class CertificateAuthority:
    """Makes user certificates with the CA's key.

    Args:
        source_addresses: networks that they are of use from; none: all.
    """

    def __init__(self, key: CaKey, *, source_addresses: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._key = key
        self._source_addresses = ",".join(map(str, source_addresses))

    @property
    def public_line(self) -> str:
        """The CA's public half as ``<type> <base64>``."""
        return self._key.public_line

    def draft(
        self,
        *,
        public_key: bytes,
        user: str,
        key_id: str,
        filter_path: str,
        command: dict[str, Json],
        now: int | None = None,
    ) -> Draft:
        """A certificate for one user and one command, valid for a minute (T2), not yet signed.

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
            authority=self._key.blob,
            nonce=os.urandom(32),
            serial=serial,
            key_id=key_id,
            principal=user,
            valid_after=at - BACKDATED_SECONDS,
            valid_before=at + VALID_SECONDS,
            force_command=force_command,
            source_addresses=self._source_addresses,
        )
        return Draft(signed, serial, key_id, sha256_hex(body))

    async def sign(self, drafts: Sequence[Draft]) -> list[Certificate]:
        """The certificates of these drafts, in their order.

        Raises:
            Unavailable: the CA's key cannot be used now; none is signed.
        """
        if not drafts:
            return []
        signatures = await self._key.sign([draft.signed for draft in drafts])
        return [
            Certificate(draft.signed + ssh_string(signature), draft.serial, draft.key_id, draft.command_sha256)
            for draft, signature in zip(drafts, signatures, strict=True)
        ]


def certificate_key_id(*, requester: str, origin: str, trace: str) -> str:
    """``goldcrest/<requester>/<resource uid or request id>/<trace id>``: three parts without slashes."""
    return "/".join(
        ("goldcrest", *(_NOT_IN_KEY_ID.sub("_", part)[:_PART_LIMIT] for part in (requester, origin, trace)))
    )


def _serial() -> int:
    while True:
        serial = int.from_bytes(os.urandom(8), "big")
        if serial:
            return serial
