"""A client of a real sshd with Goldcrest's filter behind it, which shows whatever certificate it is told to, and speaks frames by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from component.ssh_filter.certificates import Certificate, session_command

MARKER = b"GOLDCREST-FILTER "


class Knocker:
    """Where the door is, and keys to knock with.

    Args:
        ca_key: file of the CA's private key.
        host_key: line of the host's public key.
    """

    def __init__(self, *, ca_key: Path, system: str, host: str, port: int, host_key: str) -> None:
        ca = load_ssh_private_key(ca_key.read_bytes(), None)
        assert isinstance(ca, ed25519.Ed25519PrivateKey)
        self.ca = ca
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.system, self.host, self.port = system, host, port
        self._host_key = asyncssh.import_public_key(host_key)

    def certificate(self, command: Any = None, *, user: str = "alice", **changes: Any) -> Certificate:
        """A session's, or one of this command."""
        command = command or session_command(system=self.system, user=user)
        return Certificate(ca=self.ca, key=self.key, command=command, principals=(user.encode(),)).but(**changes)

    def command(self, sid: str, op: str = "sys.whoami", *, user: str = "alice", **changes: Any) -> dict[str, Any]:
        return {**session_command(system=self.system, user=user), "kind": "command", "op": op, "sid": sid, **changes}

    @asynccontextmanager
    async def connect(
        self, *certificates: Certificate | bytes | None, user: str = "alice", address: str = ""
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Log in with the first of these certificates that is taken (None: the bare key), from this address."""
        key = asyncssh.import_private_key(self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        shown: list[Any] = []
        for certificate in certificates:
            if certificate is None:
                shown.append(key)
                continue
            # A good one, whose bytes are then replaced: clients refuse to load what is wrong.
            line = b"ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(self.certificate().build())
            loaded = asyncssh.import_certificate(line)
            loaded.public_data = certificate if isinstance(certificate, bytes) else certificate.build()
            shown.append((key, loaded))
        async with asyncssh.connect(
            self.host,
            self.port,
            local_addr=(address, 0) if address else None,
            username=user,
            client_keys=shown,
            known_hosts=([self._host_key], [], []),
            config=None,
            agent_path=None,
            connect_timeout=20,
            preferred_auth="publickey",
        ) as connection:
            yield connection


async def hello(process: asyncssh.SSHClientProcess[bytes]) -> dict[str, Any]:
    """What the filter says first, behind whatever start-up files print."""
    async with asyncio.timeout(20):
        while not (line := await process.stdout.readline()).startswith(MARKER):
            assert line, await process.stderr.read()
    text = line.removeprefix(MARKER).strip()
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    return said


async def ask(process: asyncssh.SSHClientProcess[bytes], certificate: bytes) -> tuple[int, dict[str, Any]]:
    """Send one REQUEST and return type and JSON of what comes back."""
    body = struct.pack(">IBI", 1, 1, len(certificate)) + certificate
    process.stdin.write(struct.pack(">I", len(body)) + body)
    async with asyncio.timeout(20):
        (length,) = struct.unpack(">I", await process.stdout.readexactly(4))
        frame = await process.stdout.readexactly(length)
    return frame[4], json.loads(frame[5:])
