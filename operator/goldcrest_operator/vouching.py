"""Delegation's word that a Task may run its command, where the command is not run for it: see :mod:`.shared_queries`."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldcrest.authority import Authority
from goldcrest.commands import Command
from goldcrest_operator.scheduler.interface import Target


class Voucher:
    """Asks for a certificate that nobody can use: its private key is forgotten at once, and no session has its id."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def vouch(self, target: Target, command: Command) -> None:
        """Return when delegation would sign it.

        Raises:
            Denied, NotFound, InvalidInput, Unavailable: as for one that is used.
        """
        public_key = Ed25519PrivateKey.generate().public_key()
        await self._authority.command_certificate(
            command,
            public_key=public_key.public_bytes(Encoding.Raw, PublicFormat.Raw),
            system=target.system,
            user=target.user,
            sid=secrets.token_hex(16),
            basis=target.basis,
            trace=target.trace.trace_id,
        )
