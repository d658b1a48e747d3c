"""Files through the gateway: a list of 10 000 entries beside `ls -l` by a plain exec, and up- and downloads beside sftp on an open
connection, with the gateway's memory."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

import node
from blocking import USER, Chain, Target, plain, target_of, verdict

ENTRIES = 10_000
SMALL, LARGE = 5, 1024  # MiB
_CIPHER = "aes128-gcm@openssh.com"


async def run(facts: dict[str, Any], runs: int) -> str:
    """Measure on the bed; a round for each five of ``runs``, three at least."""
    target = await target_of(facts)
    container, folder = facts["container"], f"{facts['users'][USER]['scratch']}/bench-files"
    argv = [*container["command"], "exec", "--user", USER, container["name"]]
    await _call(
        *argv, "sh", "-c", f"mkdir -p {folder}/list && cd {folder}/list && seq -f entry-%05g {ENTRIES} | xargs touch"
    )
    try:
        rounds = max(3, runs // 5)
        lines = await _listing(target, f"{folder}/list", rounds=rounds)
        async with _limit_raised(facts):
            lines += await _transfers(target, folder, argv, SMALL, rounds=rounds)
            lines += await _transfers(target, folder, argv, LARGE, rounds=2)
        return "\n".join(lines)
    finally:
        await _call(*argv, "rm", "-rf", folder)


# ---- Lists ----------------------------------------------------------------------------------------------------------


async def _listing(target: Target, path: str, *, rounds: int) -> list[str]:
    query = f"/utilities/ls?targetPath={path}"
    ours = Chain("Goldcrest GET /utilities/ls", target.gateway + query, target.headers, target.pids, target.dedicated)
    with plain(target, fresh=False) as floor:
        floor = Chain("open connection, ls -l", floor.url.replace("/stat?path=" + target.path, f"/ls?path={path}"), {}, floor.pids, target.site)  # fmt: skip
        for _ in range(rounds):
            for chain in (floor, ours):
                await asyncio.to_thread(chain.measure, 1)
        return [
            *floor.lines(floor),
            *ours.lines(floor),
            verdict(f"ls of {ENTRIES} entries", ours.p50(1) / floor.p50(1), "× ls", most=1),
        ]


# ---- Transfers ------------------------------------------------------------------------------------------------------


@dataclass
class _Way:
    """One direction by one means."""

    name: str
    act: Callable[[], Awaitable[None]]
    seconds: list[float]


async def _transfers(target: Target, folder: str, argv: list[str], size: int, *, rounds: int) -> list[str]:
    gateway = target.pids["gateway"]
    with tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as temporary:
        local = Path(temporary) / "local"
        await _call("dd", "if=/dev/urandom", f"of={local}", "bs=1M", f"count={size}")
        source = f"{folder}/source"
        await _call(*argv, "dd", "if=/dev/urandom", f"of={source}", "bs=1M", f"count={size}")
        curl = _Curl(target)
        async with _sftp(target) as sftp:
            ways = [
                _Way("sftp down", lambda: sftp.get(source, f"{temporary}/back"), []),
                _Way("down", lambda: curl("-o", f"{temporary}/back", f"{target.gateway}/utilities/download?sourcePath={source}"), []),
                _Way("sftp up", lambda: sftp.put(str(local), f"{folder}/sink"), []),
                _Way("up", lambda: curl("-o", f"{temporary}/said", "-F", f"targetPath={folder}", "-F", f"file=@{local}", f"{target.gateway}/utilities/upload"), []),
            ]  # fmt: skip
            await ways[1].act()  # the session is open, and what Python needs once is there
            before = node.resident_bytes(gateway)
            highest = before
            for _ in range(rounds):
                for way in ways:
                    began = time.perf_counter()
                    highest = max(highest, await _watched(way.act(), gateway))
                    way.seconds.append(time.perf_counter() - began)
        await _call(*argv, "rm", "-f", source, f"{folder}/sink", f"{folder}/local")
    rate = {way.name: size * 2**20 / statistics.median(way.seconds) / 1e6 for way in ways}
    return [
        f"{size} MiB: sftp down {rate['sftp down']:.0f} MB/s, download {rate['down']:.0f}; sftp up {rate['sftp up']:.0f}, upload {rate['up']:.0f}",
        verdict(f"download of {size} MiB", rate["down"] / rate["sftp down"], "× sftp", least=0.7),
        verdict(f"upload of {size} MiB", rate["up"] / rate["sftp up"], "× sftp", least=0.7),
        verdict(f"gateway's memory with {size} MiB", (highest - before) / 1e6, "MB", most=30),
    ]  # fmt: skip


async def _watched(act: Awaitable[None], pid: int) -> int:
    """Do it, and say how much memory a process had at most meanwhile."""
    task = asyncio.ensure_future(act)
    highest = 0
    while not task.done():
        highest = max(highest, node.resident_bytes(pid))
        await asyncio.wait([task], timeout=0.02)
    await task
    return highest


class _Curl:
    """curl, with its headers by standard input: a token must not stand in a command line."""

    def __init__(self, target: Target) -> None:
        self._config = "\n".join(f"header = {json.dumps(f'{name}: {value}')}" for name, value in target.headers.items())

    async def __call__(self, *argv: str) -> None:
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--fail-with-body", "-K", "-", *argv, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )  # fmt: skip
        _, said = await process.communicate(self._config.encode())
        if process.returncode:
            raise SystemExit(f"curl failed: {said.decode()}")


@asynccontextmanager
async def _sftp(target: Target) -> AsyncIterator[Any]:
    where = target.plain
    async with (
        asyncssh.connect(
            where["host"], where["port"], username=where["user"], client_keys=[where["key"]], config=None, agent_path=None,
            known_hosts=([asyncssh.import_public_key(where["host_key"])], [], []), encryption_algs=[_CIPHER],
            compression_algs=None,
        ) as connection,
        connection.start_sftp_client() as client,
    ):  # fmt: skip
        yield client


@asynccontextmanager
async def _limit_raised(facts: dict[str, Any]) -> AsyncIterator[None]:
    """The System allows files of 2 GiB meanwhile."""
    kubectl = [facts["kubectl"], f"--kubeconfig={facts['kubernetes']['admin']}"]
    patch = [*kubectl, "patch", "gsys", facts["system"]["name"], "--type=merge", "-p"]
    await _call(*patch, '{"spec":{"limits":{"maxFileSizeMiB":2048}}}')
    await asyncio.sleep(1)  # the gateway watches
    try:
        yield
    finally:
        await _call(*patch, '{"spec":{"limits":null}}')


async def _call(*argv: str) -> None:
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} failed: {done.stderr}")
