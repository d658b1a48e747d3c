"""Twenty listings a second for ten minutes: what is left in etcd, and what they cost.

Real: kube-apiserver, etcd, OPA, delegation, admission with its webhooks and policies, the operator, sshd, ssh-filter. Simulated: Slurm, whose
squeue prints a file for each of 50 users; and the gateway, whose part is played as it is: a Task is made, its end comes by the watch, its result
is noted as read. Needs root, and nothing of the test bed: `.venv/bin/python bench/listings.py --seconds 600`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the stage and the plain node

from component.admission.stage import Stage, running_stage, service_account
from component.plain_node.door import make_account
from component.plain_node.machine import Machine
from goldcrest.errors import GoldcrestError
from goldcrest.kube import Kube
from goldcrest.models.conditions import now
from goldcrest.wellknown import ANNOTATION_READ_AT, Kind
from node import cpu_seconds
from simulated_slurm import FOLDER, SEPARATOR
from tracking import OperatorProcess, kube_as, plain_node, point_system_at

RATE, USERS, ROWS = 20.0, 50, 50
ETCD_BYTES = 500 * 10**6
SECONDS, MANY_SECONDS = 60.0, 600.0
_PARTS = ("etcd", "kube-apiserver", "delegation", "admission", "opa")
_SQUEUE = (
    '#!/bin/sh\nfor word; do case "$word" in --user=*) exec cat "'
    + FOLDER
    + '/listings/${word#--user=}";; esac; done\n'
)


@dataclass
class _Seen:
    """What came of the listings."""

    began: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    """What was said to the first that was refused so."""
    live: int = 0
    most_live: int = 0
    most_bytes: float = 0.0


class Listings:
    """Everything that runs, and who asks."""

    def __init__(self, stage: Stage, *, users: int, rate: float) -> None:
        self.stage, self.users, self.rate = stage, users, rate
        self.seen = _Seen()
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, people: Kube, *, seconds: float) -> None:
        """Make Tasks at the rate, whatever becomes of them: who polls does not wait for others."""
        began, number = time.monotonic(), 0
        while (due := began + number / self.rate) < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._begin(self._make(people, f"u{number % self.users}"))
            number += 1

    async def _make(self, people: Kube, user: str) -> None:
        body = {
            "apiVersion": "hpc.goldcrest.dev/v1alpha1",
            "kind": "Task",
            "metadata": {"generateName": "listing-"},
            "spec": {"system": "cluster", "runAs": user, "operation": {"listJobs": {"scope": "own"}}},
        }
        began = time.monotonic()
        try:
            raw = await people.create(Kind.TASK, body, namespace=f"hpc-{user}")
        except GoldcrestError as error:
            self.seen.outcomes[f"refused: {error.code}"] += 1
            self.seen.words.setdefault(error.code, error.message[:200])
        else:
            self.seen.began.setdefault(raw["metadata"]["uid"], began)

    async def watch(self, gateway: Kube, version: str) -> None:
        """See Tasks end, and note that their results were read."""
        seen, live = self.seen, set[str]()
        while True:
            async for event in gateway.watch(Kind.TASK, resource_version=version):
                meta = event.object["metadata"]
                version = meta["resourceVersion"]
                if event.type == "BOOKMARK":
                    continue
                (live.discard if event.type == "DELETED" else live.add)(meta["uid"])
                seen.live, seen.most_live = len(live), max(len(live), seen.most_live)
                phase = (event.object.get("status") or {}).get("phase")
                if event.type == "DELETED" or phase not in ("Succeeded", "Failed"):
                    continue
                if ANNOTATION_READ_AT not in (meta.get("annotations") or {}):
                    seen.outcomes[phase] += 1
                    if meta["uid"] in seen.began:
                        seen.seconds.append(time.monotonic() - seen.began.pop(meta["uid"]))
                    self._begin(self._note(gateway, meta))

    async def _note(self, gateway: Kube, meta: dict[str, Any]) -> None:
        patch = {"metadata": {"uid": meta["uid"], "annotations": {ANNOTATION_READ_AT: now()}}}
        with suppress(GoldcrestError):  # as in the gateway: it goes when its hour is over
            await gateway.patch(Kind.TASK, meta["name"], patch, namespace=meta["namespace"])

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def look(self) -> None:
        """Note how large etcd's file becomes."""
        while True:
            self.seen.most_bytes = max(self.seen.most_bytes, (await asyncio.to_thread(self.database))[0])
            await asyncio.sleep(5)

    def database(self) -> tuple[float, float]:
        """Bytes of etcd's file, and of it those that are in use."""
        arguments = self.stage._processes["etcd"].args
        assert isinstance(arguments, list)
        (url,) = (word.split("=", 1)[1] for word in arguments if str(word).startswith("--listen-client-urls="))
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = {
            line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith("etcd_mvcc_db_total")
        }
        return found["etcd_mvcc_db_total_size_in_bytes"], found["etcd_mvcc_db_total_size_in_use_in_bytes"]

    def cpu(self, operator: OperatorProcess) -> dict[str, float]:
        pids = {name: self.stage._processes[name].pid for name in _PARTS} | {"operator": operator.pid}
        return {name: cpu_seconds(pid) for name, pid in pids.items()}


