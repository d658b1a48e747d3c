"""A login node with the real ssh-filter behind an sshd on loopback, each channel as the Unix user who logged in; programs are the test's."""

from __future__ import annotations

import asyncio
import base64
import json
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from component.ssh.login_node import FILTER, LoginNode, TinyAuthority, spec_of
from goldcrest.ssh import SshPool, SshSettings

SYSTEM = "cluster"


@dataclass(frozen=True)
class RealNode:
    """What a gateway needs to use it, and the folder of its programs."""

    pool: SshPool
    authority: TinyAuthority
    system: dict[str, Any]
    folder: Path


@asynccontextmanager
async def real_node(programs: Mapping[str, str], *, policy: Mapping[str, Any] | None = None) -> AsyncIterator[RealNode]:
    """
    Args:
        programs: text of each program that Slurm's or the site's commands are.
        policy: keys of the policy file beside the usual ones.
    """
    # Not pytest's folder: it is closed to other users.
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="goldcrest-node-"))
    authority = TinyAuthority()
    try:
        _furnish(folder, authority, programs, policy or {})
        node = await LoginNode(authority, _Channels(authority, folder)).start()
        pool = SshPool(authority, SshSettings())  # type: ignore[arg-type]
        try:
            spec = spec_of(node).model_dump(mode="json", by_alias=True, exclude_none=True)
            yield RealNode(pool, authority, {"metadata": {"name": SYSTEM}, "spec": spec}, folder)
        finally:
            await pool.close()
            await node.stop()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def _furnish(folder: Path, authority: TinyAuthority, programs: Mapping[str, str], policy: Mapping[str, Any]) -> None:
    folder.chmod(0o755)
    shutil.copy(FILTER, folder / "filter")
    (folder / "bin").mkdir(mode=0o755)
    for name, text in programs.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    (folder / "ca.pub").write_text(authority.public_line + "\n")
    content = {
        "system": SYSTEM,
        "caFile": str(folder / "ca.pub"),
        "minUid": 0,
        "roots": [str(folder)],
        "environment": {"PATH": f"{folder}/bin:/usr/bin:/bin"},
        **policy,
    }
    (folder / "policy.json").write_text(json.dumps(content))
    for name in ("ca.pub", "policy.json", "filter"):
        (folder / name).chmod(0o644)


class _Channels:
    """What runs on each channel."""

    def __init__(self, authority: TinyAuthority, folder: Path) -> None:
        self._authority = authority
        self._folder = folder

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        user = process.get_extra_info("username")
        entry = pwd.getpwnam(user)
        proof = self._folder / f"auth-info-{user}"
        encoded = base64.b64encode(self._authority.session_certificates[user]).decode()
        proof.write_text(f"publickey ssh-ed25519-cert-v01@openssh.com {encoded}\n")
        proof.chmod(0o644)
        child = await asyncio.create_subprocess_exec(
            "/usr/bin/python3", "-IS", str(self._folder / "filter"), "--policy", str(self._folder / "policy.json"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"SSH_USER_AUTH": str(proof), "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 2", "PATH": "/usr/bin:/bin"},
            user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
        )  # fmt: skip
        uploads = asyncio.create_task(_copy(process.stdin, child.stdin))
        try:
            await asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
            process.exit(await child.wait())
        finally:
            uploads.cancel()
            if child.returncode is None:
                child.kill()
            child._transport.close()  # its pipes as well; child.wait() would wait for their end


async def _copy(source: Any, sink: Any) -> None:
    while data := await source.read(64 * 1024):
        sink.write(data)
        await sink.drain()
    sink.write_eof()
