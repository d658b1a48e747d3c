"""Login hosts behind a jump host: an sshd that relays, and knows nothing of what goes through it."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from component.ssh.login_node import (
    SYSTEM,
    Behaviour,
    LoginNode,
    Request,
    ScriptedFilter,
    TinyAuthority,
    probe,
    spec_of,
)
from goldcrest.authority import ByToken
from goldcrest.commands import MakeDirectory, StatFile
from goldcrest.errors import HostKeyChanged, SystemUnreachable
from goldcrest.ssh.hostkeys import fingerprint
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.component

COMMAND = MakeDirectory("/scratch/new")


def relay_to(port: int, *, noise: bytes = b"") -> Behaviour:
    """What the jump host's ``ForceCommand`` does: `nc login-host 2222`."""

    async def relay(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(noise)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        up = asyncio.create_task(_copy(process.stdin, writer))
        try:
            await _copy(reader, process.stdout)
        finally:
            up.cancel()
            writer.close()

    return relay


async def _copy(source, sink) -> None:
    while data := await source.read(64 * 1024):
        sink.write(data)
        await sink.drain()


def behind(jump: LoginNode, node: LoginNode, *, jump_key: str | None = None, node_key: str | None = None):
    """Keyword arguments for a command on this node through that jump host."""
    host = {
        "address": "127.0.0.1",
        "port": node.port,
        "hostKeys": [node_key or node.public_host_key],
        "via": {"address": "127.0.0.1", "port": jump.port, "hostKeys": [jump_key or jump.public_host_key]},
    }
    return {
        "system": SYSTEM,
        "spec": spec_of(hosts=[host]),
        "user": "alice",
        "basis": ByToken("token"),
        "trace": Trace.new(),
    }


async def answer(request: Request) -> None:
    request.answer(op=request.command["op"])


async def test_a_command_through_a_jump_host(start_node, make_pool, authority):
    """Each of the two hosts is logged in to with a session certificate of its own; the filter behind them does the work."""
    node = await start_node(ScriptedFilter(answer))
    jump = await start_node(relay_to(node.port))
    pool = make_pool()
    done = await asyncio.gather(*(pool.run(COMMAND, **behind(jump, node)) for _ in range(20)))
    assert {answered.result["op"] for answered in done} == {"fs.mkdir"}
    assert done[0].host == f"127.0.0.1:{node.port}"
    assert (jump.logins, node.logins, authority.sessions) == (1, 1, 2)
    await pool.close()
    await asyncio.sleep(0.1)
    assert not jump.connections
    assert not node.connections


async def test_start_up_files_of_the_jump_host_may_print(start_node, make_pool):
    """sshd starts the relay through the user's shell there too: lines before the login host's own first one are passed over."""
    node = await start_node(ScriptedFilter(answer))
    jump = await start_node(relay_to(node.port, noise=b"Welcome\nto the edge\n"))
    assert (await make_pool().run(COMMAND, **behind(jump, node))).result == {"op": "fs.mkdir"}


async def test_another_key_of_the_jump_host(start_node, make_pool, authority):
    """Refused before anybody logs in anywhere, with both fingerprints."""
    node = await start_node(ScriptedFilter(answer))
    jump = await start_node(relay_to(node.port))
    pinned = asyncssh.generate_private_key("ssh-ed25519")
    line = " ".join(pinned.export_public_key().decode().split()[:2])
    with pytest.raises(HostKeyChanged, match="jump host") as changed:
        await make_pool().run(COMMAND, **behind(jump, node, jump_key=line))
    assert fingerprint(pinned) in changed.value.message
    assert fingerprint(jump.host_key) in changed.value.message
    assert (jump.logins, node.logins, authority.commands) == (0, 0, 0)
    with pytest.raises(HostKeyChanged):
        await probe(behind(jump, node, jump_key=line)["spec"])


async def test_a_jump_host_that_leads_elsewhere(start_node, make_pool, authority):
    """The login host's key is compared through it: a stolen jump host gets no login, and no command is signed."""
    node = await start_node(ScriptedFilter(answer))
    other = await start_node(ScriptedFilter(answer))
    jump = await start_node(relay_to(other.port))
    with pytest.raises(HostKeyChanged, match="through jump host") as changed:
        await make_pool().run(COMMAND, **behind(jump, node))
    assert fingerprint(other.host_key) in changed.value.message
    assert (other.logins, authority.commands) == (0, 0)
    await asyncio.sleep(0.1)
    assert not jump.connections


async def test_a_relay_that_does_not_start(start_node, make_pool):
    """The message names both hosts, and nothing stays open."""
    node = await start_node(ScriptedFilter(answer))

    async def fails(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(b"nc: connect failed\n")
        process.exit(1)

    jump = await start_node(fails)
    with pytest.raises(SystemUnreachable, match=f"{node.port}, through jump host 127.0.0.1:{jump.port}"):
        await make_pool().run(COMMAND, **behind(jump, node))
    await asyncio.sleep(0.1)
    assert not jump.connections


async def test_a_jump_host_that_refuses_the_login(start_node, make_pool):
    """Who was refused, and where."""
    node = await start_node(ScriptedFilter(answer))
    jump = await LoginNode(TinyAuthority(), relay_to(node.port)).start()
    try:
        with pytest.raises(SystemUnreachable, match=f"jump host 127.0.0.1:{jump.port} refused the login of alice"):
            await make_pool().run(COMMAND, **behind(jump, node))
        assert node.logins == 0
    finally:
        await jump.stop()


async def test_a_cut_on_the_way(start_node, make_pool):
    """The jump host's connection is cut: what is idempotent is repeated on a new way."""
    node = await start_node(ScriptedFilter(answer))
    jump = await start_node(relay_to(node.port))
    pool = make_pool()
    await pool.run(COMMAND, **behind(jump, node))
    jump.cut()
    assert (await pool.run(StatFile("/x"), **behind(jump, node))).result == {"op": "fs.stat"}
    assert (jump.logins, node.logins) == (2, 2)


async def test_the_probe_looks_at_the_jump_host(start_node, authority):
    """Nobody gets behind it without logging in, and the probe never does."""
    node = await start_node(ScriptedFilter(answer))
    jump = await start_node(relay_to(node.port))
    await probe(behind(jump, node)["spec"])
    assert (jump.logins, node.logins, authority.sessions) == (0, 0, 0)
