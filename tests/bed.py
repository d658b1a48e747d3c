"""The running test bed as tests use it: the REST door, kubectl, the login node, and the processes of Goldcrest."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from goldcrest_bed import facts as bed_facts
from goldcrest_bed.faults import Faults
from goldcrest_bed.paths import Paths

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Bed:
    """One running bed."""

    def __init__(self, facts: dict[str, Any], *, profile: str | None = None) -> None:
        self._profile = profile
        self.facts = facts
        self.system: str = facts["system"]["name"]
        self.api: str = facts["goldcrest"]["api"]["url"]

    @classmethod
    def running(cls, profile: str | None = None) -> Bed:
        """The bed of this profile (dev/profiles); None: the one that the environment names, else the ordinary one."""
        return cls(bed_facts.read(Paths.from_environment(profile)), profile=profile)

    # ---- identity ----

    def token(self, client: str = "alice-client") -> str:
        """An access token by client credentials."""
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": self.facts["oidc"]["clients"][client]["secret"],
        }
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(self.facts["oidc"]["token_endpoint"], data=data, timeout=10) as answer:
            return str(json.load(answer)["access_token"])

    def namespace(self, user: str) -> str:
        """Namespace of a Unix user's resources."""
        return str(self.facts["goldcrest"]["namespaces"][user])

    # ---- the REST door ----

    def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        client: str | None = "alice-client",
        machine: str | None = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request; ``token`` wins over ``client``; both None: no Authorization. ``machine``: "" is the bed's system, None: no header."""
        request = urllib.request.Request(self.api + path, data=body, method=method)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if token is None and client is not None:
            token = self.token(client)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        if machine is not None:
            request.add_header("X-Machine-Name", machine or self.system)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def upload(
        self, script: bytes, *, name: str = "job.sh", form: Mapping[str, str] | None = None, **more: Any
    ) -> Answer:
        """``POST /compute/jobs/upload``."""
        boundary = secrets.token_hex(16)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in (form or {}).items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + script
            + f"\r\n--{boundary}--\r\n".encode()
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", **more.pop("headers", {})}
        return self.call("POST", "/compute/jobs/upload", headers=headers, body=b"".join(parts), **more)

    def submit_path(self, path: str, **more: Any) -> Answer:
        """``POST /compute/jobs/path``."""
        body = urllib.parse.urlencode({"targetPath": path, **more.pop("form", {})}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.call("POST", "/compute/jobs/path", headers=headers, body=body, **more)

    def task(self, task_id: str, *, client: str = "alice-client") -> dict[str, Any]:
        answer = self.call("GET", f"/tasks/{task_id}", client=client)
        assert answer.status == 200, (answer.status, answer.body)
        task: dict[str, Any] = answer.json["task"]
        return task

    def task_ended(
        self, task_id: str, *, client: str = "alice-client", seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        """The task once its status is 200 or 400."""
        return self.until(
            lambda: self.task(task_id, client=client), lambda t: t["status"] in ("200", "400"), seconds=seconds
        )

    # ---- Kubernetes ----

    def kubectl(
        self, *args: str, user: str | None = None, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as an administrator, or as a Kubernetes user."""
        kubernetes = self.facts["kubernetes"]
        config = kubernetes["persons"][user]["kubeconfig"] if user else kubernetes["admin"]
        return subprocess.run(
            [self.facts["kubectl"], f"--kubeconfig={config}", *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """A resource, or None."""
        done = self.kubectl("get", kind, name, *(("-n", namespace) if namespace else ()), "-o", "json")
        if done.returncode != 0:
            assert "NotFound" in done.stderr, done.stderr
            return None
        raw: dict[str, Any] = json.loads(done.stdout)
        return raw

    def apply_job(
        self, name: str, *, user: str = "alice", namespace: str | None = None, **spec: Any
    ) -> subprocess.CompletedProcess[str]:
        """Create a Job with kubectl as a Kubernetes user."""
        whole = {"system": self.system, "runAs": "alice", "script": {"inline": "#!/bin/bash\ntrue\n"}, **spec}
        manifest = {
            "apiVersion": "hpc.goldcrest.dev/v1alpha1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": namespace or self.namespace("alice")},
            "spec": {key: value for key, value in whole.items() if value is not None},
        }
        return self.kubectl("create", "-f", "-", user=user, stdin=json.dumps(manifest))

    def job(self, name: str, namespace: str | None = None) -> dict[str, Any]:
        raw = self.get("gjob", name, namespace or self.namespace("alice"))
        assert raw is not None, name
        return raw

    def job_when(
        self,
        name: str,
        ready: Callable[[dict[str, Any]], bool],
        *,
        namespace: str | None = None,
        seconds: float = WAIT_SECONDS,
    ) -> dict[str, Any]:
        """The Job once its status satisfies ``ready``."""
        return self.until(lambda: self.job(name, namespace), lambda raw: ready(raw.get("status", {})), seconds=seconds)

    def job_finished(self, name: str, *, namespace: str | None = None, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        return self.job_when(
            name,
            lambda status: status.get("phase") in ("Succeeded", "Failed", "Cancelled"),
            namespace=namespace,
            seconds=seconds,
        )

    def events(self, name: str, namespace: str | None = None) -> list[dict[str, Any]]:
        done = self.kubectl(
            "get",
            "events",
            "-n",
            namespace or self.namespace("alice"),
            "--field-selector",
            f"involvedObject.name={name}",
            "-o",
            "json",
        )
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

    # ---- the login node ----

    def node(self, *argv: str, user: str = "root", check: bool = True) -> str:
        """Run a program in the login node's container; its standard output."""
        container = self.facts["container"]
        done = subprocess.run(
            [*container["command"], "exec", "--user", user, container["name"], *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} on the node: status {done.returncode}: {done.stderr}")
        return done.stdout

    def slurm_has_saved(self) -> None:
        """Wait until slurmctld has written all of now to its disk: what it has not, a kill makes it forget. It does so within five seconds of a
        change, and not again where nothing changes."""
        begun = float(self.node("date", "+%s.%N"))
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if float(self.node("stat", "-c", "%.Y", "/var/lib/slurm/slurmctld/job_state")) > begun + 0.5:
                return
            time.sleep(0.5)

    def slurm_jobs_of(self, token_part: str) -> list[dict[str, str]]:
        """As :meth:`slurm_jobs`, once accounting knows of one (it learns comments when jobs end)."""
        rows: list[dict[str, str]] = self.until(lambda: self.slurm_jobs(token_part), bool, seconds=20)
        return rows

    def slurm_jobs(self, token_part: str) -> list[dict[str, str]]:
        """All jobs that Slurm's accounting knows with this in the comment, which not every site keeps, or in the line of sbatch:
        id, state, elapsed seconds, and what was granted."""
        fields = "JobID,State,ElapsedRaw,Partition,Account,Cluster,Comment,SubmitLine"
        # With an end and states, or jobs that were cancelled while they were held are not shown.
        ever = ["-S", "now-1days", "-E", "now+1days", "--state=CA,CD,F,NF,PD,R,TO"]
        lines = self.node("sacct", "-a", "-L", "-X", "-n", "-P", *ever, "-o", fields).splitlines()
        rows = [dict(zip(fields.split(","), line.split("|", 7), strict=True)) for line in lines if line.count("|") >= 7]
        return [row for row in rows if token_part in row["Comment"] or token_part in row["SubmitLine"]]

    # ---- processes of Goldcrest ----

    def log_lines(self, process: str, containing: str) -> list[str]:
        path = Path(self.facts["logs"]) / f"{process}.log"
        return [line for line in path.read_text(errors="replace").splitlines() if containing in line]

    def operator_metrics(self) -> str:
        """What Prometheus would read."""
        port = self.faults.bed.config.port("operator_metrics")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    @cached_property
    def faults(self) -> Faults:
        """Hands that break the bed and put it right again."""
        return Faults.of_running_bed(self._profile)

    def name(self, what: str) -> str:
        """A fresh resource name."""
        return f"{what}-{secrets.token_hex(4)}"

    @staticmethod
    def until(ask: Callable[[], Any], done: Callable[[Any], bool], *, seconds: float = WAIT_SECONDS) -> Any:
        """Ask until it is done.

        Raises:
            AssertionError: with what was seen last.
        """
        deadline = time.monotonic() + seconds
        while True:
            seen = ask()
            if done(seen):
                return seen
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s; last seen: {json.dumps(seen, default=str)[:2000]}")
            time.sleep(0.1)
