"""A thousand submissions through REST by 50 clients, beside as many bare `sbatch` over open SSH connections in the same run.

A client sends a script, asks `GET /tasks/{id}` until it shows the job's id, and goes on to its next one. The floor is what the site's own sshd
takes on connections that are open, with as many `sbatch` at once as give the best rate. All jobs sleep, so that but a few start in either. In between
stands what hold and release cost there, for a job that shall not run twice. CPU time is that of each process over the run, divided by its submissions.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

import node
import submit
from blocking import verdict

SUBMISSIONS, CLIENTS = 1000, 50
USERS = ("alice", "bob")  # half of the clients each
PARALLEL = (4, 8, 16)  # of the floor: `sbatch` at once
POLL_FIRST_SECONDS, POLL_MOST_SECONDS = 0.1, 1.0  # between two questions: half as long again each time
TOKEN_SECONDS = 120  # those of the bed live for five minutes
SCRIPT = b"#!/bin/bash\nsleep 3600\n"
FILTER = "ssh-filter"


async def run(facts: dict[str, Any], runs: int) -> str:
    """Measure on the bed; floor, ours, floor: a noisy minute meets both."""
    count = SUBMISSIONS if runs >= 10 else 50 * max(1, runs)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, cancel_all, facts)
        floor = Floor(
            facts, [await stack.enter_async_context(connected(facts, user)) for user in _users(max(PARALLEL))]
        )
        await floor.prepare()
        tried = {parallel: (await floor.measure(count // 10, parallel)).rate for parallel in PARALLEL}
        parallel = max(tried, key=lambda one: tried[one])
        before = await floor.measure(count, parallel)
        print(row("floor: bare sbatch", before), flush=True)
        held = await floor.measure(count, parallel, held=True)
        print(row("sbatch --hold, scontrol release", held), flush=True)
        ours = await through_rest(facts, count)
        print(row(f"REST, {CLIENTS} clients, until the id", ours), flush=True)
        after = await floor.measure(count, parallel)
        print(row("floor: bare sbatch, again", after), flush=True)
    return "\n".join(lines(tried, before, held, ours, after))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run. Seconds of each submission, of all together, and of CPU by process."""

    seconds: list[float]
    wall: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    def milliseconds(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def cpu_milliseconds(self) -> dict[str, float]:
        """Of one submission."""
        return {name: 1000 * seconds / len(self.seconds) for name, seconds in self.cpu.items()}


def row(name: str, one: Measured) -> str:
    """One run, in a line."""
    times = ", ".join(
        f"{what} {one.milliseconds(share):.0f}" for what, share in (("p50", 0.5), ("p95", 0.95), ("max", 1))
    )
    return f"{name:<34}{one.rate:7.1f} /s   {times} ms   load {os.getloadavg()[0]:.1f}"


def lines(tried: dict[int, float], before: Measured, held: Measured, ours: Measured, after: Measured) -> list[str]:
    """Rows of the table."""
    floor = statistics.mean((before.rate, after.rate))
    p50 = ours.milliseconds(0.5)
    rows = [
        "sbatch at once: " + ", ".join(f"{parallel} → {rate:.0f}/s" for parallel, rate in tried.items()),
        verdict("rate", ours.rate / floor, "× floor", least=0.5),
        verdict("who waits longest", ours.milliseconds(1) / p50, "× median", most=5),
        "",
        "CPU ms of one submission        " + "".join(f"{name:>12}" for name in ("bare", "held", "REST")),
    ]
    spent = [one.cpu_milliseconds() for one in (before, held, ours)]
    for name in spent[0]:
        rows.append(f"    {name:<28}" + "".join(f"{one[name]:12.2f}" for one in spent))
    rows.append(f"    {'all':<28}" + "".join(f"{sum(one.values()):12.2f}" for one in spent))
    return rows


# ---- Ours -----------------------------------------------------------------------------------------------------------


async def through_rest(facts: dict[str, Any], count: int) -> Measured:
    """Submissions by all clients, each with one under way."""
    tokens = {user: await submit.access_token(facts, user) for user in USERS}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(facts["goldcrest"]["api"]["url"], connector=connector) as session:
        for user in USERS:  # connections to the node are open, as those of the floor
            await _one(session, tokens[user], facts["system"]["name"])
        left = iter(range(count))

        async def client(user: str) -> list[float]:
            return [await _one(session, tokens[user], facts["system"]["name"]) for _ in left]

        async def renew() -> None:
            while True:
                await asyncio.sleep(TOKEN_SECONDS)
                tokens.update({user: await submit.access_token(facts, user) for user in USERS})

        renewing = asyncio.create_task(renew())
        try:
            return await _measured(facts, [lambda user=user: client(user) for user in _users(CLIENTS)])
        finally:
            renewing.cancel()


async def _one(session: aiohttp.ClientSession, token: str, system: str) -> float:
    """Seconds from sending a script to seeing its job's id."""
    headers = {"Authorization": f"Bearer {token}", "X-Machine-Name": system}
    form = aiohttp.FormData()
    form.add_field("file", SCRIPT, filename="bench.sh")
    began = time.perf_counter()
    async with session.post("/compute/jobs/upload", data=form, headers=headers) as answer:
        body = await answer.json()
        if answer.status != 201:
            raise SystemExit(f"the submission was refused: {answer.status} {body}")
    pause = POLL_FIRST_SECONDS
    while True:
        async with session.get(f"/tasks/{body['task_id']}", headers=headers) as answer:
            task = (await answer.json())["task"]
        if task["status"] == "200":
            return time.perf_counter() - began
        if task["status"] == "400":
            raise SystemExit(f"the job was refused: {task['data']}")
        await asyncio.sleep(pause)
        pause = min(POLL_MOST_SECONDS, 1.5 * pause)


# ---- The floor ------------------------------------------------------------------------------------------------------


def connected(facts: dict[str, Any], user: str) -> Any:
    """A connection to the site's own sshd (a context)."""
    system = facts["system"]
    return asyncssh.connect(
        system["host"],
        system["site_port"],
        username=user,
        client_keys=[facts["users"][user]["site_key"]],
        known_hosts=([asyncssh.import_public_key(system["host_keys"][0])], [], []),
        config=None,
        agent_path=None,
    )


class Floor:
    """`sbatch` over open connections, the first of which belong to the users by turns."""

    def __init__(self, facts: dict[str, Any], connections: list[asyncssh.SSHClientConnection]) -> None:
        self._facts = facts
        self._connections = connections

    async def prepare(self) -> None:
        """Put the script onto the system."""
        for connection in self._connections:
            await connection.run('cat > "$HOME/bench.sh"', input=SCRIPT.decode(), check=True)

    async def measure(self, count: int, parallel: int, *, held: bool = False) -> Measured:
        """So many submissions; their jobs are gone afterwards.

        Args:
            held: submitted held and then released, in a command of its own.
        """
        left = iter(range(count))

        async def worker(connection: asyncssh.SSHClientConnection) -> list[float]:
            return [await self._sbatch(connection, held=held) for _ in left]

        done = await _measured(self._facts, [lambda one=one: worker(one) for one in self._connections[:parallel]])
        await asyncio.to_thread(cancel_all, self._facts)
        return done

    @staticmethod
    async def _sbatch(connection: asyncssh.SSHClientConnection, *, held: bool) -> float:
        began = time.perf_counter()
        done = await connection.run(f"sbatch --parsable {'--hold ' if held else ''}bench.sh", check=True)
        took = time.perf_counter() - began
        if held:
            await connection.run(f"scontrol release {str(done.stdout).strip()}", check=True)
        return took


def cancel_all(facts: dict[str, Any]) -> None:
    """Cancel every job of the users, and wait until none is left."""
    container = facts["container"]
    inside = [*container["command"], "exec", container["name"]]
    for _ in range(300):
        for user in USERS:
            subprocess.run([*inside, "scancel", f"--user={user}"], check=True, capture_output=True)
        asked = [*inside, "squeue", "--noheader", f"--user={','.join(USERS)}", "--format=%i"]
        if not subprocess.run(asked, check=True, capture_output=True).stdout.strip():
            return
        time.sleep(0.2)
    raise SystemExit("jobs do not go away")


# ---- CPU time -------------------------------------------------------------------------------------------------------


async def _measured(facts: dict[str, Any], clients: Iterable[Callable[[], Awaitable[list[float]]]]) -> Measured:
    spending = Spending(facts)
    before, began = await asyncio.to_thread(spending.look), time.perf_counter()
    seconds = await asyncio.gather(*(client() for client in clients))
    wall = time.perf_counter() - began
    after = await asyncio.to_thread(spending.look)
    return Measured(
        seconds=[one for many in seconds for one in many],
        wall=wall,
        cpu={name: after[name] - before[name] for name in after},
    )


class Spending:
    """CPU seconds so far of everything that a submission takes, by name."""

    def __init__(self, facts: dict[str, Any]) -> None:
        from goldcrest_bed.paths import Paths
        from goldcrest_bed.processes import ProcessRecord

        self._pids = {}
        for name in ("goldcrest-api", "goldcrest-delegation", "opa", "goldcrest-admission", "kube-apiserver", "etcd", "goldcrest-operator"):  # fmt: skip
            record = ProcessRecord.load(Paths.from_environment().run / f"{name}.json")
            if record is None or not record.alive():
                raise SystemExit(f"{name} does not run; `make bed-up` repairs the bed")
            self._pids[name.removeprefix("goldcrest-")] = record.pid
        self._site, self._dedicated = node.listeners(facts)
        self._daemons = _daemons(facts)

    def look(self) -> dict[str, float]:
        filters, programs = 0.0, 0.0
        for pid in self._dedicated.pids():
            own, whole = node.cpu_seconds(pid), node.cpu_seconds(pid, children=True)
            if FILTER.encode() in _title(pid):
                programs += whole - own
                whole = own
            filters += whole
        spent = {name: node.cpu_seconds(pid) for name, pid in self._pids.items()}
        spent["node: site's sshd, sbatch"] = self._site.cpu_seconds()
        spent["node: our sshd and filter"] = filters
        spent["node: what the filter runs"] = programs
        for name, pids in self._daemons.items():
            spent[f"node: {name}"] = sum(node.cpu_seconds(pid, children=True) for pid in pids)
        spent["the clients"] = sum(os.times()[:2])
        return spent


def _daemons(facts: dict[str, Any]) -> dict[str, list[int]]:
    """What runs in the node's container for Slurm, by name."""
    container = facts["container"]
    inspect = [*container["command"], "container", "inspect", "-f", "{{.State.Pid}}", container["name"]]
    init = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    space = Path(f"/proc/{init}/ns/pid").readlink()
    found: dict[str, list[int]] = {"slurmctld": [], "slurmdbd": [], "mariadbd": [], "munged": [], "slurmd and jobs": []}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns/pid").readlink() != space:
                continue
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        name = "slurmd and jobs" if re.fullmatch(r"slurmd|slurmstepd", name) else name
        if name in found:
            found[name].append(int(folder.name))
    return found


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _users(number: int) -> list[str]:
    return [USERS[position % len(USERS)] for position in range(number)]
