"""Delegation: decisions with signatures per second and core, alone and batched; its memory over many; grants and admission reviews.

`make bench` runs it on the bed. Run as a program it starts the stage of the component tests instead (API server, OPA, delegation and
admission, no login node), which needs nothing of the bed: `python bench/delegation.py [--signatures N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import secrets
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the stage

import submit
from goldcrest.kube import Kube, resource_path
from goldcrest.wellknown import DELEGATION_AUDIENCE, Kind, namespace_of_user, rest_name

SIGNATURES, MANY_SIGNATURES = 100_000, 1_000_000
BATCH, UNDER_WAY = 32, 2  # as goldcrest.authority sends them under load
PARALLEL = 50
TOKEN_SECONDS = 60  # a person's token is fetched again after this
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is measured, and what it takes to ask it.

    Args:
        delegation: ``https://…`` or ``unix:/path``.
        gateway_token: file with the gateway's token for delegation.
        person_token: gives a token of alice.
        pids: of delegation and of OPA.
        admission: URL of the webhooks.
        person: kubeconfig of alice; ``namespace`` is one where she may make Jobs.
    """

    delegation: str
    ca: Path
    gateway_token: Path
    person_token: Callable[[], Awaitable[str]]
    pids: dict[str, int]
    admission: str
    person: Path
    namespace: str
    system: str


async def run(facts: dict[str, Any], runs: int, *, signatures: int = SIGNATURES) -> str:
    """Measure on the bed."""
    from goldcrest_bed.paths import Paths
    from goldcrest_bed.processes import ProcessRecord

    pids = {}
    for role, name in (("delegation", "goldcrest-delegation"), ("opa", "opa-signing")):
        record = ProcessRecord.load(Paths.from_environment().run / f"{name}.json")
        if record is None or not record.alive():
            raise SystemExit(f"{name} does not run; `make bed-up` repairs the bed")
        pids[role] = record.pid
    accounts = facts["kubernetes"]["service_accounts"]
    target = Target(
        delegation=facts["goldcrest"]["delegation"]["url"],
        ca=Path(facts["pki"]) / "ca.crt",
        gateway_token=Path(accounts["goldcrest-api"]["tokens"][DELEGATION_AUDIENCE]),
        person_token=lambda: submit.access_token(facts),
        pids=pids,
        admission=facts["goldcrest"]["admission"]["url"],
        person=Path(facts["kubernetes"]["persons"]["alice"]["kubeconfig"]),
        namespace=facts["goldcrest"]["namespaces"]["alice"],
        system=facts["system"]["name"],
    )
    return await measure(target, runs=max(runs, 20) * 5, signatures=signatures)


async def run_long(facts: dict[str, Any], runs: int) -> str:
    """With a million signatures: some tens of minutes, and about 1.2 GB of audit lines."""
    return await run(facts, runs, signatures=MANY_SIGNATURES)


async def measure(target: Target, *, runs: int, signatures: int) -> str:
    """The figures as a table.

    Args:
        runs: of each figure of single requests.
        signatures: over which memory is looked at.
    """
    floor = bare_signatures()
    async with AsyncExitStack() as stack:
        client = await Client.open(target, stack)
        for _ in range(10):  # connections are opened, caches filled
            await client.sign(1)
        alone, alone_use = await timed(target, [lambda: client.sign(1)] * (runs * 4))
        batched, batched_use = await timed(target, [lambda: client.sign(BATCH)] * runs, under_way=UNDER_WAY)
        grants, _ = await timed(target, [client.grant] * runs)
        reviews, _ = await timed(target, [client.review] * runs)
        creates, _ = await timed(target, [client.create] * runs)
        many, many_use = await timed(target, [client.create] * (PARALLEL * 4), under_way=PARALLEL)
        memory = await memory_over(target, client, signatures)
    one, each = statistics.median(creates), many_use.wall / len(many)
    core = BATCH * runs / batched_use.delegation
    return "\n".join(
        (
            f"bare Ed25519 signature, one core                 {floor:8.0f} /s   (floor)",
            f"decision and certificate, one after another      {len(alone) / alone_use.wall:8.0f} /s   {shares(alone_use, len(alone), floor)}",
            f"                                                 {milliseconds(alone)}",
            f"in batches of {BATCH}, {UNDER_WAY} under way                    {BATCH * runs / batched_use.wall:8.0f} /s   "
            f"{shares(batched_use, BATCH * runs, floor)}",
            f"    a batch                                      {milliseconds(batched)}",
            f"    batched over alone, per core of delegation   {core / (len(alone) / alone_use.delegation):8.1f} ×",
            memory,
            f"grant                                            {milliseconds(grants)}   {verdict(statistics.median(grants) <= 0.010)} 10 ms",
            f"admission review                                 {milliseconds(reviews)}   {verdict(statistics.median(reviews) <= 0.010)} 10 ms",
            f"create (dry run, two reviews), one alone         {milliseconds(creates)}",
            f"    each of {PARALLEL} in parallel                       {1000 * each:8.2f} ms   {each / one:.2f} × one alone; {verdict(each <= 2 * one)} 2 ×",
        )
    )


