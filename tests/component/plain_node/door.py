"""Goldcrest's door of a plain login node: installed as an administrator does it, used as the control plane uses it."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from component.plain_node.machine import Machine
from component.ssh_filter.knocking import Knocker
from goldcrest.authority import Basis, ByToken
from goldcrest.commands import Payload, WriteFile
from goldcrest.commands.base import Command, session_body
from goldcrest.models.system import SystemSpec
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace
from goldcrest_delegation.ca import CertificateAuthority, certificate_key_id
from goldcrest_delegation.ca_key import FileKey, make_ca_key

SSH_FILTER = Path(__file__).parents[3] / "ssh-filter"
PAGE = Path(__file__).parents[3] / "docs" / "node.md"
SYSTEM = "cluster"
FILTER_PATH = "/usr/libexec/goldcrest/ssh-filter"


def prepare(machine: Machine, keys: Path) -> None:
    """What a plain login node of a cluster has and what its administrator brings: Slurm's configuration, our folder, the CA."""
    make_ca_key(keys / "ca")
    machine.path("/scratch").mkdir(exist_ok=True)
    machine.path("/scratch").chmod(0o1777)
    machine.path("/etc/slurm").mkdir(exist_ok=True)
    machine.write("/etc/slurm/slurm.conf", "ClusterName=cluster\nSlurmctldHost=localhost\n")
    machine.copy(SSH_FILTER, "/root/ssh-filter")
    machine.write("/root/ca.pub", (keys / "ca.pub").read_text())


def install(machine: Machine, *options: str) -> str:
    """Run install.sh as docs/node.md says; what it said."""
    return machine.run(
        "sh", "/root/ssh-filter/install.sh", "--system", SYSTEM, "--ca", "/root/ca.pub", "--folder", "/home",
        "--folder", "/scratch", "--slurm-conf", "/etc/slurm/slurm.conf", *where(machine), *options,
    ).stdout  # fmt: skip


def where(machine: Machine) -> tuple[str, ...]:
    """Options of install.sh that keep a node of a test to itself: the loopback interface, whence its client comes too, and a port that
    was free."""
    return "--port", str(machine.port), "--listen", "127.0.0.1", "--gateway", "127.0.0.1"


def install_by_the_page(machine: Machine) -> None:
    """Type what docs/node.md has an administrator type on the node, as root, and nothing else."""
    typed = commands_of_the_page()
    assert [line.split()[0] for line in typed] == ["sh", "systemctl", "/usr/libexec/goldcrest/ssh-filter"]
    for line in typed:
        if line.startswith("systemctl"):  # there is no systemd in this node: as install.sh says then
            machine.start_sshd()
            continue
        more = where(machine) if "install.sh" in line else ()
        done = machine.run("sh", "-c", f'cd /root && {line} "$@"', "sh", *more, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def commands_of_the_page() -> list[str]:
    """What the page's first section has an administrator type on the node, as root."""
    section = PAGE.read_text().partition("## Install")[2].partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    text = "".join(blocks).replace("\\\n", " ")
    return [line.removeprefix("login1# ") for line in text.splitlines() if line.startswith("login1# ")]


def knock_at(machine: Machine, keys: Path) -> Knocker:
    """A client that shows whatever certificate it is told to; each has a key of its own."""
    host_key = machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    return Knocker(ca_key=keys / "ca", system=SYSTEM, host="127.0.0.1", port=machine.port, host_key=host_key)


def make_account(
    machine: Machine, name: str, *, shell: str = "/bin/bash", files: dict[str, str] | None = None, home: bool = True
) -> None:
    """An account without a password, with these start-up files."""
    machine.run("useradd", "--create-home" if home else "--no-create-home", "--shell", shell, "--password", "*", name)
    for file, text in (files or {}).items():
        path = machine.path(f"/home/{name}/{file}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if home:
        machine.run("chown", "-R", f"{name}:", f"/home/{name}")


class SigningAuthority:
    """Delegation's signature without its questions: the certificates are made by its own code."""

    def __init__(self, keys: Path, source_addresses: tuple[str, ...] = ()) -> None:
        make_ca_key(keys / "ca")
        self._authority = CertificateAuthority(
            FileKey.load(keys / "ca"), source_addresses=[ip_network(text) for text in source_addresses]
        )
        self.commands = 0

    async def session_certificate(
        self, *, public_key: bytes, system: str, user: str, basis: Basis, trace: str
    ) -> bytes:
        return await self._sign(public_key, user, trace, session_body(system=system, user=user))

    async def command_certificate(
        self, command: Command, *, public_key: bytes, system: str, user: str, sid: str, basis: Basis, trace: str
    ) -> bytes:
        self.commands += 1
        return await self._sign(public_key, user, trace, command.body(system=system, user=user, sid=sid))

    async def _sign(self, public_key: bytes, user: str, trace: str, body: Any) -> bytes:
        draft = self._authority.draft(
            public_key=public_key,
            user=user,
            key_id=certificate_key_id(requester=user, origin="test", trace=trace),
            filter_path=FILTER_PATH,
            command=body,
        )
        (made,) = await self._authority.sign([draft])
        return made.wire


class Door:
    """The control plane's own SSH client before one node."""

    def __init__(
        self, machine: Machine, keys: Path, settings: SshSettings, *, source_addresses: tuple[str, ...] = ()
    ) -> None:
        self.authority = SigningAuthority(keys, source_addresses)
        self.pool = SshPool(self.authority, settings)  # type: ignore[arg-type]
        host_key = " ".join(machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
        self.spec = SystemSpec.model_validate(
            {
                "hosts": [{"address": "127.0.0.1", "port": machine.port, "hostKeys": [host_key]}],
                "filterPath": FILTER_PATH,
                "scheduler": {"type": "Slurm"},
                "workDirectory": "/scratch/{user}",
            }
        )

    async def run(self, command: Command, user: str, payload: bytes = b"") -> dict[str, Any]:
        """The result of one command as this user."""
        answer = await self.pool.run(
            command,
            system=SYSTEM,
            spec=self.spec,
            user=user,
            basis=ByToken("token"),
            trace=Trace.new(),
            payload=payload,
        )
        return answer.result

    async def write(self, path: str, data: bytes, user: str) -> dict[str, Any]:
        """Write a file as this user."""
        return await self.run(WriteFile(path, Payload.of(data), mode=0o600), user, data)
