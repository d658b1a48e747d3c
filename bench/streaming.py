"""Data through frames beside scp with the same cipher: 200 MB each way, and memory with a reader that is slow."""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import node
from blocking import USER, Target, target_of, verdict
from goldcrest.authority import Authority, ByToken
from goldcrest.commands import Payload, ReadFile, WhoAmI, WriteFile
from goldcrest.models.system import SystemSpec
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace

SIZE = 200 * 10**6  # bytes
READ = 50 * 10**6  # bytes of one fs.read, which has 64 MiB at most
PIECE = 10**6  # bytes of an upload that are read from disk at once
SLOW = 20 * 10**6  # bytes a second of a reader that is slow
_CIPHER = "aes128-gcm@openssh.com"


async def run(facts: dict[str, Any], runs: int) -> str:
    """Measure on the bed; medians of a run for each five of ``runs``, three at least."""
    target = await target_of(facts)
    container, folder = facts["container"], facts["users"][USER]["scratch"]
    argv = [*container["command"], "exec", "--user", USER, container["name"]]
    source = f"{folder}/bench-source"
    await _call(*argv, "dd", "if=/dev/urandom", f"of={source}", "bs=1000000", f"count={SIZE // 10**6}")
    try:
        return await measure(target, source=source, sink=f"{folder}/bench-sink", runs=max(3, runs // 5))
    finally:
        await _call(*argv, "rm", "-f", source, f"{folder}/bench-sink")


async def measure(target: Target, *, source: str, sink: str, runs: int) -> str:
    """The figures as a table.

    Args:
        source: a file of 200 MB of alice on the node.
        sink: a path that she may write.
    """
    with tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as folder:
        local = Path(folder) / "local"
        local.write_bytes(os.urandom(SIZE))
        scp = _scp(target, Path(folder))
        remote = f"{USER}@{target.plain['host']}"
        async with _client(target) as client:
            await client.pool.run(WhoAmI(), **client.where)
            ways: dict[str, Callable[[], Awaitable[object]]] = {
                "scp down": lambda: _call(*scp, f"{remote}:{source}", "/dev/null"),
                "down": lambda: client.down(source),
                "scp up": lambda: _call(*scp, str(local), f"{remote}:{sink}"),
                "up": lambda: client.up(sink, local),
            }
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(runs):
                for name, way in ways.items():
                    began = time.perf_counter()
                    await way()
                    seconds[name].append(time.perf_counter() - began)
            slow = await _slow_reader(target, client, source)
            fast = await _upload_memory(target, client, sink, local)
    rate = {name: SIZE / statistics.median(each) / 1e6 for name, each in seconds.items()}
    return "\n".join(
        (
            f"scp, {_CIPHER}, from the node   {rate['scp down']:8.0f} MB/s   (floor)",
            f"fs.read, four of 50 MB                      {rate['down']:8.0f} MB/s",
            f"scp, {_CIPHER}, to the node     {rate['scp up']:8.0f} MB/s   (floor)",
            f"fs.write, 200 MB as they come, synced       {rate['up']:8.0f} MB/s",
            verdict("200 MB from the node", rate["down"] / rate["scp down"], "× scp", least=0.7),
            verdict("200 MB to the node", rate["up"] / rate["scp up"], "× scp", least=0.7),
            slow,
            fast,
        )
    )


class _Client:
    """The SSH pool as the gateway has it."""

    def __init__(self, pool: SshPool, where: dict[str, Any]) -> None:
        self.pool = pool
        self.where = where

    async def down(self, source: str, *, pause: Callable[[int], Awaitable[object]] | None = None) -> None:
        received = 0
        for offset in range(0, SIZE, READ):
            command = ReadFile(source, offset=offset, length=READ)
            async with aclosing(self.pool.stream(command, **self.where)) as pieces:
                async for piece in pieces:
                    received += len(piece)
                    if pause is not None:
                        await pause(received)
        if received != SIZE:
            raise SystemExit(f"{received} bytes came instead of {SIZE}")

    async def up(self, sink: str, local: Path) -> None:
        """In one command. Its digest, which is signed, is reckoned first, as the gateway does while it receives the file."""
        with local.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)

            async def pieces() -> AsyncIterator[bytes]:
                while piece := file.read(PIECE):
                    yield piece

            command = WriteFile(sink, Payload(digest, SIZE), mode=0o600, overwrite=True)
            await self.pool.upload(command, pieces(), **self.where)


@asynccontextmanager
async def _client(target: Target) -> AsyncIterator[_Client]:
    spec = SystemSpec.model_validate(
        {
            "hosts": [target.host.model_dump(by_alias=True, exclude_none=True)],
            "filterPath": "/unused",
            "scheduler": {"type": "Slurm"},
            "workDirectory": "/unused",
        }
    )
    authority = Authority(url=target.delegation, ca_file=target.ca, token_file=target.gateway_token)
    pool = SshPool(authority, SshSettings())
    where = {
        "system": target.system,
        "spec": spec,
        "user": USER,
        "basis": ByToken(target.token),
        "trace": Trace.new(),
    }
    try:
        yield _Client(pool, where)
    finally:
        await pool.close()
        await authority.close()


async def _slow_reader(target: Target, client: _Client, source: str) -> str:
    """How memory grows on both sides while the reader takes 20 MB a second."""
    ours, theirs = node.resident_bytes(os.getpid()), target.dedicated.memory_bytes()
    most, most_there, looked = 0, 0, 0
    began = time.perf_counter()

    async def pause(received: int) -> None:
        nonlocal most, most_there, looked
        most = max(most, node.resident_bytes(os.getpid()) - ours)
        if received - looked > 10**7:
            looked = received
            most_there = max(most_there, await asyncio.to_thread(target.dedicated.memory_bytes) - theirs)
        await asyncio.sleep(max(0.0, began + received / SLOW - time.perf_counter()))

    await client.down(source, pause=pause)
    return (
        f"200 MB to a reader of {SLOW / 1e6:.0f} MB/s: memory grew by at most {most / 2**20:.1f} MiB here, "
        f"{most_there / 2**20:.1f} MiB on the node"
    )


async def _upload_memory(target: Target, client: _Client, sink: str, local: Path) -> str:
    """How memory grows on both sides while 200 MB are uploaded."""
    ours, theirs = node.resident_bytes(os.getpid()), target.dedicated.memory_bytes()
    task = asyncio.ensure_future(client.up(sink, local))
    most, most_there = 0, 0
    while not task.done():
        most = max(most, node.resident_bytes(os.getpid()) - ours)
        most_there = max(most_there, await asyncio.to_thread(target.dedicated.memory_bytes) - theirs)
        await asyncio.sleep(0.02)
    await task
    return (
        f"200 MB uploaded: memory grew by at most {most / 2**20:.1f} MiB here, {most_there / 2**20:.1f} MiB on the node"
    )


def _scp(target: Target, folder: Path) -> list[str]:
    plain = target.plain
    known = folder / "known_hosts"
    known.write_text(f"[{plain['host']}]:{plain['port']} {plain['host_key']}\n{plain['host']} {plain['host_key']}\n")
    options = {
        "UserKnownHostsFile": str(known),
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "Compression": "no",
        "Ciphers": _CIPHER,
    }
    told = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return ["scp", "-q", "-F", "none", "-i", plain["key"], "-P", str(plain["port"]), *told]


async def _call(*argv: str) -> None:
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} failed: {done.stderr}")
