"""The gateway with a real login node behind it: sshd, the real ssh-filter as a user without rights, and a folder that is theirs."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from component.api.gateway import Gateway, Reply, running_gateway
from component.ssh.login_node import SYSTEM, LoginNode, RealFilter, TinyAuthority
from goldcrest.commands import Command, command_from
from goldcrest.ssh import SshPool, SshSettings

USER = "nobody"


@dataclass
class Site:
    """A gateway, and the user's folder on the node."""

    gateway: Gateway
    node: LoginNode
    pool: SshPool
    folder: Path
    """Belongs to the user; the policy's only root."""
    root: Path
    """Above it, of root, where they may not write."""

    def path(self, name: str = "") -> str:
        return f"{self.folder}/{name}" if name else str(self.folder)

    def make(self, name: str, content: bytes = b"", *, mode: int = 0o644) -> Path:
        """A file of the user."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        self.own(path)
        return path

    def make_folder(self, name: str, *, mode: int = 0o755) -> Path:
        path = self.folder / name
        path.mkdir()
        path.chmod(mode)
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        account = pwd.getpwnam(USER)
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    async def get(self, route: str, *, headers: Mapping[str, str] | None = None, **query: str) -> Reply:
        """``GET /utilities/…``."""
        params = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        return await self.gateway.request(
            "GET", f"/utilities/{route}?{params}", user=USER, machine=SYSTEM, headers=headers
        )

    async def send(self, method: str, route: str, *, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        """The others, with a form."""
        return await self.gateway.request(
            method, f"/utilities/{route}", user=USER, machine=SYSTEM, headers=headers, data=form
        )

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer token-{USER}", "X-Machine-Name": SYSTEM}


@asynccontextmanager
async def running_site(
    directory: Path,
    *,
    limits: Mapping[str, Any] | None = None,
    change: Mapping[str, Any] | None = None,
    old_filter: bool = False,
    **policy: Any,
) -> AsyncIterator[Site]:
    """All of it, until the end.

    Args:
        limits: ``spec.limits`` of the System.
        change: settings of the gateway.
        old_filter: the node's filter takes no streamed payloads.
        policy: of the filter.
    """
    root, folder = _folders()
    authority = TinyAuthority()
    authority.before_command = _as_delegation_reads_it
    real = RealFilter(authority, root, run_as=USER, older=old_filter, roots=[str(folder)], **policy)
    node = await LoginNode(authority, real).start()
    pool = SshPool(authority, SshSettings(backoff_first_seconds=0.05))
    system = {
        "apiVersion": "hpc.goldcrest.dev/v1alpha1",
        "kind": "System",
        "metadata": {"name": SYSTEM},
        "spec": {
            "hosts": [{"address": "127.0.0.1", "port": node.port, "hostKeys": [node.public_host_key]}],
            "filterPath": "/opt/filter",
            "scheduler": {"type": "Slurm"},
            "workDirectory": "/scratch/{user}",
            "limits": dict(limits or {}),
        },
    }
    try:
        async with running_gateway(directory, change=change, systems=(system,), remote=pool) as gateway:
            site = Site(gateway, node, pool, folder, root)
            site.own(folder)
            yield site
    finally:
        await pool.close()
        await node.stop()
        await asyncio.to_thread(shutil.rmtree, root)


def _folders() -> tuple[Path, Path]:
    root = Path(tempfile.mkdtemp(prefix="goldcrest-site-"))  # not pytest's folder, which others may not enter
    root.chmod(0o755)
    folder = root / "home"
    folder.mkdir()
    return root, folder


async def _as_delegation_reads_it(command: Command) -> None:
    """Delegation builds the command anew from its arguments; one that it would refuse must not pass here."""
    assert command_from(command.op, command.args(), command.payload) == command
