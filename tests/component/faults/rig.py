"""All of Goldcrest on a real API server and etcd behind a proxy, with a plain login node of its own: what faults are tried on.

Real: etcd, kube-apiserver, OPA, admission, delegation, the gateway, the operator as users start it (and started again when it ends, as Kubernetes
would), sshd, ssh-filter. Slurm is five small programs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from component.admission.stage import API, Answer, free_port, job, until
from component.attacks.attack_stage import MERGE, OPERATOR, AttackStage
from component.faults.proxy import FaultProxy
from component.faults.small_slurm import SmallSlurm
from component.plain_node.door import FILTER_PATH, SSH_FILTER, install, make_account
from component.plain_node.machine import Machine, fresh_machine

NAMESPACE, USER, OBSERVER = "team", "alice", "watcher"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases/goldcrest-operator-default"
QUICK = {
    "LEASE__DURATION_SECONDS": "10",
    "LEASE__RENEW_DEADLINE_SECONDS": "8",
    "LEASE__RETRY_SECONDS": "0.5",
    "RETRY__FIRST_SECONDS": "0.2",
    "RETRY__MOST_SECONDS": "2",
    "RETRY__SELDOM_SECONDS": "5",
    "HEALTH__PROBE_SECONDS": "3",
    "TRACKER__HOT_SECONDS": "0.5",
    "TRACKER__FEW_SECONDS": "0.5",
    "TRACKER__IDLE_SECONDS": "2",
    "TRACKER__UNCLAIMED_SECONDS": "2",
    "SSH__BACKOFF_FIRST_SECONDS": "0.1",
}


class FaultStage(AttackStage):
    """Everybody's way to the API server leads through the proxy; the test's own does not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._more: dict[str, str] = {}
        self.audit_file = Path(tempfile.mkdtemp(prefix="goldcrest-audit-")) / "audit.jsonl"
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "goldcrest-test", str(self.audit_file.parent)]
        subprocess.run(mount, check=True)  # a file system of its own, which a test can fill
        self.proxy = FaultProxy(self.port, self.tls.ca, self.tls.server("proxy"))
        self.proxy.start(free_port())
        self.operator_environment: dict[str, str] = {}
        self.operator_starts = 0
        self._operator: subprocess.Popen[bytes] | None = None

    def kubeconfig(self, user: str) -> Path:
        path = super().kubeconfig(user)
        path.write_text(path.read_text().replace(f"127.0.0.1:{self.port}", f"127.0.0.1:{self.proxy.port}"))
        return path

    def stop(self) -> None:
        self.stop_operator()
        super().stop()
        self.proxy.stop()
        subprocess.run(["umount", "-l", str(self.audit_file.parent)], check=True)
        self.audit_file.parent.rmdir()

    # ---- The operator ----

    def start_operator(self, **environment: str) -> None:
        """The process as users start it; ``environment`` as long as it is not stopped."""
        self.operator_environment = environment
        token = self.folder / "operator-token"
        if not token.exists():  # it counts for an hour, and the API server that gives it may be away
            token.write_text(self.caller_token("goldcrest-operator"))
        settings = {
            **QUICK,
            "KUBECONFIG": str(self.kubeconfig(OPERATOR)),
            "DELEGATION__URL": f"unix:{self.delegation_socket}",
            "DELEGATION__TOKEN_FILE": str(token),
            "LISTEN_HOST": "127.0.0.1",
            "HEALTH_PORT": str(free_port()),
            "METRICS_PORT": str(free_port()),
        }
        named = {f"GOLDCREST_OPERATOR_{name}": value for name, value in settings.items()}
        self.operator_starts += 1
        with (self.folder / "operator.log").open("ab") as log:
            self._operator = subprocess.Popen(
                [str(Path(sys.executable).with_name("goldcrest-operator"))],
                env={**os.environ, **named, **environment},
                stdout=log,
                stderr=log,
            )

    def stop_operator(self, *, kill: bool = False) -> None:
        if self._operator is not None:
            self._operator.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._operator.wait(60)
            self._operator = None

    @property
    def operator_pid(self) -> int:
        assert self._operator is not None
        return self._operator.pid

    @property
    def operator_has_ended(self) -> bool:
        """By itself."""
        return self._operator is not None and self._operator.poll() is not None

    def supervise(self) -> None:
        """Start it again if it has ended, as a Deployment does."""
        if self.operator_has_ended:
            self.start_operator(**self.operator_environment)

    # ---- Delegation ----

    @contextmanager
    def delegation_with(self, environment: dict[str, str]) -> Iterator[None]:
        """Delegation started with this beside its settings, for a while."""
        self.stop_process("delegation")
        self._more = environment
        try:
            self.start_delegation()
            yield
        finally:
            self.stop_process("delegation")
            self._more = {}
            self.start_delegation()

    def _delegation_settings(self) -> dict[str, str]:
        return {**super()._delegation_settings(), **self._more}

    # ---- etcd and the API server ----

    def stop_kubernetes(self, *, kill: bool = False) -> dict[str, list[str]]:
        """Stop API server and etcd; how they were started. The API server would wait a minute for those who watch."""
        argv = {name: list(self._processes[name].args) for name in ("etcd", "kube-apiserver")}  # type: ignore[call-overload]
        for name in ("kube-apiserver", "etcd"):
            hard = kill or name == "kube-apiserver"
            self._processes[name].send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            self._processes[name].wait(60)
            del self._processes[name]
        return argv

    def start_again(self, argv: dict[str, list[str]]) -> None:
        self._spawn("etcd", argv["etcd"], lambda: True, {})
        self._spawn(
            "kube-apiserver", argv["kube-apiserver"], lambda: self.call("root", "GET", "/readyz").status == 200, {}
        )

    def etcd_url(self) -> str:
        argv = list(self._processes["etcd"].args)  # type: ignore[call-overload]
        return next(str(word).partition("=")[2] for word in argv if str(word).startswith("--listen-client-urls="))

    def saved(self, name: str) -> Path:
        return self.folder / f"etcd-{name}"

    def snapshot(self, name: str) -> None:
        """A copy of etcd's data, made while it is stopped."""
        argv = self.stop_kubernetes()
        shutil.copytree(self.folder / "etcd", self.saved(name))
        self.start_again(argv)

    def restore(self, name: str) -> None:
        """etcd's data are those of the snapshot from now on."""
        argv = self.stop_kubernetes()
        shutil.rmtree(self.folder / "etcd")
        shutil.copytree(self.saved(name), self.folder / "etcd")
        self.start_again(argv)


