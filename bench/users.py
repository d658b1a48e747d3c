"""A thousand users with a command a minute each, through a gateway and a delegation of their own beside those of the bed: connections,
memory on both sides, refusals."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import node
from blocking import Target, free_port, target_of, until_listening
from component.admission.issuer import Issuer

USERS = 1000
MINUTES, MANY_MINUTES = 2, 10
FIRST_UID = 50_000
LOOK_SECONDS = 10.0


async def run(facts: dict[str, Any], runs: int, *, minutes: float = MINUTES) -> str:
    """Measure on the bed."""
    target = await target_of(facts)
    with ExitStack() as stack:
        names = stack.enter_context(_accounts(facts))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="goldcrest-bench-")))
        issuer = Issuer(folder, systems=f'["{target.system}"]')
        delegation, url = stack.enter_context(own_delegation(target, issuer, folder))
        gateway, api = stack.enter_context(own_gateway(target, issuer, url))
        own = replace(
            target, gateway=api, pids={"gateway": gateway, "delegation": delegation, "OPA": target.pids["OPA"]}
        )
        tokens = {name: issuer.token(name, exp=int(time.time() + 3600)) for name in names}
        return await measure(own, tokens, minutes=minutes)


async def run_long(facts: dict[str, Any], runs: int) -> str:
    """For ten minutes."""
    return await run(facts, runs, minutes=MANY_MINUTES)


async def measure(target: Target, tokens: dict[str, str], *, minutes: float) -> str:
    """The figures as a table.

    Args:
        tokens: one of each user.
    """
    seen = _Seen()
    before = seen.look(target)
    watching = asyncio.create_task(_watch(target, seen))
    end = time.monotonic() + 60 * minutes
    cpu = target.dedicated.cpu_seconds()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        users = [
            _user(session, target, token, delay=60 * number / len(tokens), end=end, seen=seen)
            for number, token in enumerate(tokens.values())
        ]
        await asyncio.gather(*users)
    watching.cancel()
    cpu = target.dedicated.cpu_seconds() - cpu
    ordered = sorted(seen.seconds)
    refused = sum(seen.refusals.values())
    sessions = max(look.sessions for look in seen.looks)
    there = max(look.node - before.node for look in seen.looks)
    return "\n".join(
        (
            f"{len(tokens)} users, a command a minute each, for {minutes:g} min: {len(ordered)} answered, {refused} refused   "
            f"{'within' if not refused else 'NOT within'} none refused",
            *(f"    {count} × {what}" for what, count in seen.refusals.items()),
            f"answer, with a login where it was needed      {1000 * statistics.median(ordered):8.1f} ms p50"
            f" {1000 * ordered[int(0.99 * len(ordered))]:8.1f} ms p99",
            f"connections at once, at most                  {sessions:8d}",
            f"memory of all sessions on the node, at most   {there / 2**20:8.0f} MiB, {there / 2**20 / max(1, sessions):.1f} each",
            f"memory of the gateway                         {_growth(seen, before, 'gateway')}",
            f"memory of delegation                          {_growth(seen, before, 'delegation')}",
            f"CPU on the node for a command and its login   {1000 * cpu / max(1, len(ordered)):8.1f} ms",
        )
    )


def _growth(seen: _Seen, before: _Look, name: str) -> str:
    first, most = getattr(before, name), max(getattr(look, name) for look in seen.looks)
    return f"{first / 2**20:8.0f} MiB before, {most / 2**20:.0f} at most, {getattr(seen.looks[-1], name) / 2**20:.0f} at the end"


@dataclass(frozen=True)
class _Look:
    sessions: int
    node: int
    gateway: int
    delegation: int


@dataclass
class _Seen:
    seconds: list[float] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    looks: list[_Look] = field(default_factory=list)

    def look(self, target: Target) -> _Look:
        resident = {name: node.resident_bytes(target.pids[name]) for name in ("gateway", "delegation")}
        self.looks.append(_Look(target.dedicated.sessions(), target.dedicated.memory_bytes(), **resident))
        return self.looks[-1]


async def _watch(target: Target, seen: _Seen) -> None:
    while True:
        await asyncio.to_thread(seen.look, target)
        await asyncio.sleep(LOOK_SECONDS)


async def _user(
    session: aiohttp.ClientSession, target: Target, token: str, *, delay: float, end: float, seen: _Seen
) -> None:
    headers = {"Authorization": f"Bearer {token}", "X-Machine-Name": target.system}
    url = f"{target.gateway}/utilities/stat?targetPath={target.path}"
    await asyncio.sleep(delay)
    while time.monotonic() < end:
        began = time.monotonic()
        async with session.get(url, headers=headers) as answer:
            body = await answer.json()
        if answer.status == 200:
            seen.seconds.append(time.monotonic() - began)
        else:
            what = f"{answer.status} {body.get('error') or body.get('description')}"
            seen.refusals[what] = seen.refusals.get(what, 0) + 1
        await asyncio.sleep(max(0.0, began + 60 - time.monotonic()))


# ---- Beside the bed -------------------------------------------------------------------------------------------------


@contextmanager
def own_delegation(target: Target, issuer: Issuer, folder: Path) -> Iterator[tuple[int, str]]:
    """One as the running one, which trusts the bench's own issuer; its pid and URL."""
    socket = folder / "delegation.sock"
    changes = {
        "GOLDCREST_DELEGATION_IDENTITY_FILE": str(issuer.identity_file),
        "GOLDCREST_DELEGATION_AUDIT_FILE": str(folder / "audit.jsonl"),
        "GOLDCREST_DELEGATION_METRICS_PORT": "0",
        "GOLDCREST_DELEGATION_LISTEN_SOCKET": str(socket),
    }
    without = ("LISTEN_ADDRESS", "LISTEN_PORT", "TLS_CERT", "TLS_KEY")
    environment = _environment(target.pids["delegation"])
    for name in without:
        environment.pop(f"GOLDCREST_DELEGATION_{name}", None)
    with _process(["goldcrest-delegation", "serve"], environment | changes) as pid:
        for _ in range(400):
            if socket.exists():
                break
            time.sleep(0.05)
        yield pid, f"unix:{socket}"


