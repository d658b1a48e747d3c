"""The SSH client with the real sshd: a door that is shut, a restart under load, a jump host, and the stat route to the end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bed import Bed
from goldcrest.authority import Authority, ByToken
from goldcrest.commands import MakeDirectory, StatFile, WhoAmI
from goldcrest.errors import AnswerLost, SystemUnreachable
from goldcrest.models.system import SystemSpec
from goldcrest.ssh import SshPool, SshSettings
from goldcrest.telemetry import Trace
from goldcrest.wellknown import DELEGATION_AUDIENCE

pytestmark = pytest.mark.integration

CONFIG = "/etc/ssh/sshd_goldcrest_config"
PORT = 2299
PID_FILE = "/run/sshd-test.pid"


@asynccontextmanager
async def pool_of(bed: Bed, **settings: Any) -> AsyncIterator[SshPool]:
    """A pool with the gateway's own right to ask delegation."""
    token = bed.facts["kubernetes"]["service_accounts"]["goldcrest-api"]["tokens"][DELEGATION_AUDIENCE]
    authority = Authority(
        url=bed.facts["goldcrest"]["delegation"]["url"],
        ca_file=Path(bed.facts["pki"]) / "ca.crt",
        token_file=Path(token),
    )
    pool = SshPool(authority, SshSettings(backoff_first_seconds=0.2, backoff_most_seconds=1, **settings))
    try:
        yield pool
    finally:
        await pool.close()
        await authority.close()


def where(bed: Bed, *, user: str = "alice", port: int | None = None, via: int | None = None) -> dict[str, Any]:
    system = bed.facts["system"]
    host = {"address": system["host"], "port": port or system["port"], "hostKeys": system["host_keys"]}
    if via is not None:
        # The name that the jump host, which is in the same container, knows the login host by does not matter to us.
        host["via"] = {"address": system["host"], "port": via, "hostKeys": system["host_keys"]}
    spec = {
        "hosts": [host],
        "filterPath": system["filter_path"],
        "scheduler": {"type": "Slurm"},
        "workDirectory": f"{system['scratch']}/{{user}}",
    }
    return {
        "system": system["name"],
        "spec": SystemSpec.model_validate(spec),
        "user": user,
        "basis": ByToken(bed.token(f"{user}-client")),
        "trace": Trace.new(),
    }


@contextmanager
def another_sshd(bed: Bed, **options: str) -> Iterator[None]:
    """One more sshd on the node, with the shipped configuration but for these options."""
    # Not by -o: for some options, MaxStartups among them, the file counts for more.
    kept = [line for line in bed.node("cat", CONFIG).splitlines() if line.split(" ")[0] not in {*options, "PidFile"}]
    told = [f"{name} {value}" for name, value in {**options, "PidFile": PID_FILE}.items()]
    write(bed, f"{CONFIG}.test", "\n".join([*told, *kept, ""]))
    bed.node("/usr/sbin/sshd", "-f", f"{CONFIG}.test", "-p", str(PORT))
    try:
        yield
    finally:
        bed.node("pkill", "-F", PID_FILE)
        bed.node("rm", f"{CONFIG}.test")


def write(bed: Bed, path: str, content: str) -> None:
    """Put a file onto the node."""
    container = bed.facts["container"]
    argv = [*container["command"], "exec", "-i", container["name"], "tee", path]
    subprocess.run(argv, input=content.encode(), check=True, capture_output=True)


async def test_max_startups(bed: Bed) -> None:
    """sshd drops connections while others hang before their login: said at once and why, not tried again and again; and work
    goes on afterwards."""
    address = bed.facts["system"]["host"]
    with another_sshd(bed, MaxStartups="2:100:3"):
        async with pool_of(bed) as pool:
            hanging = [await asyncio.open_connection(address, PORT) for _ in range(4)]
            await asyncio.sleep(0.5)
            reader, writer = await asyncio.open_connection(address, PORT)
            assert await reader.read(100) == b"Exceeded MaxStartups\r\n"
            writer.close()
            began = time.monotonic()
            for _ in range(20):
                with pytest.raises(SystemUnreachable, match=f"login host {address}:{PORT}"):
                    await pool.run(WhoAmI(), **where(bed, port=PORT))
            assert time.monotonic() - began < 10
            for _, open_writer in hanging:
                open_writer.close()
            answer = None
            for _ in range(100):
                try:
                    answer = await pool.run(WhoAmI(), **where(bed, port=PORT))
                    break
                except SystemUnreachable:
                    await asyncio.sleep(0.1)
            assert answer is not None
            assert answer.result["user"] == "alice"


