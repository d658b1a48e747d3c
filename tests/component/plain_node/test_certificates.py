"""Certificates that mean harm, on the real sshd as it is shipped: what it refuses by itself, what the filter refuses behind it, and what is
left when a connection is cut (T2 to T4). The filter's own checks are tried one by one in tests/unit/ssh_filter/test_trust.py."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from component.plain_node.door import SYSTEM, install, knock_at, make_account, prepare
from component.plain_node.machine import Machine, fresh_machine, is_possible
from component.ssh_filter.certificates import Certificate, force_command, session_command, string
from component.ssh_filter.knocking import Knocker, ask, hello
from component.ssh_filter.node import ANSWER, REFUSED, frame, request_frame

pytestmark = pytest.mark.component

POLICY = "/etc/goldcrest/ssh-filter.json"


@pytest.fixture(scope="module")
def node(keys: Path) -> Iterator[Machine]:
    """A node with alice and bob."""
    if reason := is_possible():
        pytest.skip(reason)
    with fresh_machine() as machine:
        prepare(machine, keys)
        install(machine)
        for name in ("alice", "bob"):
            make_account(machine, name)
        machine.start_sshd()
        yield machine


@pytest.fixture
def door(node: Machine, keys: Path) -> Knocker:
    return knock_at(node, keys)


def options(*more: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Critical options with the right command."""
    command = force_command(session_command(system=SYSTEM, user="alice"))
    return tuple(sorted([(b"force-command", command), *more]))


async def test_good_certificates_open(door: Knocker) -> None:
    """The control of all that follows: the very same, with nothing wrong, and from an address that it names."""
    address = (b"source-address", b"127.0.0.0/8")
    for certificate in (door.certificate(), door.certificate(critical=options(address))):
        async with door.connect(certificate) as connection:
            said = await hello(await connection.create_process("", encoding=None))
    assert (said["user"], said["system"]) == ("alice", SYSTEM)


REFUSED_BY_SSHD: dict[str, tuple[dict[str, Any], str]] = {
    "another CA": ({"ca": ed25519.Ed25519PrivateKey.generate()}, "authenticating user alice"),
    "another principal": ({"principals": (b"bob",)}, "name is not a listed principal"),
    "no principal": ({"principals": ()}, "lacks principal list"),
    "expired": ({"valid_after": 1, "valid_before": 60}, "Certificate invalid: expired"),
    "not yet valid": ({"valid_after": 2**33, "valid_before": 2**33 + 60}, "Certificate invalid: not yet valid"),
    "of a host": ({"type": 2}, "not a user certificate"),
    "an unknown critical option": ({"critical": options((b"x@goldcrest.dev", b"1"))}, "is not supported"),
    "for another address": ({"critical": options((b"source-address", b"192.0.2.7/32"))}, "not from a permitted source address"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_BY_SSHD)
async def test_what_sshd_refuses(node: Machine, door: Knocker, what: str) -> None:
    """Nobody comes in; where sshd has words for it, they are in its log."""
    changes, words = REFUSED_BY_SSHD[what]
    node.forget_log()
    with pytest.raises(asyncssh.PermissionDenied):
        async with door.connect(door.certificate(**changes)):
            pass
    assert node.log_lines(words)
    assert not [line for line in node.log_lines() if "Accepted publickey" in line]


async def test_altered_anywhere(node: Machine, door: Knocker) -> None:
    """One byte in seven, for a login of each takes its time (the filter's own check has all of them): sshd takes none."""
    good = door.certificate().build()
    node.forget_log()

    def altered(position: int) -> bytes:
        return good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :]

    for position in range(3, len(good) - 7, 14):
        with pytest.raises(
            asyncssh.ProtocolError, match="Too many authentication failures"
        ):  # the bare key is between them
            async with door.connect(altered(position), altered(position + 7)):
                pass
    assert not [line for line in node.log_lines() if "Accepted publickey" in line]
    async with door.connect(altered(3), good):  # as good as ever, and the second is tried
        pass


