from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import Stage
from component.delegation.agent import Agent, running_agent
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, another_delegation, authority, shown
from component.delegation.node import refusal
from goldcrest.authority import ByToken
from goldcrest.commands import StatFile
from goldcrest.errors import InvalidInput, Unavailable
from goldcrest_delegation import ca_agent
from goldcrest_delegation.ca import CertificateAuthority
from goldcrest_delegation.ca_agent import AgentKey
from goldcrest_delegation.ca_key import CaKey, FileKey

pytestmark = pytest.mark.component

NOW = 1_900_000_000
KINDS = {"ed25519": ("ed25519",), "p256": ("ecdsa", "-b", "256"), "rsa": ("rsa", "-b", "3072")}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent that holds a CA key of each kind."""
    with running_agent(tmp_path_factory.mktemp("agent")) as running:
        for name, arguments in KINDS.items():
            running.add(running.make_key(name, *arguments))
        yield running


async def issue(key: CaKey, *, now: int = NOW) -> bytes:
    authority = CertificateAuthority(key)
    draft = authority.draft(
        public_key=PUBLIC_KEY,
        user="alice",
        key_id="goldcrest/alice/0/1",
        filter_path="/opt/filter",
        command={"kind": "session", "system": "cluster", "user": "alice", "op": "session"},
        now=now,
    )
    return (await authority.sign([draft]))[0].wire


def fingerprint(public: Path) -> str:
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(public)], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


@pytest.mark.parametrize("where", ["file", "agent"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_key(agent: Agent, kind: str, where: str, tmp_path: Path) -> None:
    """Certificates of a CA in a file and in an ssh-agent are read by ssh-keygen and accepted by the real filter."""
    private = agent.folder / kind
    public = private.with_name(f"{kind}.pub")
    if where == "file":
        wire = await issue(FileKey.load(private))
    else:
        key = await AgentKey.open(agent.socket, public)
        wire = await issue(key)
        await key.close()
    facts = shown(wire, tmp_path)
    assert fingerprint(public) in facts["Signing CA"]
    for libcrypto in (True, False):
        assert refusal(wire, ca_file=public.read_text(), now=NOW, libcrypto=libcrypto) is None
    other = next(name for name in KINDS if name != kind)
    assert refusal(wire, ca_file=(agent.folder / f"{other}.pub").read_text(), now=NOW) == "unknown-ca"


async def test_two_authorities_in_rotation(agent: Agent) -> None:
    """A node that trusts the old and the new CA accepts both; when the old line is gone, only the new one."""
    wires = [await issue(FileKey.load(agent.folder / name)) for name in ("rsa", "ed25519")]
    lines = [(agent.folder / f"{name}.pub").read_text() for name in ("rsa", "ed25519")]
    assert [refusal(wire, ca_file="".join(lines), now=NOW) for wire in wires] == [None, None]
    assert [refusal(wire, ca_file=lines[1], now=NOW) for wire in wires] == ["unknown-ca", None]


async def test_delegation_with_an_agent(stage: Stage, agent: Agent, tmp_path: Path) -> None:
    """Delegation signs with the agent's key; while the agent is gone it says so, and goes on by itself when it is back."""
    settings = {
        "CA_KEY_FILE": None,
        "CA_AGENT_SOCKET": str(agent.socket),
        "CA_PUBLIC_KEY_FILE": str(agent.folder / "ed25519.pub"),
    }
    ask: dict[str, Any] = {"public_key": PUBLIC_KEY, "system": "cluster", "user": "alice", "sid": SID, "trace": TRACE}
    with another_delegation(stage, **settings) as path:
        async with authority(stage, "goldcrest-api", socket=path) as gateway:

            async def certificate() -> bytes:
                token = stage.issuer.token("alice")
                return await gateway.command_certificate(StatFile("/scratch"), basis=ByToken(token), **ask)

            assert fingerprint(agent.folder / "ed25519.pub") in shown(await certificate(), tmp_path)["Signing CA"]
            many = await asyncio.gather(*(certificate() for _ in range(100)))
            assert len(set(many)) == 100
            agent.stop()
            try:
                with pytest.raises(Unavailable, match=r"ssh-agent at .* does not sign") as caught:
                    await certificate()
                assert caught.value.retryable
                last = stage.audit()[-1]
                assert (last["outcome"], last["code"], last["serial"]) == ("refused", "Unavailable", "")
            finally:
                agent.start()
                for name in KINDS:
                    agent.add(agent.folder / name)
            assert await certificate()


def test_the_agent_lacks_the_key(agent: Agent, stage: Stage) -> None:
    """A start with a public key that the agent does not hold, or without an agent, is refused with what to do."""
    stranger = agent.make_key("stranger", "ed25519").with_name("stranger.pub")
    for path, public, message in (
        (agent.socket, stranger, "does not hold the CA key of .*ssh-add"),
        (agent.folder / "none.sock", stranger, "does not answer"),
        (agent.socket, agent.folder / "missing.pub", "cannot be read"),
        (agent.socket, agent.folder / "ed25519", "not a public key as ssh-keygen writes it"),
        (agent.socket, agent.make_key("short", "rsa", "-b", "2048").with_name("short.pub"), "must be Ed25519"),
    ):
        with pytest.raises((InvalidInput, Unavailable), match=message):
            asyncio.run(AgentKey.open(path, public))


async def test_an_agent_that_hangs(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that accepts and says nothing costs seconds, not the service; a late answer is never taken for another."""
    monkeypatch.setattr(ca_agent, "BATCH_SECONDS", 0.3)
    path = tmp_path / "hangs.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(Unavailable, match="does not answer"):
            await AgentKey.open(path, agent.folder / "ed25519.pub")


async def test_a_slow_agent_never_mixes_answers(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a batch that came too late the next one is signed on its own connection, and verifies."""
    relay = Relay(tmp_path / "relay.sock", agent.socket)
    key = await AgentKey.open(relay.path, agent.folder / "ed25519.pub")
    monkeypatch.setattr(ca_agent, "BATCH_SECONDS", 0.3)
    relay.pause.clear()
    with pytest.raises(Unavailable, match="not within"):
        await issue(key)
    relay.pause.set()
    monkeypatch.setattr(ca_agent, "BATCH_SECONDS", 5.0)
    wire = await issue(key)
    assert refusal(wire, ca_file=(agent.folder / "ed25519.pub").read_text(), now=NOW) is None
    await key.close()
    relay.close()


class Relay:
    """A socket before the agent's that holds answers back while ``pause`` is clear."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path, self._target = path, target
        self.pause = threading.Event()
        self.pause.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            threading.Thread(target=self._copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, True), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, held: bool) -> None:
        with closing(target):
            while True:
                try:
                    data = source.recv(65536)
                    if not data:
                        return
                    if held:
                        self.pause.wait(20)
                    target.sendall(data)
                except OSError:
                    return