# ---- Asking ---------------------------------------------------------------------------------------------------------


class Client:
    """Asks delegation as the gateway, and admission as the API server."""

    def __init__(
        self, target: Target, session: aiohttp.ClientSession, reviewer: aiohttp.ClientSession, kube: Kube
    ) -> None:
        self._target = target
        self._session = session
        self._reviewer = reviewer
        self._kube = kube
        self._base = "http://delegation" if target.delegation.startswith("unix:") else target.delegation
        self._token = ""
        self._token_at = 0.0
        self._number = 0

    @classmethod
    async def open(cls, target: Target, stack: AsyncExitStack) -> Client:
        kube = await Kube.connect(target.person)
        stack.push_async_callback(kube.close)
        connector: aiohttp.BaseConnector
        if target.delegation.startswith("unix:"):
            connector = aiohttp.UnixConnector(target.delegation.removeprefix("unix:"))
        else:
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=target.ca))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        verified = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=target.ca))
        reviewer = await stack.enter_async_context(aiohttp.ClientSession(connector=verified))
        return cls(target, session, reviewer, kube)

    async def sign(self, number: int) -> None:
        """So many certificates in one call, each for another command."""
        token = await self._person()
        requests = [
            {
                "id": index,
                "publicKey": _PUBLIC_KEY,
                "kind": "command",
                "system": self._target.system,
                "user": "alice",
                "op": "fs.stat",
                "args": {"path": f"/scratch/alice/{self._next()}", "dereference": False},
                "payload": {},
                "sid": "0" * 32,
                "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
                "token": token,
            }
            for index in range(number)
        ]
        answer = await self._post("/v1/certificates", {"requests": requests})
        if any("certificate" not in result for result in answer["results"]) or len(answer["results"]) != number:
            raise SystemExit(f"not signed: {answer['results'][0]}")

    async def grant(self) -> None:
        """A grant for a Job of another name."""
        body = {
            "token": await self._person(),
            "kind": "Job",
            "namespace": namespace_of_user("alice"),
            "name": rest_name(secrets.token_hex(16)),
            "spec": self._spec(),
            "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
        }
        await self._post("/v1/grants", body)

    async def review(self) -> None:
        """One call of the mutating webhook, as the API server makes it."""
        group = {"group": "hpc.goldcrest.dev", "version": "v1alpha1"}
        request = {
            "uid": secrets.token_hex(16),
            "kind": {**group, "kind": "Job"},
            "resource": {**group, "resource": "jobs"},
            "operation": "CREATE",
            "namespace": self._target.namespace,
            "userInfo": {"username": "alice", "groups": ["goldcrest-users", "users", "system:authenticated"]},
            "object": self._job(),
            "oldObject": None,
            "dryRun": True,
        }
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        async with self._reviewer.post(f"{self._target.admission}/mutate", json=body) as response:
            answer = await response.json()
        if not answer["response"]["allowed"]:
            raise SystemExit(f"not admitted: {answer['response']}")

    async def create(self) -> None:
        """A Job through the API server with both webhooks, without keeping it."""
        path = resource_path(Kind.JOB, namespace=self._target.namespace)
        await self._kube.request("POST", path, query={"dryRun": "All"}, body=self._job())

    def _job(self) -> dict[str, Any]:
        return {
            "apiVersion": "hpc.goldcrest.dev/v1alpha1",
            "kind": "Job",
            "metadata": {"name": f"bench-{self._next()}", "namespace": self._target.namespace},
            "spec": self._spec(),
        }

    def _spec(self) -> dict[str, Any]:
        return {"system": self._target.system, "runAs": "alice", "script": {"inline": "#!/bin/bash\nhostname\n"}}

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _person(self) -> str:
        if not self._token or time.monotonic() - self._token_at > TOKEN_SECONDS:
            self._token, self._token_at = await self._target.person_token(), time.monotonic()
        return self._token

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        # Read each time: the bed renews it in its file, as a kubelet would.
        headers = {"Authorization": f"Bearer {self._target.gateway_token.read_text().strip()}"}
        async with self._session.post(self._base + path, data=orjson.dumps(body), headers=headers) as response:
            answer: dict[str, Any] = orjson.loads(await response.read())
        if response.status != 200:
            raise SystemExit(f"{path} answered {response.status}: {answer}")
        return answer


_PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()


# ---- Measuring ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """Seconds by the clock, and of one core that delegation and OPA took."""

    wall: float
    delegation: float
    opa: float


async def timed(
    target: Target, calls: list[Callable[[], Awaitable[None]]], *, under_way: int = 1
) -> tuple[list[float], Use]:
    """Seconds of each call, with so many at once."""
    seconds: list[float] = []
    waiting = iter(calls)

    async def worker() -> None:
        for call in waiting:
            began = time.perf_counter()
            await call()
            seconds.append(time.perf_counter() - began)

    before, began = cpu_seconds(target), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(under_way)))
    wall, after = time.perf_counter() - began, cpu_seconds(target)
    return seconds, Use(wall, after["delegation"] - before["delegation"], after["opa"] - before["opa"])


async def memory_over(target: Target, client: Client, signatures: int) -> str:
    """How delegation's memory grows: the first tenth fills caches and is not counted."""
    marks, done = [resident_bytes(target.pids["delegation"])], 0
    for part in (1, 9):
        count = max(signatures * part // 10 // BATCH, UNDER_WAY)
        await timed(target, [lambda: client.sign(BATCH)] * count, under_way=UNDER_WAY)
        done += count * BATCH
        marks.append(resident_bytes(target.pids["delegation"]))
    told = ", ".join(f"{mark / 2**20:.1f}" for mark in marks)
    growth = marks[2] - marks[1]
    return f"memory over {done} certificates: {told} MiB before, after a tenth, after all; {growth / 2**20:+.1f} MiB in the last nine tenths"


def bare_signatures(seconds: float = 1.0) -> float:
    """Ed25519 signatures of a certificate's size per second on one core."""
    key, message, number = Ed25519PrivateKey.generate(), bytes(700), 0
    began = time.process_time()
    while time.process_time() - began < seconds:
        for _ in range(200):
            key.sign(message)
        number += 200
    return number / (time.process_time() - began)


def cpu_seconds(target: Target) -> dict[str, float]:
    """User and system time of the processes, all threads (proc(5), fields 14 and 15)."""
    found = {}
    for role, pid in target.pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[role] = (int(fields[11]) + int(fields[12])) / _TICKS
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def shares(use: Use, number: int, floor: float) -> str:
    """Per core of delegation alone, and with OPA's share."""
    own, both = number / max(use.delegation, 1e-9), number / max(use.delegation + use.opa, 1e-9)
    return f"{own:7.0f} /s and core of delegation (1/{floor / own:.0f} of the floor), {both:.0f} with OPA's"


def milliseconds(seconds: list[float]) -> str:
    """Median and 99th percentile."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{1000 * statistics.median(ordered):8.2f} ms p50 {1000 * p99:8.2f} ms p99"


def verdict(kept: bool) -> str:
    return "within" if kept else "NOT within"


# ---- Without the bed ------------------------------------------------------------------------------------------------


def on_the_stage(runs: int, signatures: int) -> str:
    """On the stage of the component tests."""
    from component.admission.stage import running_stage

    with tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as folder, running_stage(Path(folder)) as stage:
        stage.namespace("team")
        stage.may("alice", "team", accounts=["cluster:alice"])
        token_file = stage.folder / "bench-token"
        token_file.write_text(stage.caller_token("goldcrest-api"))

        async def person_token() -> str:
            return stage.issuer.token("alice")

        target = Target(
            delegation=f"unix:{stage.delegation_socket}",
            ca=stage.tls.ca,
            gateway_token=token_file,
            person_token=person_token,
            pids={name: stage._processes[name].pid for name in ("delegation", "opa")},
            admission=f"https://127.0.0.1:{stage.webhook_port}",
            person=stage.kubeconfig("alice"),
            namespace="team",
            system="cluster",
        )
        return asyncio.run(measure(target, runs=runs, signatures=signatures))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of each figure of single requests (default: 200)")
    parser.add_argument("--signatures", type=int, default=SIGNATURES, help=f"for memory (default: {SIGNATURES})")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    print(on_the_stage(arguments.runs, arguments.signatures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
