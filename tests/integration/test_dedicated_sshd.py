"""The dedicated sshd as it is shipped, with PAM and real users: what opens a connection, and what a connection can do (T3, T4)."""

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
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from bed import Bed
from component.ssh_filter.certificates import Certificate, session_command

pytestmark = pytest.mark.integration

MARKER = b"GOLDCREST-FILTER "


class Door:
    """The dedicated sshd, and keys to knock with."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        ca = load_ssh_private_key(Path(bed.facts["ssh_ca_key"]).read_bytes(), None)
        assert isinstance(ca, ed25519.Ed25519PrivateKey)
        self.ca = ca
        self.key = ed25519.Ed25519PrivateKey.generate()

    @property
    def importable_key(self) -> asyncssh.SSHKey:
        return asyncssh.import_private_key(self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))

    def certificate(self, command: Any = None, *, user: str = "alice", **changes: Any) -> Certificate:
        command = command or session_command(system=self.bed.system, user=user)
        return Certificate(ca=self.ca, key=self.key, command=command, principals=(user.encode(),)).but(**changes)

    @asynccontextmanager
    async def connect(
        self, certificate: Certificate | None, *, user: str = "alice"
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        system = self.bed.facts["system"]
        shown: Any = self.importable_key
        if certificate is not None:
            line = b"ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(certificate.build())
            shown = (self.importable_key, asyncssh.import_certificate(line))
        async with asyncssh.connect(
            system["host"],
            system["port"],
            username=user,
            client_keys=[shown],
            known_hosts=([asyncssh.import_public_key(system["host_keys"][0])], [], []),
            config=None,
            agent_path=None,
            connect_timeout=10,
            preferred_auth="publickey",
        ) as connection:
            yield connection


async def hello(process: asyncssh.SSHClientProcess[bytes]) -> dict[str, Any]:
    """What the filter says first, behind whatever start-up files print."""
    async with asyncio.timeout(10):
        while not (line := await process.stdout.readline()).startswith(MARKER):
            assert line, await process.stderr.read()
    text = line.removeprefix(MARKER).strip()
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    return said


async def ask(process: asyncssh.SSHClientProcess[bytes], certificate: bytes) -> tuple[int, dict[str, Any]]:
    """Send one REQUEST and return type and JSON of what comes back."""
    body = struct.pack(">IBI", 1, 1, len(certificate)) + certificate
    process.stdin.write(struct.pack(">I", len(body)) + body)
    async with asyncio.timeout(10):
        (length,) = struct.unpack(">I", await process.stdout.readexactly(4))
        frame = await process.stdout.readexactly(length)
    return frame[4], json.loads(frame[5:])


@pytest.fixture
def door(bed: Bed) -> Door:
    return Door(bed)


async def test_a_command_behind_a_session_certificate(door: Door) -> None:
    """The session certificate opens; a command's own certificate is carried out; one for another key is refused."""
    async with door.connect(door.certificate()) as connection:
        process = await connection.create_process("ignored; id", encoding=None)
        said = await hello(process)
        assert (said["user"], said["system"]) == ("alice", door.bed.system)
        whoami = {
            **session_command(system=door.bed.system, user="alice"),
            "kind": "command",
            "op": "sys.whoami",
            "sid": said["sid"],
        }
        kind, answer = await ask(process, door.certificate(whoami).build())
        assert (kind, answer["user"], answer["uid"]) == (17, "alice", 2001)
        kind, answer = await ask(process, door.certificate(whoami, key=ed25519.Ed25519PrivateKey.generate()).build())
        assert (kind, answer["reason"]) == (18, "key")


async def test_a_command_certificate_opens_nothing(door: Door) -> None:
    """sshd lets it in, for it is a good certificate; the filter does not: status 118."""
    command = {
        **session_command(system=door.bed.system, user="alice"),
        "kind": "command",
        "op": "sys.whoami",
        "sid": "0" * 32,
    }
    async with door.connect(door.certificate(command)) as connection:
        done = await connection.run("", timeout=10)
    assert done.exit_status == 118
    assert MARKER.decode() not in str(done.stdout)


async def test_nothing_else_through_a_connection(door: Door) -> None:
    """No terminal, no forwarding, no subsystem, no environment of the client's."""
    async with door.connect(door.certificate()) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.create_process("", term_type="xterm", encoding=None)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 22)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()
        process = await connection.create_process("", env={"SSH_USER_AUTH": "/nowhere", "PATH": "/tmp"}, encoding=None)
        assert (await hello(process))["user"] == "alice"


@pytest.mark.parametrize("what", ["no certificate", "another CA", "another principal", "expired", "root"])
async def test_who_does_not_come_in(door: Door, what: str) -> None:
    """sshd itself refuses: a bare key, a certificate of another CA, for another user, out of its time, and root."""
    user = "root" if what == "root" else "alice"
    certificate: Certificate | None = {
        "no certificate": None,
        "another CA": door.certificate(ca=ed25519.Ed25519PrivateKey.generate()),
        "another principal": door.certificate(principals=(b"bob",)),
        "expired": door.certificate(valid_after=1, valid_before=60),
        "root": door.certificate(user="root"),
    }[what]
    with pytest.raises(asyncssh.PermissionDenied):
        async with door.connect(certificate, user=user):
            pass


async def test_the_sites_own_sshd_does_not_trust_the_ca(door: Door) -> None:
    """People's door is untouched: the certificate that opens 2222 opens nothing on port 22."""
    system = door.bed.facts["system"]
    line = b"ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(door.certificate().build())
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            system["host"],
            system["site_port"],
            username="alice",
            client_keys=[(door.importable_key, asyncssh.import_certificate(line))],
            known_hosts=([asyncssh.import_public_key(system["host_keys"][0])], [], []),
            config=None,
            agent_path=None,
            preferred_auth="publickey",
        )
