"""Following thousands of active jobs: how soon a change is seen in Kubernetes, and what the operator spends on it.

Real: kube-apiserver, etcd, OPA, delegation, the operator as users start it, sshd, ssh-filter. Simulated: Slurm, whose commands are small
programs on the node. Needs root, and nothing of the test bed: `.venv/bin/python bench/tracking.py --jobs 1000`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the stage and the plain node

import yaml

from component.admission.stage import API, MANIFESTS, SYSTEM, Stage, free_port, service_account
from component.plain_node.door import FILTER_PATH, SSH_FILTER, install, make_account
from component.plain_node.machine import Machine, fresh_machine
from goldcrest.commands.outputs import parse_queue
from goldcrest.kube import Kube
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import FINALIZER, Kind, submission_token
from goldcrest_operator.reconcile.job import next_step
from goldcrest_operator.reconcile.observation import Observation, Sighting
from goldcrest_operator.reconcile.steps import WriteStatus
from goldcrest_operator.scheduler.states import view_of
from node import cpu_seconds, resident_bytes
from simulated_slurm import Simulated, SimulatedSlurm, install_into

OBSERVER = "watcher"
SHARE = 0.01
"""Of all jobs, those that change each second."""
P95_SECONDS, MEMORY_BYTES, CORES, AGAIN_SECONDS = 5.0, 500 * 10**6, 0.6, 15.0
AT_ONCE = 50


class Bench:
    """Everything that runs."""

    def __init__(self, stage: Stage, machine: Machine, slurm: SimulatedSlurm, *, jobs: int, users: int) -> None:
        self.stage, self.machine, self.slurm = stage, machine, slurm
        self.number, self.users = jobs, users
        self.events = 0
        self.late: list[float] = []

    async def make_jobs(self, kube: Kube, operator: Kube) -> None:
        """Jobs that were submitted an hour ago and wait in the queue, with the status that the operator wrote then."""
        cluster_id = await kube.cluster_id()
        turns = asyncio.Semaphore(AT_ONCE)

        async def make(number: int) -> None:
            user = f"u{number % self.users}"
            body = {
                "apiVersion": "hpc.goldcrest.dev/v1alpha1",
                "kind": "Job",
                "metadata": {"name": f"job-{number}", "finalizers": [FINALIZER]},
                "spec": {"system": "cluster", "runAs": user, "script": {"inline": "#!/bin/sh\n" + "#" * 2000 + "\n"}},
            }
            async with turns:
                raw = await kube.create(Kind.JOB, body, namespace=f"hpc-{user}")
                token = submission_token(cluster_id, raw["metadata"]["uid"])
                job = self.slurm.jobs[100_000 + number] = Simulated(100_000 + number, user, token)
                await operator.replace_status(Kind.JOB, raw, _as_the_operator_wrote(raw, job))

        async with asyncio.TaskGroup() as group:
            for number in range(self.number):
                group.create_task(make(number))

    async def watch(self, kube: Kube) -> None:
        """Note when each change is seen."""
        listed = await kube.list_all(Kind.JOB)
        version = listed["metadata"]["resourceVersion"]
        while True:
            async for event in kube.watch(Kind.JOB, resource_version=version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type == "BOOKMARK":
                    continue
                self.events += 1
                status = event.object.get("status", {})
                known = self.slurm.changes.get(int(status.get("jobId", 0)))
                if known is not None and status["scheduler"]["state"] == known[0]:
                    self.late.append(time.time() - known[1])
                    del self.slurm.changes[int(status["jobId"])]


class OperatorProcess:
    """`goldcrest-operator`, and what it says of itself."""

    def __init__(self, stage: Stage) -> None:
        self._metrics, health = free_port(), free_port()
        account = service_account("goldcrest-operator")
        token = stage.folder / "operator-token"
        token.write_text(stage.caller_token("goldcrest-operator"))
        prefix = "GOLDCREST_OPERATOR_"
        settings = {
            prefix + "KUBECONFIG": str(stage.kubeconfig(account)),
            prefix + "DELEGATION__URL": f"unix:{stage.delegation_socket}",
            prefix + "DELEGATION__TOKEN_FILE": str(token),
            prefix + "LISTEN_HOST": "127.0.0.1",
            prefix + "HEALTH_PORT": str(health),
            prefix + "METRICS_PORT": str(self._metrics),
        }
        self.began = time.monotonic()
        self._log = (stage.folder / "operator.log").open("ab")
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name("goldcrest-operator"))],
            env={**os.environ, **settings},
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid

    @classmethod
    @contextmanager
    def running(cls, stage: Stage) -> Iterator[OperatorProcess]:
        process = cls(stage)
        try:
            yield process
        finally:
            process.end()

    def metrics(self) -> dict[str, float]:
        """Sums over all labels; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        found: dict[str, float] = {}
        for line in lines:
            if not line.startswith("#"):
                name = line.partition("{")[0].partition(" ")[0].removeprefix("goldcrest_operator_")
                found[name] = found.get(name, 0.0) + float(line.rsplit(" ", 1)[1])
        return found

    async def until_active(self, *, seconds: float = 120) -> None:
        """Until it holds the Lease."""
        while not (await asyncio.to_thread(self.metrics)).get("lease_held"):
            assert self._process.poll() is None, "the operator has ended"
            if time.monotonic() - self.began > seconds:
                raise TimeoutError("the operator does not come up")
            await asyncio.sleep(0.5)

    async def until_tracking(self, jobs: int, *, seconds: float = 300) -> float:
        """Seconds from its start until it has seen all jobs in Slurm and has nothing left to do."""
        while time.monotonic() - self.began < seconds:
            assert self._process.poll() is None, "the operator has ended"
            now = await asyncio.to_thread(self.metrics)  # seldom: each costs the operator some milliseconds
            if now.get("queue_queries_total", 0) >= 1 and now["jobs_followed"] >= jobs and now["queue_length"] == 0:
                return time.monotonic() - self.began
            await asyncio.sleep(0.5)
        raise TimeoutError("the operator does not follow the jobs")

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        self._log.close()


