"""The blocking path, complete: HTTP → token check → delegation (token, OPA, signature) → verification on the node → JSON, beside a plain
exec on an open connection that checks nothing (F1, the floor) and a new connection for each command (F2). Twice: as the gateway serves it, and
without the gateway's other duties, which neither of the two has."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import load
import node
import submit
from goldcrest.authority import Authority, ByToken
from goldcrest.commands import StatFile
from goldcrest.models.system import LoginHost, SystemSpec
from goldcrest.ssh import SshSettings
from goldcrest.ssh.channel import Channel, Progress
from goldcrest.ssh.connection import Connection, ConnectionKey
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.keys import EphemeralKey
from goldcrest.ssh.login import log_in
from goldcrest.telemetry import Trace
from goldcrest.wellknown import DELEGATION_AUDIENCE

CLIENTS = (1, 10, 50)
# Of each run, and before it: short, so that a change of the machine's pace meets both of a pair.
SECONDS, WARM = 1.5, 0.5
USER = "alice"
OPENED = 5  # connections over which memory is divided


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is measured, and what it takes to ask it.

    Args:
        gateway: URL of the gateway.
        token: of alice; lives longer than the run.
        path: a file of hers on the node.
        plain: how the floor connects to the site's sshd, see :func:`plain_exec.build_app`.
        host: the dedicated sshd.
        delegation, gateway_token: as :class:`Authority` takes them.
        socket: of delegation, as the gateway asks it.
        identity: the gateway's rules for tokens.
        pids: of gateway, delegation and OPA.
    """

    gateway: str
    token: str
    path: str
    system: str
    plain: dict[str, Any]
    host: LoginHost
    delegation: str
    socket: str
    gateway_token: Path
    identity: str
    ca: Path | None
    pids: dict[str, int]
    site: node.Tree
    dedicated: node.Tree

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "X-Machine-Name": self.system}

    @property
    def url(self) -> str:
        return f"{self.gateway}/utilities/stat?targetPath={self.path}"

    @property
    def spec(self) -> dict[str, Any]:
        """A System with what it takes to reach its node."""
        host = self.host.model_dump(by_alias=True, exclude_none=True)
        scheduler = {"type": "Slurm"}
        return {"hosts": [host], "filterPath": "/unused", "scheduler": scheduler, "workDirectory": "/unused"}


async def target_of(facts: dict[str, Any]) -> Target:
    """The bed."""
    from goldcrest_bed.paths import Paths
    from goldcrest_bed.processes import ProcessRecord

    pids = {}
    for role, name in (("gateway", "goldcrest-api"), ("delegation", "goldcrest-delegation"), ("OPA", "opa-signing")):
        record = ProcessRecord.load(Paths.from_environment().run / f"{name}.json")
        if record is None or not record.alive():
            raise SystemExit(f"{name} does not run; `make bed-up` repairs the bed")
        pids[role] = record.pid
    system, user = facts["system"], facts["users"][USER]
    site, dedicated = node.listeners(facts)
    container = facts["container"]
    path = f"{user['scratch']}/bench.txt"
    touch = [*container["command"], "exec", "--user", USER, container["name"], "touch", path]
    await asyncio.to_thread(subprocess.run, touch, check=True, capture_output=True)
    return Target(
        gateway=facts["goldcrest"]["api"]["url"],
        token=await submit.access_token(facts),
        path=path,
        system=system["name"],
        plain={
            "host": system["host"],
            "port": system["site_port"],
            "user": USER,
            "key": user["site_key"],
            "host_key": system["host_keys"][0],
        },
        host=LoginHost(address=system["host"], port=system["port"], host_keys=system["host_keys"]),
        delegation=facts["goldcrest"]["delegation"]["url"],
        socket=facts["goldcrest"]["delegation"]["socket"],
        identity=facts["goldcrest"]["identity"],
        gateway_token=Path(facts["kubernetes"]["service_accounts"]["goldcrest-api"]["tokens"][DELEGATION_AUDIENCE]),
        ca=Path(facts["pki"]) / "ca.crt",
        pids=pids,
        site=site,
        dedicated=dedicated,
    )