async def test_sshd_restarted_under_load(bed: Bed) -> None:
    """The dedicated sshd is stopped and started while a user works: what runs once runs once, and it goes on by itself."""
    results: Counter[tuple[str, str]] = Counter()
    folder = f"/scratch/alice/{bed.name('wire')}"
    made: list[str] = []
    stop = asyncio.Event()
    async with pool_of(bed) as pool:
        place = where(bed)
        await pool.run(MakeDirectory(folder), **place)

        async def worker(number: int) -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                path = f"{folder}/{number}-{turn}"
                command = StatFile(folder) if number % 2 else MakeDirectory(path)
                try:
                    await pool.run(command, seconds=10, **place)
                    what = "answered"
                    if isinstance(command, MakeDirectory):
                        made.append(path.rpartition("/")[2])
                except (SystemUnreachable, AnswerLost) as error:
                    what = type(error).__name__
                    await asyncio.sleep(0.05)
                results[command.op, what] += 1

        workers = [asyncio.create_task(worker(number)) for number in range(6)]
        for _ in range(2):
            await asyncio.sleep(1)
            await asyncio.to_thread(bed.faults.node_daemon, "restart", "sshd-goldcrest")
            # Sessions outlive the one that listens; a reboot would not spare them.
            await asyncio.to_thread(bed.node, "pkill", "-u", "alice", "sshd", check=False)
        await asyncio.sleep(1)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*workers), 60)
        assert (await pool.run(WhoAmI(), seconds=20, **place)).result["user"] == "alice"
    # A second run of a mkdir would have failed with EEXIST, which nothing above accepts; and each answered one was made.
    assert set(made) <= set(bed.node("ls", folder).split())
    assert results["fs.stat", "AnswerLost"] == 0
    assert results["fs.stat", "answered"] > 10
    assert results["fs.mkdir", "answered"] > 10
    bed.node("rm", "-r", folder)


RELAY = """
import os, select, socket
there = socket.create_connection(("127.0.0.1", 2222))
while True:
    ready, _, _ = select.select([0, there], [], [])
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            break
        there.sendall(data)
    if there in ready:
        data = there.recv(65536)
        if not data:
            break
        os.write(1, data)
"""


@pytest.fixture
def relay(bed: Bed) -> Iterator[str]:
    """`nc login-host 2222`, which the node's image does not have."""
    path = "/usr/local/libexec/relay-test.py"
    bed.node("mkdir", "-p", "/usr/local/libexec")
    write(bed, path, RELAY)
    yield path
    bed.node("rm", path)


async def test_jump_host(bed: Bed, relay: str) -> None:
    """Certificates without extensions, `DisableForwarding yes`, and a relay as ForceCommand: the way that docs/protocol.md describes."""
    with another_sshd(bed, ForceCommand=f"/usr/bin/python3 -IS {relay}"):
        async with pool_of(bed) as pool:
            answer = await pool.run(WhoAmI(), **where(bed, via=PORT))
            assert answer.result["user"] == "alice"


def test_stat(bed: Bed) -> None:
    """What stat(1) says of the same file, through token, delegation, policy and filter."""
    path = f"/scratch/alice/{bed.name('stat')}"
    bed.node("dd", "if=/dev/zero", f"of={path}", "bs=17", "count=1", user="alice")
    answer = bed.call("GET", f"/utilities/stat?targetPath={path}")
    assert answer.status == 200, answer.body
    said = bed.node("stat", "-c", "%f %i %d %h %u %g %s %X %Y %Z", path).split()
    names = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")
    expected = dict(zip(names, [int(said[0], 16), *map(int, said[1:])], strict=True))
    assert json.loads(answer.body) == {"description": "Success to stat file.", "output": expected}
    bed.node("rm", path)
    missing = bed.call("GET", f"/utilities/stat?targetPath={path}")
    assert (missing.status, missing.headers["X-Not-Found"]) == (400, "sourcePath not found")
