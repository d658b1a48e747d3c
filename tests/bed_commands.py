"""Typed commands straight to the bed's login node, signed with its CA's key: what the node answers, without the rest of Goldcrest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from bed import Bed
from component.ssh.login_node import TinyAuthority
from goldcrest.authority import ByToken
from goldcrest.commands import Command
from goldcrest.models.system import SystemSpec
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace


class Node:
    """The login node, asked as one of its users."""

    def __init__(self, pool: SshPool, bed: Bed) -> None:
        self._pool = pool
        self._bed = bed

    async def run(self, command: Command, *, user: str = "alice", payload: bytes = b"") -> Any:
        """The result of a command."""
        system = self._bed.facts["system"]
        host = {"address": system["host"], "port": system["port"], "hostKeys": system["host_keys"]}
        spec = {
            "hosts": [host],
            "filterPath": system["filter_path"],
            "scheduler": {"type": "Slurm"},
            "workDirectory": f"{system['scratch']}/{{user}}",
        }
        answer = await self._pool.run(
            command,
            system=system["name"],
            spec=SystemSpec.model_validate(spec),
            user=user,
            basis=ByToken("the key of the CA is enough"),
            trace=Trace.new(),
            payload=payload,
        )
        return answer.result


@asynccontextmanager
async def node_of(bed: Bed) -> AsyncIterator[Node]:
    """A connection to the bed's node for as long as needed."""
    pool = SshPool(TinyAuthority(_ca_of(bed)), SshSettings(backoff_first_seconds=0.2, backoff_most_seconds=1))
    try:
        yield Node(pool, bed)
    finally:
        await pool.close()


def _ca_of(bed: Bed) -> Ed25519PrivateKey:
    ca = load_ssh_private_key(Path(bed.facts["ssh_ca_key"]).read_bytes(), None)
    assert isinstance(ca, Ed25519PrivateKey)
    return ca
