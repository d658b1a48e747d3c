"""Marked secrets in whole runs on the bed, with their errors, and the search for them in everything that is left (T12)."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bed import Answer, Bed
from goldcrest_bed.paths import Paths
from goldcrest_bed.processes import ProcessRecord
from markers import Secrets, marker

pytestmark = pytest.mark.integration

# Where a secret belongs. Everywhere else it is a leak.
LEGITIMATE = frozenset(
    {
        # The user's own resource, and what Kubernetes answers to its owner.
        ("environment", "Job spec.environment"),
        ("script", "Job spec.script"),
        ("environment", "answer of kubectl"),
        ("script", "answer of kubectl"),
        # What is no JSON is told to its sender, in the contract's words.
        ("environment", "answer of REST"),
        # kubectl apply keeps what it sent beside what is stored.
        ("environment", "Job annotation last-applied-configuration"),
        ("script", "Job annotation last-applied-configuration"),
        # Of use to nobody but the gateway, for a minute, for this resource.
        ("grant", "Job annotation grant"),
        ("action grant", "Job annotation action-grant"),
        # The user's own files, Slurm's copy of the job, its store where the site has it keep scripts and environments, and the job.
        ("script", "node /scratch/alice/goldcrest/"),
        ("upload", "node /scratch/alice/goldcrest/"),
        ("environment", "node slurm"),
        ("script", "node slurm"),
        ("upload", "node slurm"),
        ("environment", "node process of alice"),
    }
)
PROCESSES = ("goldcrest-api", "goldcrest-operator", "goldcrest-delegation", "goldcrest-admission", "opa", "opa-signing")
NEEDLES = "/run/goldcrest-needles"
SEEN = "/run/goldcrest-seen"
SLURM = ("/var/spool/slurm", "/var/lib/slurm", "/var/lib/mysql")


class Run:
    """Jobs through every door, and every refusal, with marked secrets."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.secrets = Secrets(LEGITIMATE)
        plant = self.secrets.plant
        self.environment = plant("environment", marker("environment"))
        self.script = plant("script", marker("script"))
        self.upload = plant("upload", marker("upload"))
        self.key = plant("Idempotency-Key", marker("idempotency"))
        self.password = plant("password", marker("password"))
        self.malformed = plant("malformed", marker("malformed"))
        plant("client secret", bed.facts["oidc"]["clients"]["alice-client"]["secret"])
        self.token = bed.token()
        for part in (self.token, *self.token.split(".")[1:]):
            plant("token", part)
        for account in bed.facts["kubernetes"]["service_accounts"].values():
            for path in account["tokens"].values():
                plant("service account's token", Path(path).read_text().strip().split(".")[2])
        keys = Path(bed.facts["pki"])
        for path in (Path(bed.facts["ssh_ca_key"]), *(keys / "goldcrest").glob("*.pem"), *keys.glob("*.key")):
            for line in path.read_text().splitlines():
                if "PRIVATE KEY" not in line and len(line) > 20:
                    plant("private key", line)
        plant("private key", "PRIVATE KEY-----")
        self.namespace = bed.namespace("alice")
        self.jobs: list[str] = []

    def needles(self) -> str:
        return "\n".join((self.environment, self.script, self.upload, self.key, self.password, self.malformed)) + "\n"

    # ---- The run ----

    def all(self) -> None:
        self.through_rest()
        self.through_kubectl()
        self.refused()
        self.with_something_away()

    def rest(self, answer: Answer) -> Answer:
        self.secrets.search("answer of REST", answer.body + str(list(answer.headers.items())).encode())
        return answer

    def kubectl(self, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        self.secrets.search("answer of kubectl", done.stdout + done.stderr)
        return done

    def through_rest(self) -> None:
        """A small script in the resource, a large one as a file, one that is cancelled."""
        bed, form = self.bed, {"env": json.dumps({"SECRET": self.environment})}
        small = f"#!/bin/bash\n# {self.script}\nsleep 3\n".encode()
        large = f"#!/bin/bash\n# {self.upload}\n".encode() + b"#" * 70_000 + b"\ntrue\n"
        sent = {"Idempotency-Key": self.key}
        first = self.rest(bed.upload(small, form=form, token=self.token, headers=sent))
        again = self.rest(bed.upload(small, form=form, token=self.token, headers=sent))
        other = self.rest(bed.upload(small + b"#", form=form, token=self.token, headers=sent))
        assert (first.status, again.status, other.status) == (201, 201, 422)
        assert first.json["task_id"] == again.json["task_id"]
        second = self.rest(bed.upload(large, form=form, token=self.token))
        third = self.rest(
            bed.upload(f"#!/bin/bash\n# {self.script}\nsleep 300\n".encode(), form=form, token=self.token)
        )
        tasks = [answer.json["task_id"] for answer in (first, second, third)]
        for task in tasks:
            assert bed.task_ended(task)["status"] == "200"
            self.jobs.append(f"r-{task}")
        job_id = bed.task(tasks[2])["data"]["jobid"]
        self.look_at_the_job(bed.job_when(f"r-{tasks[2]}", lambda status: status.get("phase") == "Running"))
        assert self.rest(bed.call("DELETE", f"/compute/jobs/{job_id}", token=self.token)).status == 200
        for task in tasks:
            bed.job_finished(f"r-{task}")
            self.rest(bed.call("GET", f"/tasks/{task}", token=self.token))
        self.rest(bed.call("GET", "/tasks", token=self.token))

    def look_at_the_job(self, job: dict[str, Any]) -> None:
        """What others can see of a running job: Slurm's listings, and command lines. Its environment is its user's."""
        job_id = job["status"]["jobId"]
        for argv in (["scontrol", "show", "job", job_id], ["squeue", "-o", "%all"]):
            self.secrets.search(f"{argv[0]} of bob", self.bed.node(*argv, user="bob", check=False))
        # Of the job's own processes, and of any other.
        for owner, what in (("alice", "environ"), ("root", "environ"), ("slurm", "environ")):
            program = f"for p in $(pgrep -u {owner}); do cat /proc/$p/{what}; done 2>/dev/null; true"
            self.secrets.search(f"node process of {owner}", self.bed.node("sh", "-c", program, user=owner))

    def through_kubectl(self) -> None:
        bed = self.bed
        spec = {
            "environment": {"SECRET": self.environment},
            "script": {"inline": f"#!/bin/bash\n# {self.script}\ntrue\n"},
        }
        for more, phase in (({}, "Succeeded"), ({"partition": "nowhere"}, "Failed")):
            name = bed.name("secret")
            assert self.kubectl(bed.apply_job(name, **spec, **more)).returncode == 0
            self.jobs.append(name)
            assert bed.job_finished(name)["status"]["phase"] == phase
            self.kubectl(bed.kubectl("get", "gjob", name, "-n", self.namespace, "-o", "yaml", user="alice"))

    def refused(self) -> None:
        """Tokens and bodies of every kind of wrong, wrong passwords, specs that are refused."""
        bed, cut = self.bed, self.token.rsplit(".", 1)[0]
        for token in (f"{self.token}x", f"{cut}.{self.malformed}", self.malformed, f"{self.token} {self.token}"):
            assert self.rest(bed.call("GET", "/tasks", token=token)).status == 401
        assert self.rest(bed.call("GET", "/tasks", token=bed.token("scopeless-client"))).status == 401
        assert self.rest(bed.upload(b"x", form={"env": json.dumps([self.environment])}, token=self.token)).status >= 400
        wrap = f"#!/bin/bash\n#SBATCH --wrap={self.script}\n".encode()
        assert self.rest(bed.upload(wrap, token=self.token)).status >= 400
        assert (
            self.rest(bed.call("GET", f"/utilities/view?targetPath=/home/bob/{'x' * 5}", token=self.token)).status
            == 400
        )
        form = {"grant_type": "client_credentials", "client_id": "alice-client", "client_secret": self.password}
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(
                bed.facts["oidc"]["token_endpoint"], urllib.parse.urlencode(form).encode(), timeout=10
            )
        secret = {"environment": {"SECRET": self.environment}, "script": {"inline": f"#!/bin/bash\n# {self.script}\n"}}
        for more in (
            {"runAs": "bob"},
            {"environment": {f"SECRET={self.environment}": ""}},
            {"environment": {"SECRET": self.environment * 400}},
            {"script": {"base64": f"!{self.script}"}},
            {"script": {"inline": f"#!/bin/bash\n#SBATCH --wrap={self.script}\n"}},
        ):
            assert self.kubectl(bed.apply_job(bed.name("secret"), **{**secret, **more})).returncode != 0

    def with_something_away(self) -> None:
        bed, form = self.bed, {"env": json.dumps({"SECRET": self.environment})}
        script = f"#!/bin/bash\n# {self.script}\n".encode()
        spec = {"environment": {"SECRET": self.environment}, "script": {"inline": script.decode()}}
        for component in ("goldcrest-delegation", "opa", "opa-signing"):
            with bed.faults.component_down(component):
                assert self.rest(bed.upload(script, form=form, token=self.token)).status >= 400
                name = bed.name("secret")
                if self.kubectl(bed.apply_job(name, **spec)).returncode == 0:
                    self.jobs.append(name)
        for name in self.jobs:
            bed.job_finished(name, seconds=120)

    # ---- What is left ----

    def plant_what_was_made(self) -> None:
        for name in self.jobs:
            annotations = self.bed.job(name)["metadata"]["annotations"]
            for key, what in (("grant", "grant"), ("action-grant", "action grant")):
                if value := annotations.get(f"hpc.goldcrest.dev/{key}"):
                    self.secrets.plant(what, value.split(".")[2])

    def search_host(self) -> None:
        for path in sorted(Path(self.bed.facts["logs"]).iterdir()):
            self.secrets.search(f"log {path.name}", path.read_bytes())
        for name in PROCESSES:
            record = ProcessRecord.load(Paths.from_environment().run / f"{name}.json")
            assert record is not None
            for part in ("cmdline", "environ"):
                self.secrets.search(f"{part} of {name}", Path(f"/proc/{record.pid}/{part}").read_bytes())
        metrics = f"http://127.0.0.1:{self.bed.faults.bed.config.port('operator_metrics')}/metrics"
        with urllib.request.urlopen(metrics, timeout=10) as answer:
            self.secrets.search("metrics of the operator", answer.read())

    def search_kubernetes(self) -> None:
        kinds = "events,configmaps,secrets,serviceaccounts,namespaces,leases,roles,rolebindings,gjob,gsys"
        for raw in json.loads(self.bed.kubectl("get", kinds, "-A", "-o", "json").stdout)["items"]:
            self.secrets.search_resource(raw["kind"], raw)

    def search_node(self) -> None:
        """Every file of the node that a secret could be in; those that hold one, with what may hold one."""
        bed = self.bed
        for argv in (["sacct", "-a", "-P", "-S", "now-1hours", "-o", "ALL"], ["scontrol", "show", "job"]):
            self.secrets.search(" ".join(argv[:2]), bed.node(*argv))
        for path in ("/var/log/syslog",):
            self.secrets.search(f"node {path}", bed.node("cat", path))
        places = ["/var", "/tmp", "/run", "/home", "/scratch", "/etc", "/root", "/dev/shm"]
        found = bed.node("grep", "-rlsF", "-f", NEEDLES, "--exclude", Path(NEEDLES).name, *places, check=False)
        for name in found.splitlines():
            content = bed.node("grep", "-aoF", "-f", NEEDLES, name, check=False)
            home = "node slurm" if name.startswith(SLURM) else f"node {name}"
            self.secrets.search(home, content)
        assert bed.node("cat", SEEN) == "", "a secret stood on a command line of the node"


@contextmanager
def command_lines_watched(run: Run) -> Iterator[None]:
    """All command lines of the node are looked at ten times a second meanwhile."""
    bed, watching = run.bed, "/run/goldcrest-watching"
    bed.faults.node_run(["sh", "-c", f"umask 077; cat > {NEEDLES}; : > {SEEN}; : > {watching}"], stdin=run.needles())
    loop = (
        f"while [ -e {watching} ]; do grep -lF -f {NEEDLES} /proc/[0-9]*/cmdline 2>/dev/null; sleep 0.1; done >> {SEEN}"
    )
    bed.faults.node_run(["sh", "-c", f"setsid sh -c {shlex.quote(loop)} >/dev/null 2>&1 &"])
    try:
        yield
    finally:
        bed.node("rm", "-f", watching)


def test_no_secret_is_left_behind(bed: Bed) -> None:
    """Nowhere but where it belongs, after jobs through both doors, refusals, and outages; where it belongs it is found."""
    run = Run(bed)
    try:
        with command_lines_watched(run):
            run.all()
        run.plant_what_was_made()
        run.search_host()
        run.search_kubernetes()
        run.search_node()
    finally:
        bed.node("rm", "-f", NEEDLES, SEEN)
    assert not run.secrets.leaks, "\n".join(run.secrets.leaks)
    assert {
        ("environment", "Job spec.environment"),
        ("script", "Job spec.script"),
        ("grant", "Job annotation grant"),
        ("action grant", "Job annotation action-grant"),
        ("script", "node /scratch/alice/goldcrest/"),
        ("upload", "node /scratch/alice/goldcrest/"),
        ("environment", "node process of alice"),
    } <= run.secrets.kept
    assert {f"log {name}.log" for name in (*PROCESSES, "kube-apiserver", "oidc")} <= run.secrets.places
    assert "log audit.jsonl" in run.secrets.places


def test_files_are_their_owners_alone(bed: Bed) -> None:
    """Keys, tokens and the audit log on the host; on the node what a job brought there."""
    keys = Path(bed.facts["pki"])
    private = [
        Path(bed.facts["ssh_ca_key"]),
        Path(bed.facts["goldcrest"]["audit"]),
        *(keys / "goldcrest").glob("*.pem"),
    ]
    for account in bed.facts["kubernetes"]["service_accounts"].values():
        private += [Path(path) for path in account["tokens"].values()]
    for path in private:
        assert path.stat().st_mode & 0o077 == 0, path
    job = bed.job_finished(f"r-{bed.upload(b'#!/bin/bash' + bytes([10]) + b'true' + bytes([10])).json['task_id']}")
    folder = job["status"]["files"]["directory"]
    # Slurm makes the output with the job's own umask; the folder keeps others out.
    for path in (folder, f"{folder}/job.sh"):
        assert bed.node("find", path, "-maxdepth", "0", "-perm", "/077").split() == []
    assert bed.node("find", folder, "!", "-user", "alice").split() == []
    assert not bed.node("cat", f"{folder}/job.sh", user="bob", check=False)
