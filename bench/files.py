"""Files through the gateway: a list of 10 000 entries beside `ls -l` by a plain exec, and up- and downloads beside sftp on an open
connection, with the gateway's memory."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

import asyncssh

import node
from blocking import USER, Chain, Target, plain, target_of, verdict

ENTRIES = 10_000
SMALL, LARGE = 5, 1024  # MiB
_BOUNDARY = "9051914041544843365972754266a0b1"  # as clients make them: it takes five times as long to look for one of one letter
_QUIET_SECONDS = 4
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
            lines += await _transfers(target, folder, argv, SMALL, rounds=8 * rounds)
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
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="goldcrest-bench-"))
        local = Path(temporary) / "local"
        await _call("dd", "if=/dev/urandom", f"of={local}", "bs=1M", f"count={size}")
        source = f"{folder}/source"
        await _call(*argv, "dd", "if=/dev/urandom", f"of={source}", "bs=1M", f"count={size}")
        async with _sftp(target) as sftp:
            http = stack.enter_context(_Http(target))
            ways = [
                _Way("sftp down", lambda: sftp.get(source, f"{temporary}/back"), []),
                _Way("down", lambda: http.get(f"/utilities/download?sourcePath={source}", f"{temporary}/back"), []),
                _Way("sftp up", lambda: sftp.put(str(local), f"{folder}/sink"), []),
                _Way("sftp up, synced", lambda: _put_synced(sftp, str(local), f"{folder}/sink"), []),
                _Way("up", lambda: http.put("/utilities/upload", str(local), folder), []),
            ]  # fmt: skip
            await ways[1].act()  # the session is open, and what Python needs once is there
            before = node.resident_bytes(gateway)
            highest = before
            for _ in range(rounds):
                for way in ways:
                    # Each writes a new file: over an old one, sftp takes its place in memory, and ours needs room beside it until it is whole.
                    await _call(*argv, "rm", "-f", f"{folder}/sink", f"{folder}/local")
                    # Else what the one before left to be written is paid for by the next.
                    await asyncio.to_thread(os.sync)
                    began = time.perf_counter()
                    highest = max(highest, await _watched(way.act(), gateway))
                    way.seconds.append(time.perf_counter() - began)
        await _call(*argv, "rm", "-f", source, f"{folder}/sink", f"{folder}/local")
    rate = {way.name: size * 2**20 / statistics.median(way.seconds) / 1e6 for way in ways}
    return [
        f"{size} MiB: sftp down {rate['sftp down']:.0f} MB/s, download {rate['down']:.0f}; sftp up {rate['sftp up']:.0f}, upload {rate['up']:.0f}",
        verdict(f"download of {size} MiB", rate["down"] / rate["sftp down"], "× sftp", least=0.7),
        verdict(f"upload of {size} MiB", rate["up"] / rate["sftp up"], "× sftp", least=0.7),
        f"    which is on the disk then{'':<19}{rate['up'] / rate['sftp up, synced']:8.2f} × sftp that waits for that too, {rate['sftp up, synced']:.0f} MB/s",
        verdict(f"gateway's memory with {size} MiB", (highest - before) / 1e6, "MB", most=30),
    ]  # fmt: skip


async def _put_synced(sftp: Any, local: str, remote: str) -> None:
    """As the option -f of sftp(1) does."""
    await sftp.put(local, remote)
    async with sftp.open(remote, "r+") as file:
        await file.fsync()


async def _watched(act: Awaitable[None], pid: int) -> int:
    """Do it, and say how much memory a process had at most meanwhile."""
    task = asyncio.ensure_future(act)
    highest = 0
    while not task.done():
        highest = max(highest, node.resident_bytes(pid))
        await asyncio.wait([task], timeout=0.02)
    await task
    return highest


class _Http:
    """An open connection to the gateway, as sftp has one to the node; in a thread, and as little as can be."""

    def __init__(self, target: Target) -> None:
        url = urlsplit(target.gateway)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": url.netloc, **target.headers}.items())
        self._address = url.hostname, url.port
        self._socket = self._connected()
        self._used = time.monotonic()

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as every HTTP client does
        return connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def get(self, path: str, local: str) -> None:
        await asyncio.to_thread(self._get, path, local)

    async def put(self, path: str, local: str, folder: str) -> None:
        await asyncio.to_thread(self._put, path, local, folder)

    def _send(self, head: str) -> None:
        if time.monotonic() - self._used > _QUIET_SECONDS:  # the gateway may be closing it just now
            self._socket.close()
            self._socket = self._connected()
        self._socket.sendall(head.encode())

    def _get(self, path: str, local: str) -> None:
        self._send(f"GET {path} HTTP/1.1\r\n{self._head}\r\n")
        with Path(local).open("wb") as file:
            self._answer(200, file)

    def _put(self, path: str, local: str, folder: str) -> None:
        begin = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\n{folder}\r\n'
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="local"\r\n\r\n'
        )
        end = f"\r\n--{_BOUNDARY}--\r\n"
        size = len(begin) + Path(local).stat().st_size + len(end)
        more = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\nContent-Length: {size}\r\n"
        self._send(f"POST {path} HTTP/1.1\r\n{self._head}{more}\r\n{begin}")
        with Path(local).open("rb") as file:
            self._socket.sendfile(file)
        self._socket.sendall(end.encode())
        self._answer(201, io.BytesIO())

    def _answer(self, expected: int, sink: IO[bytes]) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            some = self._socket.recv(65536)
            if not some:
                raise SystemExit("the gateway closed the connection")
            data += some
        head, _, body = data.partition(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) - len(body)
        sink.write(body)
        buffer = memoryview(bytearray(1024 * 1024))
        while left:
            size = self._socket.recv_into(buffer)
            if not size:
                raise SystemExit(f"the gateway closed the connection {left} bytes before the end")
            sink.write(buffer[:size])
            left -= size
        self._used = time.monotonic()
        if int(head.split()[1]) != expected:
            raise SystemExit(f"the answer was {head.splitlines()[0].decode()}: {body[:300].decode()}")


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
