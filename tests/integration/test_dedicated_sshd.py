"""The dedicated sshd as it is shipped, with PAM and real users: what opens a connection, and what a connection can do (T3, T4)."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from bed import Bed
from component.ssh_filter.certificates import Certificate
from component.ssh_filter.knocking import MARKER, Knocker, ask, hello

pytestmark = pytest.mark.integration


@pytest.fixture
def door(bed: Bed) -> Knocker:
    """The dedicated sshd, and keys to knock with."""
    node = bed.facts["system"]
    return Knocker(
        ca_key=Path(bed.facts["ssh_ca_key"]),
        system=bed.system,
        host=node["host"],
        port=node["port"],
        host_key=node["host_keys"][0],
    )


async def test_a_command_behind_a_session_certificate(door: Knocker) -> None:
    """The session certificate opens; a command's own certificate is carried out; one for another key is refused."""
    async with door.connect(door.certificate()) as connection:
        process = await connection.create_process("ignored; id", encoding=None)
        said = await hello(process)
        assert (said["user"], said["system"]) == ("alice", door.system)
        whoami = door.command(said["sid"])
        kind, answer = await ask(process, door.certificate(whoami).build())
        assert (kind, answer["user"], answer["uid"]) == (17, "alice", 2001)
        kind, answer = await ask(process, door.certificate(whoami, key=ed25519.Ed25519PrivateKey.generate()).build())
        assert (kind, answer["reason"]) == (18, "key")


async def test_a_command_certificate_opens_nothing(door: Knocker) -> None:
    """sshd lets it in, for it is a good certificate; the filter does not: status 118."""
    async with door.connect(door.certificate(door.command("0" * 32))) as connection:
        done = await connection.run("", timeout=10)
    assert done.exit_status == 118
    assert MARKER.decode() not in str(done.stdout)


async def test_nothing_else_through_a_connection(door: Knocker) -> None:
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
async def test_who_does_not_come_in(door: Knocker, what: str) -> None:
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


async def test_the_sites_own_sshd_does_not_trust_the_ca(door: Knocker, bed: Bed) -> None:
    """People's door is untouched: the certificate that opens 2222 opens nothing on port 22."""
    door.port = bed.facts["system"]["site_port"]
    with pytest.raises(asyncssh.PermissionDenied):
        async with door.connect(door.certificate()):
            pass