def _fill(stage: Stage, machine: Machine, *, users: int, rows: int) -> None:
    """Accounts on the node with jobs in squeue's listing, and a namespace for each whose account alice may use."""
    machine.path(f"{FOLDER}/listings").mkdir()
    machine.write(f"{FOLDER}/squeue", _SQUEUE, mode=0o755)
    for number in range(users):
        user = f"u{number}"
        make_account(machine, user, home=False)
        lines = []
        for row in range(rows):
            job = str(100_000 + 1000 * number + row)
            times = ("1:02:03", "2026-11-25T10:00:00", "22:57:57")
            lines.append(
                SEPARATOR.join((job, job, "N/A", "normal", user, "RUNNING", *times, "1", f"n{row}", f"step-{row}"))
            )
        machine.write(f"{FOLDER}/listings/{user}", "\n".join(lines) + "\n", mode=0o644)
        stage.may("alice", stage.namespace(f"hpc-{user}"), accounts=[f"cluster:{user}"])


async def measure(stage: Stage, *, seconds: float, users: int, rate: float, rows: int) -> str:
    """The figures, as lines of a table."""
    bench = Listings(stage, users=users, rate=rate)
    async with kube_as(stage, "alice") as people, kube_as(stage, service_account("goldcrest-api")) as gateway:
        version = (await gateway.list_all(Kind.TASK))["metadata"]["resourceVersion"]
        beside = [asyncio.create_task(bench.watch(gateway, version)), asyncio.create_task(bench.look())]
        try:
            with bench_operator(stage) as operator:
                await operator.until_active()
                size, _ = bench.database()
                cpu, asked, began = bench.cpu(operator), operator.metrics(), time.monotonic()
                await bench.ask(people, seconds=seconds)
                took = time.monotonic() - began
                used = {name: (now - cpu[name]) / took for name, now in bench.cpu(operator).items()}
                await asyncio.sleep(5)  # what is under way
                queries = operator.metrics().get("task_queries_total", 0) - asked.get("task_queries_total", 0)
                end, in_use = bench.database()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
    seen = bench.seen
    done = seen.outcomes["Succeeded"]
    if not done:
        raise SystemExit(f"no listing succeeded: {dict(seen.outcomes)}; see {stage.folder}")
    largest = max(seen.most_bytes, end)
    others = {what: number for what, number in seen.outcomes.items() if what != "Succeeded"}
    return "\n".join(
        [
            f"{rate:g} listings of {rows} jobs a second for {took:.0f} s, {users} users: {done} answered, not so: {others or 'none'}",
            *(f"    {code}: {message}" for code, message in seen.words.items()),
            f"answered after                p50 {statistics.median(seen.seconds):.2f} s, "
            f"p95 {statistics.quantiles(seen.seconds, n=20)[-1]:.2f} s; {queries:.0f} questions of the operator",
            f"etcd's file                   {largest / 10**6:.0f} MB at most, of it in use at the end {in_use / 10**6:.0f} MB; "
            f"{(end - size) / max(done, 1) / 1000:.1f} kB for each listing   "
            f"{'within' if largest <= ETCD_BYTES and not others else 'NOT within'}",
            f"Tasks that are there          {seen.live} at the end, {seen.most_live} at most",
            "CPU, cores                    " + ", ".join(f"{name} {share:.2f}" for name, share in used.items()),
        ]
    )


def bench_operator(stage: Stage) -> Any:
    """The operator in the place of whoever holds the stage's Lease."""
    stage.call("root", "DELETE", "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases/goldcrest-operator-default")
    return OperatorProcess.running(stage)


async def run(facts: dict[str, object], runs: int, *, seconds: float = SECONDS) -> str:
    """On a stage of its own, whatever bed there is."""
    return await asyncio.to_thread(report, seconds=seconds, users=USERS, rate=RATE, rows=ROWS)


async def run_long(facts: dict[str, object], runs: int) -> str:
    """For ten minutes."""
    return await run(facts, runs, seconds=MANY_SECONDS)


def report(*, seconds: float, users: int, rate: float, rows: int) -> str:
    """Build the stage, measure, and take it down."""
    with (
        tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as folder,
        running_stage(Path(folder)) as stage,
        plain_node(stage) as (machine, _),
    ):
        rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}]
        stage.bind(service_account("goldcrest-operator"), rules, name="bench-lease", namespace="goldcrest")
        kopf = [
            {
                "apiGroups": ["apiextensions.k8s.io"],
                "resources": ["customresourcedefinitions"],
                "verbs": ["list", "watch"],
            },
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["systems"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        ]
        stage.bind(service_account("goldcrest-operator"), kopf, name="bench-watch", namespace=None)
        _fill(stage, machine, users=users, rows=rows)
        point_system_at(stage, machine)
        try:
            return asyncio.run(measure(stage, seconds=seconds, users=users, rate=rate, rows=rows))
        except BaseException:
            print((stage.folder / "operator.log").read_text(errors="replace")[-3000:], file=sys.stderr)
            raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long (default: 60; the bound is for 600)")
    parser.add_argument("--users", type=int, default=USERS, help="Unix users who ask by turns (default: 50)")
    parser.add_argument("--rate", type=float, default=RATE, help="listings a second (default: 20)")
    parser.add_argument("--rows", type=int, default=ROWS, help="jobs of each user (default: 50)")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    print(report(**vars(arguments)))
    print(f"load at the end {os.getloadavg()[0]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