def _as_the_operator_wrote(raw: dict[str, Any], job: Simulated) -> dict[str, Any]:
    """The status of a job that it has seen waiting, so that it has nothing to write when it starts."""
    submitted = {
        "observedGeneration": 1,
        "phase": "Queued",
        "jobId": str(job.id),
        "submission": {"token": job.token, "time": "2026-01-01T00:00:00Z", "released": True},
        "files": {"stdout": f"/scratch/{job.user}/slurm-{job.id}.out"},
    }
    resource = JobResource.of({**raw, "status": submitted})
    observed = Observation(now=time.time(), sighting=Sighting(view=view_of(parse_queue(job.line()))))
    step = next_step(resource, SystemSpec.model_validate(SYSTEM["spec"]), observed, cluster_id="")
    assert isinstance(step, WriteStatus)
    return step.status.dump()


@contextmanager
def _stage(folder: Path) -> Iterator[Stage]:
    """Kubernetes, OPA and delegation; no webhooks, for nobody asks for these jobs."""
    stage = Stage(folder)
    try:
        stage._start_kubernetes()
        stage.start_opa()
        stage._fill_kubernetes()
        for module in ("goldcrest_delegation", "goldcrest_admission"):
            stage._run(module, "init")
        stage.start_delegation()
        for document in yaml.safe_load_all((MANIFESTS / "rbac.yaml").read_text()):
            if document["metadata"]["name"] in ("goldcrest-operator", "goldcrest-operator-lease"):
                account, namespace = service_account("goldcrest-operator"), document["metadata"].get("namespace")
                if "rules" in document:
                    name = f"bench-{document['metadata']['name']}"
                    stage.bind(account, document["rules"], name=name, namespace=namespace)
        lease = "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases/goldcrest-operator-default"
        stage.call("root", "DELETE", lease)
        yield stage
    finally:
        stage.stop()


@contextmanager
def plain_node(stage: Stage) -> Iterator[tuple[Machine, SimulatedSlurm]]:
    with fresh_machine() as machine:
        machine.path("/scratch").mkdir(exist_ok=True)
        machine.path("/etc/slurm").mkdir(exist_ok=True)
        machine.write("/etc/slurm/slurm.conf", "ClusterName=cluster\nSlurmctldHost=localhost\n")
        machine.copy(SSH_FILTER, "/root/ssh-filter")
        machine.write("/root/ca.pub", (stage.folder / "keys" / "ca.pub").read_text())
        install(machine)
        slurm = SimulatedSlurm(machine)
        install_into(machine)
        make_account(machine, OBSERVER)
        machine.start_sshd()
        try:
            yield machine, slurm
        finally:
            machine.stop_sshd()


def point_system_at(stage: Stage, machine: Machine) -> None:
    keys = [
        " ".join(machine.path(f"/etc/ssh/ssh_host_{kind}_key.pub").read_text().split()[:2])
        for kind in ("ed25519", "ecdsa")
    ]
    spec = {
        "hosts": [{"address": "127.0.0.1", "port": machine.port, "hostKeys": keys}],
        "filterPath": FILTER_PATH,
        "scheduler": {"type": "Slurm", "observer": OBSERVER},
    }
    stage.must("PATCH", f"{API}/systems/cluster", {"spec": spec}, content_type="application/merge-patch+json")