REFUSED_BY_THE_FILTER: dict[str, tuple[dict[str, Any], str]] = {
    "two principals": ({"principals": (b"alice", b"bob")}, "principal"),
    "too long": ({"valid_before": 2**33}, "window"),
    "extensions": ({"extensions": string(b"permit-pty") + string(b"")}, "extension"),
    "another system": ({"command": session_command(system="other", user="alice")}, "system"),
    "another user in the command": ({"command": session_command(system=SYSTEM, user="bob")}, "principal"),
    "a command": (
        {"command": {**session_command(system=SYSTEM, user="alice"), "kind": "command", "op": "sys.whoami", "sid": "0" * 32}},
        "kind",
    ),
    "no command": ({"critical": ()}, "critical-option"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED_BY_THE_FILTER)
async def test_what_the_filter_refuses_behind_it(node: Machine, door: Knocker, what: str) -> None:
    """sshd lets such a certificate in; the filter ends with status 118 and says nothing to the client that a channel begins with."""
    changes, reason = REFUSED_BY_THE_FILTER[what]
    node.forget_log()
    async with door.connect(door.certificate(**changes)) as connection:
        done = await connection.run("id", timeout=20)
    assert (done.exit_status, done.stdout) == (118, "")
    (line,) = node.log_lines("event=stop")
    assert f'message="{reason}: ' in line, line


@asynccontextmanager
async def session(
    door: Knocker,
) -> AsyncIterator[tuple[asyncssh.SSHClientConnection, asyncssh.SSHClientProcess[bytes], str]]:
    """A connection that a good certificate opened, a channel on it, and the channel's id."""
    async with door.connect(door.certificate()) as connection:
        process = await connection.create_process("", encoding=None)
        yield connection, process, (await hello(process))["sid"]


async def test_certificates_of_commands(node: Machine, keys: Path, door: Knocker) -> None:
    """One is carried out once, where it belongs: on no other channel, connection, session of another key, or system with the same CA."""
    stranger = knock_at(node, keys)
    async with (
        session(door) as (connection, process, sid),
        session(door) as (_, elsewhere, _),
        session(stranger) as (_, other, _),
    ):
        neighbour = await connection.create_process("", encoding=None)
        await hello(neighbour)
        caught = door.certificate(door.command(sid)).build()
        for channel, reason in ((neighbour, "session-id"), (elsewhere, "session-id"), (other, "key")):
            assert await refusal(channel, caught) == reason
        policy = json.loads(node.path(POLICY).read_text())
        with node.changed(POLICY, json.dumps({**policy, "system": "other"})):
            opens = door.certificate(session_command(system="other", user="alice"))
            async with door.connect(opens) as there:
                far = await there.create_process("", encoding=None)
                assert (await hello(far))["system"] == "other"
                assert await refusal(far, caught) == "system"
        kind, answer = await ask(process, caught)
        assert (kind, answer["user"]) == (ANSWER, "alice")
        assert await refusal(process, caught) == "replay"


async def test_certificates_in_frames_that_are_refused(node: Machine, door: Knocker) -> None:
    """Behind an open door each command is looked at as if there were none; what is refused has its line in the log."""
    policy = json.loads(node.path(POLICY).read_text())
    with node.changed(POLICY, json.dumps({**policy, "operations": ["sys.whoami", "fs.stat"]})):
        async with session(door) as (_, process, sid):
            whoami = door.command(sid)
            forced = (b"force-command", force_command(whoami))
            wrong: list[tuple[str, Certificate]] = [
                ("kind", door.certificate()),
                ("unknown-ca", door.certificate(whoami, ca=ed25519.Ed25519PrivateKey.generate())),
                ("signature", door.certificate(whoami, ca=ed25519.Ed25519PrivateKey.generate(), claimed_ca=door.ca)),
                ("expired", door.certificate(whoami, valid_after=1, valid_before=60)),
                ("not-yet-valid", door.certificate(whoami, valid_after=2**33, valid_before=2**33 + 60)),
                ("window", door.certificate(whoami, valid_before=2**33)),
                ("principal", door.certificate(whoami, principals=())),
                ("not-user-certificate", door.certificate(whoami, type=2)),
                ("critical-option", door.certificate(whoami, critical=(forced, (b"x@goldcrest.dev", b"1")))),
            ]
            for reason, certificate in wrong:
                node.forget_log()
                assert await refusal(process, certificate.build()) == reason
                (line,) = node.log_lines("event=refused")
                assert f"reason={reason}" in line, line
            assert (await ask(process, door.certificate(whoami).build()))[0] == ANSWER
        async with session(door) as (_, process, sid):  # ten refusals would end a channel
            mkdir = door.command(sid, "fs.mkdir", args={"path": "/home/alice/x", "parents": False, "mode": 448})
            for reason, certificate in (
                ("extension", door.certificate(door.command(sid), extensions=string(b"permit-pty") + string(b""))),
                ("operation", door.certificate(mkdir)),
                (
                    "malformed",
                    door.certificate(
                        door.command(sid, "fs.stat", args={"path": "/" + "x" * 2**17, "dereference": True})
                    ),
                ),
            ):
                assert await refusal(process, certificate.build()) == reason
    assert not node.path("/home/alice/x").exists()


async def refusal(process: asyncssh.SSHClientProcess[bytes], certificate: bytes) -> str:
    """The reason for which the filter behind a channel refuses it."""
    kind, answer = await ask(process, certificate)
    assert kind == REFUSED, answer
    return str(answer["reason"])


async def test_a_connection_cut_anywhere(node: Machine, door: Knocker) -> None:
    """In the middle of an upload, at each boundary of a frame and inside: nothing of the file is left, nor of the filter; the log says so."""
    content = bytes(range(256)) * 1024
    pieces = [content[start : start + 2**16] for start in range(0, len(content), 2**16)]
    payload = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    args = {"path": "/home/alice/upload", "mode": 0o600, "overwrite": True}
    before = sorted(path.name for path in node.path("/home/alice").iterdir())
    node.forget_log()
    points = 0
    for cut_in, behind in itertools.product(range(len(pieces) + 1), (0, 7)):
        async with session(door) as (connection, process, sid):
            certificate = door.certificate(door.command(sid, "fs.write", args=args, payload=payload)).build()
            frames = [request_frame(1, certificate), *(frame(1, 2, piece) for piece in pieces)]
            process.stdin.write(b"".join(frames[:cut_in]) + frames[cut_in][:behind])
            await process.stdin.drain()
            connection.abort()
        points += 1
    async with asyncio.timeout(20):
        while node.running("alice"):  # noqa: ASYNC110  (what is waited for is the node's)
            await asyncio.sleep(0.02)
    assert sorted(path.name for path in node.path("/home/alice").iterdir()) == before
    assert len([line for line in node.log_lines("event=close") if "user=alice" in line]) == points
    async with session(door) as (_, process, sid):
        assert (await ask(process, door.certificate(door.command(sid)).build()))[0] == ANSWER