@contextmanager
def own_gateway(target: Target, issuer: Issuer, delegation: str) -> Iterator[tuple[int, str]]:
    """One as the running one, before that delegation; its pid and URL."""
    port = free_port()
    changes = {
        "GOLDCREST_API_IDENTITY_FILE": str(issuer.identity_file),
        "GOLDCREST_API_LISTEN__METRICS_PORT": "0",
        "GOLDCREST_API_DELEGATION__URL": delegation,
        "GOLDCREST_API_LISTEN__HOST": "127.0.0.1",
        "GOLDCREST_API_LISTEN__PORT": str(port),
    }
    with _process(["goldcrest-api"], _environment(target.pids["gateway"]) | changes) as pid:
        until_listening(port)
        time.sleep(2)  # its caches are filled
        yield pid, f"http://127.0.0.1:{port}"


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)


@contextmanager
def _process(argv: list[str], environment: dict[str, str]) -> Iterator[int]:
    program = str(Path(sys.executable).with_name(argv[0]))
    with subprocess.Popen([program, *argv[1:]], env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


_MAKE = """
import os, shutil, sys
number, uid = int(sys.argv[1]), int(sys.argv[2])
names = ["gb%04d" % n for n in range(number)]
files = {"/etc/passwd": "{0}:x:{1}:{1}::/tmp:/bin/bash", "/etc/group": "{0}:x:{1}:", "/etc/shadow": "{0}:*:19000:0:99999:7:::"}
for path, line in files.items():
    kept = [each for each in open(path).read().splitlines() if each[:2] != "gb"]
    new = kept + [line.format(name, uid + n) for n, name in enumerate(names)]
    with open(path + ".bench", "w") as file:
        file.write("\\n".join(new) + "\\n")
    shutil.copystat(path, path + ".bench")
    os.chown(path + ".bench", os.stat(path).st_uid, os.stat(path).st_gid)
    os.rename(path + ".bench", path)
print(" ".join(names))
"""


@contextmanager
def _accounts(facts: dict[str, Any]) -> Iterator[list[str]]:
    """A thousand Unix users on the node, for the time of the run."""
    container = facts["container"]
    argv = [*container["command"], "exec", "-i", container["name"], "python3", "-"]

    def make(number: int) -> list[str]:
        done = subprocess.run(
            [*argv, str(number), str(FIRST_UID)], input=_MAKE, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    names = make(USERS)
    try:
        yield names
    finally:
        make(0)