async def run(facts: dict[str, Any], runs: int) -> str:
    """Measure on the bed; a round for each two of ``runs``, four at least."""
    target = await target_of(facts)
    return await measure(target, rounds=max(4, runs // 2))


# ---- Chains ---------------------------------------------------------------------------------------------------------


@dataclass
class Chain:
    """One way from HTTP to the node and back."""

    name: str
    url: str
    headers: dict[str, str]
    pids: dict[str, int]
    tree: node.Tree
    loads: dict[int, list[load.Load]] = field(default_factory=dict)
    cpu: list[dict[str, float]] = field(default_factory=list)
    """Microseconds for each request with the most clients, by process."""

    def measure(self, clients: int) -> None:
        """One more run."""
        before = self._spent()
        done = load.run(self.url, self.headers, clients=clients, warm=WARM, seconds=SECONDS)
        after = self._spent()
        self.loads.setdefault(clients, []).append(done)
        if clients == CLIENTS[-1]:
            requests = done.rate * (SECONDS + WARM)  # what does not count took CPU as well
            self.cpu.append({name: 1e6 * (after[name] - before[name]) / requests for name in after})

    def _spent(self) -> dict[str, float]:
        return {**{name: node.cpu_seconds(pid) for name, pid in self.pids.items()}, "node": self.tree.cpu_seconds()}

    def p50(self, clients: int) -> float:
        return statistics.median(done.milliseconds(0.5) for done in self.loads[clients])

    def p99(self, clients: int) -> float:
        return statistics.median(done.milliseconds(0.99) for done in self.loads[clients])

    def rate(self, clients: int) -> float:
        return statistics.median(done.rate for done in self.loads[clients])

    def over(self, floor: Chain, clients: int, figure: Callable[[load.Load], float]) -> float:
        """A figure as a multiple of the floor's: the median of all pairs of runs, one after another."""
        pairs = zip(self.loads[clients], floor.loads[clients], strict=False)  # a new connection each is measured once
        return statistics.median(figure(own) / figure(least) for own, least in pairs)

    def lines(self, floor: Chain) -> list[str]:
        """Rows of the table."""
        rows = []
        for clients in self.loads:
            ratio = ""
            if floor is not self:
                ratio = f"   {self.over(floor, clients, _p50):5.2f} ×   {self.over(floor, clients, _rate):5.2f} ×"
            rows.append(
                f"{self.name:<31}{clients:>3} clients   {self.p50(clients):8.2f} ms p50 {self.p99(clients):8.2f} ms p99"
                f" {self.rate(clients):8.0f} /s{ratio}"
            )
        return rows

    def cpu_line(self) -> str:
        names = self.cpu[0]
        told = ", ".join(f"{name} {statistics.median(one[name] for one in self.cpu):.0f}" for name in names)
        return f"{self.name:<31}CPU µs for each request with {CLIENTS[-1]} clients: {told}"

    def cpu_of(self, name: str) -> float:
        return statistics.median(one[name] for one in self.cpu)


def _p50(done: load.Load) -> float:
    return done.milliseconds(0.5)


def _rate(done: load.Load) -> float:
    return done.rate


@contextmanager
def plain(target: Target, *, fresh: bool) -> Iterator[Chain]:
    """F1 or F2, in a process of its own as the gateway is."""
    port = free_port()
    name = "F2 new connection, exec" if fresh else "F1 open connection, exec"
    with _served("plain_exec.py", port, target.plain, *(["--fresh"] if fresh else [])) as pid:
        url = f"http://127.0.0.1:{port}/stat?path={target.path}"
        yield Chain(name, url, {}, {"gateway": pid}, target.site)


@contextmanager
def bare(target: Target) -> Iterator[Chain]:
    """Goldcrest's command without the gateway's other duties, in a process of its own."""
    port = free_port()
    where = {
        "delegation": f"unix:{target.socket}",
        "token_file": str(target.gateway_token),
        "identity": target.identity,
        "system": target.system,
        "spec": target.spec,
    }
    with _served("bare_command.py", port, where) as pid:
        url = f"http://127.0.0.1:{port}/stat?path={target.path}"
        yield Chain(
            "Goldcrest, the command alone", url, target.headers, target.pids | {"gateway": pid}, target.dedicated
        )


@contextmanager
def _served(script: str, port: int, where: dict[str, Any], *options: str) -> Iterator[int]:
    """A script beside this one that serves, its settings by standard input; its pid."""
    argv = [sys.executable, str(Path(__file__).with_name(script)), "--port", str(port), *options]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(where))
    process.stdin.close()
    try:
        until_listening(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until_listening(port: int) -> None:
    """Wait for a process that was just started."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


async def measure(target: Target, *, rounds: int) -> str:
    """The figures as a table. The chains take turns, so that a noisy minute meets both."""
    ours = Chain("Goldcrest GET /utilities/stat", target.url, target.headers, target.pids, target.dedicated)
    with plain(target, fresh=False) as floor, plain(target, fresh=True) as fresh, bare(target) as alone:
        for _ in range(rounds):
            for clients in CLIENTS:
                for chain in (floor, ours, alone):
                    await asyncio.to_thread(chain.measure, clients)
        for clients in CLIENTS:
            await asyncio.to_thread(fresh.measure, clients)
        lines = [
            " " * 82 + "p50       rate   (× F1)",
            *floor.lines(floor),
            *fresh.lines(floor),
            *ours.lines(floor),
            *alone.lines(floor),
            *(chain.cpu_line() for chain in (floor, fresh, ours, alone)),
        ]
    few, many = CLIENTS[0], CLIENTS[-1]
    node_ms = ours.cpu_of("node") / 1000
    session = await Session.measure(target)
    return "\n".join(
        (
            *lines,
            "",
            verdict("p50 with 1 client", ours.over(floor, few, _p50), "× F1", most=0.5, aim=0.3),
            verdict("    the command alone", alone.over(floor, few, _p50), "× F1", most=0.5, aim=0.3),
            verdict(f"requests a second with {many}", ours.over(floor, many, _rate), "× F1", least=3, aim=5),
            verdict("    the command alone", alone.over(floor, many, _rate), "× F1", least=3, aim=5),
            verdict("CPU on the node for a command", node_ms, "ms", most=0.6),
            *session.lines(),
        )
    )


def verdict(
    what: str,
    value: float,
    unit: str,
    *,
    most: float | None = None,
    least: float | None = None,
    aim: float | None = None,
) -> str:
    """A figure with the bound that it should keep."""
    kept = (most is None or value <= most) and (least is None or value >= least)
    bound = f"≤ {most:g}" if most is not None else f"≥ {least:g}"
    aimed = f", aim {aim:g}" if aim is not None else ""
    return f"{what:<44}{value:8.2f} {unit:<5} {'within' if kept else 'NOT within'} {bound} {unit}{aimed}"


# ---- One session ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """What a session costs. Times in milliseconds, memory in bytes."""

    connect: list[float]
    hello: list[float]
    first: list[float]
    further: list[float]
    memory: float
    channel_memory: float

    @classmethod
    async def measure(cls, target: Target, *, runs: int = 20) -> Session:
        """Open connections and channels as the gateway does, each one's first command, and further ones."""
        spec = SystemSpec.model_validate(target.spec)
        settings, key, basis, trace = SshSettings(), EphemeralKey(), ByToken(target.token), Trace.new()
        endpoint = Endpoint.of(target.host, spec)
        authority = Authority(url=target.delegation, ca_file=target.ca, token_file=target.gateway_token)
        connect, hello, first, further = [], [], [], []

        async def open_one() -> Connection:
            began = time.perf_counter()
            certificate = await authority.session_certificate(
                public_key=key.public, system=target.system, user=USER, basis=basis, trace=trace.header
            )
            ssh = await log_in(endpoint, user=USER, key=key, certificates=[certificate], settings=settings)
            connection = await Connection.open(ConnectionKey(target.system, USER, endpoint), ssh, settings)
            connect.append(1000 * (time.perf_counter() - began))
            return connection

        async def command(channel: Channel) -> float:
            certificate = await authority.command_certificate(
                StatFile(target.path), public_key=key.public, system=target.system, user=USER, sid=channel.sid,
                basis=basis, trace=trace.header,
            )  # fmt: skip
            began = time.perf_counter()
            await channel.call(certificate, b"", progress=Progress(), most=1024, data_is_result=True)
            return 1000 * (time.perf_counter() - began)

        async with AsyncExitStack() as stack:
            stack.push_async_callback(authority.close)
            before = await asyncio.to_thread(target.dedicated.memory_bytes)
            connections = []
            for _ in range(OPENED):
                connection = await open_one()
                stack.callback(connection.close)
                connections.append(connection)
                async with connection.shared_channel(0) as channel:
                    await command(channel)
            memory = (await asyncio.to_thread(target.dedicated.memory_bytes) - before) / OPENED
            for connection in connections:
                async with connection.stream_channel() as channel:
                    await command(channel)
            channel_memory = (await asyncio.to_thread(target.dedicated.memory_bytes) - before) / OPENED - memory
            for _ in range(runs):
                began = time.perf_counter()
                channel = await connections[0]._open_channel()
                hello.append(1000 * (time.perf_counter() - began))
                first.append(await command(channel))
                further += [await command(channel) for _ in range(5)]
                channel.close()
                await asyncio.sleep(0.05)  # sshd frees places late
        return cls(connect, hello, first, further, memory, channel_memory)

    def lines(self) -> list[str]:
        """Rows of the table."""
        return [
            verdict("memory of a session on the node", self.memory / 2**20, "MiB", most=20),
            f"{'    of each further channel':<44}{self.channel_memory / 2**20:8.2f} MiB",
            verdict("start of a channel to hello", statistics.median(self.hello), "ms", most=40),
            f"{'certificate, login and first hello':<44}{statistics.median(self.connect):8.2f} ms",
            f"{'first command of a filter, verified and run':<44}{statistics.median(self.first):8.2f} ms",
            f"{'    each further one':<44}{statistics.median(self.further):8.2f} ms",
        ]