class Rig:
    """The stage, its node, and what tests ask of them."""

    def __init__(self, stage: FaultStage, machine: Machine) -> None:
        self.stage = stage
        self.machine = machine
        self.slurm = SmallSlurm(machine)
        self._number = 0

    # ---- Jobs ----

    def name(self) -> str:
        self._number += 1
        return f"job-{self._number}"

    def add(self, name: str = "", *, namespace: str = NAMESPACE, **spec: Any) -> str:
        """Make a Job as alice; its name."""
        name = name or self.name()
        body = {**job(**spec), "metadata": {"name": name}}
        answer = self.add_answer(body, namespace=namespace)
        assert answer.status == 201, answer
        return name

    def add_answer(self, body: dict[str, Any], *, namespace: str = NAMESPACE) -> Answer:
        return self.stage.create_job(USER, body, namespace=namespace)

    def add_many(self, number: int, **spec: Any) -> list[str]:
        return [self.add(**spec) for _ in range(number)]

    def job(self, name: str, *, namespace: str = NAMESPACE) -> dict[str, Any] | None:
        answer = self.stage.call("root", "GET", self.path(name, namespace=namespace))
        return answer.body if answer.status == 200 else None

    def path(self, name: str, *, namespace: str = NAMESPACE) -> str:
        return f"{API}/namespaces/{namespace}/jobs/{name}"

    def status(self, name: str, *, namespace: str = NAMESPACE) -> dict[str, Any]:
        return (self.job(name, namespace=namespace) or {}).get("status", {})

    def task_id(self, name: str) -> str:
        """What REST calls a Job."""
        return str((self.job(name) or {})["metadata"]["uid"]).replace("-", "")

    def phase(self, name: str) -> str:
        return str(self.status(name).get("phase", ""))

    def ready(self, name: str) -> tuple[str, str]:
        """Status and reason of the condition Ready."""
        conditions = self.status(name).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("", ""))

    def edit(self, name: str, **spec: Any) -> None:
        answer = self.stage.call(USER, "PATCH", self.path(name), {"spec": spec}, content_type=MERGE)
        assert answer.status == 200, answer

    def delete(self, name: str) -> None:
        assert self.stage.call(USER, "DELETE", self.path(name)).status == 200

    def events_of(self, name: str) -> list[str]:
        """Reasons."""
        listed = self.stage.must("GET", f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        return [event["reason"] for event in listed if event["involvedObject"]["name"] == name]

    # ---- Waiting ----

    def until(self, condition: Callable[[], Any], *, seconds: float = 120, what: str = "") -> Any:
        """What is answered once it is something; an operator that ends meanwhile is started again."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = condition()
            except OSError:  # the API server is away
                found = None
            if found:
                return found
            self.stage.supervise()
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}\n{self._story()}")
            time.sleep(0.1)

    def finished(self, *names: str, phase: str = "Succeeded", seconds: float = 180, what: str = "") -> None:
        """They have all ended, so."""

        def over() -> bool:
            return all(self.phase(name) in ("Succeeded", "Failed", "Cancelled") for name in names)

        self.until(over, seconds=seconds, what=f"{what} {names} have ended")
        assert {name: self.phase(name) for name in names} == dict.fromkeys(names, phase)

    def ran_once(self, *names: str) -> None:
        """Each of them was let run once, and is known under the id that ran; nothing else is left in Slurm."""
        for name in names:
            status = self.status(name)
            carrying = self.slurm.carrying(status["submission"]["token"])
            assert [str(j["id"]) for j in carrying if j["start"] is not None] == [status["jobId"]], carrying
            assert all(j["start"] is not None or j["cancelled"] for j in carrying), carrying

    def settled(self, *names: str) -> None:
        """Nothing is written any more, also after a new operator has looked at everything."""
        self.until(lambda: all(self.status(name).get("usage") for name in names), what="usage is known")
        before = [self.job(name) for name in names]
        self.restart_operator()
        time.sleep(1.5)  # nothing can be waited for where nothing is to happen
        assert [self.job(name) for name in names] == before

    def restart_operator(self, *, kill: bool = False, **environment: str) -> None:
        self.stage.stop_operator(kill=kill)
        self.stage.start_operator(**environment)
        self.until(self.leads, what="the operator has its Lease")

    def leads(self) -> bool:
        """Whether the operator that was started last has the Lease."""
        answer = self.stage.call("root", "GET", LEASE)
        return f"_{self.stage.operator_pid}_" in answer.body.get("spec", {}).get("holderIdentity", "")

    def _story(self) -> str:
        jobs = self.stage.call("root", "GET", f"{API}/jobs").body.get("items", [])
        statuses = "\n".join(f"{raw['metadata']['name']}: {raw.get('status')}" for raw in jobs[-5:])
        return f"{statuses}\nslurm: {self.slurm.jobs()[-8:]}\n{self.stage.log('operator')[-4000:]}"


def point_system_at(stage: FaultStage, machine: Machine) -> None:
    key = " ".join(machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
    spec = {
        "hosts": [{"address": "127.0.0.1", "port": machine.port, "hostKeys": [key]}],
        "filterPath": FILTER_PATH,
        "scheduler": {"type": "Slurm", "observer": OBSERVER},
    }
    stage.must("PATCH", f"{API}/systems/cluster", {"spec": spec}, content_type=MERGE)


@contextmanager
def running_rig(folder: Path) -> Iterator[Rig]:
    """All of it, until the end."""
    stage = FaultStage(folder)
    try:
        stage.start()
        stage.namespace(NAMESPACE)
        stage.may(USER, NAMESPACE, accounts=[f"cluster:{USER}"])
        with fresh_machine() as machine:
            machine.path("/scratch").mkdir(exist_ok=True)
            machine.path("/scratch").chmod(0o1777)
            machine.path("/etc/slurm").mkdir(exist_ok=True)
            machine.write("/etc/slurm/slurm.conf", "ClusterName=cluster\nSlurmctldHost=localhost\n")
            machine.copy(SSH_FILTER, "/root/ssh-filter")
            machine.write("/root/ca.pub", (folder / "keys" / "ca.pub").read_text())
            install(machine)
            for user in (USER, OBSERVER):
                make_account(machine, user)
            machine.path(f"/scratch/{USER}").mkdir()
            machine.run("chown", f"{USER}:", f"/scratch/{USER}")
            rig = Rig(stage, machine)
            machine.start_sshd()
            try:
                point_system_at(stage, machine)
                stage.call("root", "DELETE", LEASE)
                stage.start_operator()
                rig.until(rig.leads, what="the operator has its Lease")
                yield rig
            finally:
                stage.stop_operator()
                machine.stop_sshd()
    finally:
        stage.stop()


__all__ = ["Rig", "running_rig", "until"]