@asynccontextmanager
async def kube_as(stage: Stage, user: str) -> AsyncIterator[Kube]:
    kube = await Kube.connect(stage.kubeconfig(user))
    try:
        yield kube
    finally:
        await kube.close()


async def measure(bench: Bench, *, seconds: float) -> str:
    """The figures, as lines of a table."""
    stage, slurm = bench.stage, bench.slurm
    for number in range(bench.users):
        stage.namespace(f"hpc-u{number}")
    async with kube_as(stage, "root") as kube, kube_as(stage, service_account("goldcrest-operator")) as operator:
        await bench.make_jobs(kube, operator)
        slurm.write()
        watching = asyncio.create_task(bench.watch(kube))
        try:
            with OperatorProcess.running(stage) as process:
                first = await process.until_tracking(bench.number)
                first_cpu = cpu_seconds(process.pid)
                await asyncio.sleep(10)
                cpu, calls, began = cpu_seconds(process.pid), slurm.calls(), time.monotonic()
                rounds = process.metrics()["queue_queries_total"]
                apiserver = cpu_seconds(stage._processes["kube-apiserver"].pid)
                bench.events, bench.late = 0, []
                slurm.start(SHARE)
                await asyncio.sleep(seconds)
                slurm.stop()
                took = time.monotonic() - began
                used = (cpu_seconds(process.pid) - cpu) / took
                api_used = (cpu_seconds(stage._processes["kube-apiserver"].pid) - apiserver) / took
                rounds = process.metrics()["queue_queries_total"] - rounds
                asked = {name: number - calls[name] for name, number in slurm.calls().items()}
                late, events, resident = list(bench.late), bench.events, resident_bytes(process.pid)
                await asyncio.sleep(20)  # whatever is under way, usage too
                unseen = len(slurm.changes)
            before, active = bench.events, sum(job.state != "COMPLETED" for job in slurm.jobs.values())
            stage.call(
                "root", "DELETE", "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases/goldcrest-operator-default"
            )
            with OperatorProcess.running(stage) as process:
                again = await process.until_tracking(active)
                again_cpu = cpu_seconds(process.pid)
                await asyncio.sleep(10)
                written = bench.events - before
                resident_again = resident_bytes(process.pid)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    if not late:
        raise SystemExit(f"no change was seen; see {stage.folder}/operator.log")
    p95 = statistics.quantiles(late, n=20)[-1]
    return "\n".join(
        [
            f"{bench.number} active Jobs of {bench.users} users, {SHARE:.0%} changing each second for {took:.0f} s "
            f"(slowest tick of the simulation {slurm.slowest:.2f} s)",
            f"change visible in Kubernetes  p50 {statistics.median(late):.2f} s, p95 {p95:.2f} s, most {max(late):.2f} s "
            f"of {len(late)} changes; {unseen} changed back before anybody looked   {_verdict(p95 <= P95_SECONDS)}",
            f"operator's memory             {resident / 10**6:.0f} MB, after a restart {resident_again / 10**6:.0f} MB   "
            f"{_verdict(resident <= MEMORY_BYTES)}",
            f"operator's CPU                {used:.2f} cores (kube-apiserver {api_used:.2f})   {_verdict(used <= CORES)}",
            f"queries                       {rounds:.0f} of the queue in {took:.0f} s: one each {took / max(rounds, 1):.1f} s; "
            f"programs on the node: {asked}   {_verdict(asked['squeue'] <= rounds + 1)}",
            f"writes                        {events} for {len(late)} changes seen",
            f"start                         {first:.1f} s until all are tracked ({first_cpu:.1f} s of CPU)",
            f"restart                       {again:.1f} s until all {active} are tracked ({again_cpu:.1f} s of CPU); {written} writes, "
            f"nothing having changed   "
            f"{_verdict(again <= AGAIN_SECONDS and written == 0)}",
        ]
    )


def _verdict(kept: bool) -> str:
    return "within" if kept else "NOT within"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="active Jobs (default: 1000)")
    parser.add_argument("--users", type=int, default=50, help="Unix users (default: 50)")
    parser.add_argument("--seconds", type=float, default=60, help="seconds of changes (default: 60)")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="goldcrest-bench-") as folder,
        _stage(Path(folder)) as stage,
        plain_node(stage) as (machine, slurm),
    ):
        point_system_at(stage, machine)
        bench = Bench(stage, machine, slurm, jobs=arguments.jobs, users=arguments.users)
        try:
            print(asyncio.run(measure(bench, seconds=arguments.seconds)))
        except BaseException:
            print((stage.folder / "operator.log").read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
    print(f"load at the end {os.getloadavg()[0]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
