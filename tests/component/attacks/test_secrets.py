"""Marked secrets are planted in a full run with all its errors, and looked for in everything that it leaves behind (T12)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import JOB, Answer
from component.attacks.attack_stage import GATEWAY, AttackStage, path_of
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, post
from goldcrest.authority import ByToken
from goldcrest.commands import StatFile
from goldcrest.errors import GoldcrestError
from goldcrest.wellknown import namespace_of_user, rest_name
from markers import Secrets, marker, processes

pytestmark = pytest.mark.component

# Where a secret belongs. Everywhere else it is a leak.
LEGITIMATE = frozenset(
    {
        # The user's own resource holds what is to be run: whoever may read it in that namespace sees it.
        ("environment", "Job spec.environment"),
        ("script", "Job spec.script"),
        # A grant is of no use to anybody but the gateway, within its minute, for this one resource.
        ("grant", "Job annotation grant"),
        ("action grant", "Job annotation action-grant"),
        # What a client sent and may be told again: only to that client.
        ("malformed", "answer of REST"),
        ("environment", "answer of Kubernetes"),
        ("script", "answer of Kubernetes"),
        ("grant", "answer of Kubernetes"),
        ("action grant", "answer of Kubernetes"),
        # The API server itself logs a value of the wrong type that it cannot convert, before any of us sees it.
        ("environment", "file kube-apiserver.log"),
        # Kept where they are kept.
        ("caller's token", "file gateway-token"),
        ("caller's token", "file token-goldcrest-operator"),
    }
)
# Where the stage keeps secrets: keys, and what the API server stores.
HOMES = {"keys", "etcd"}


class Run:
    """The run: every door, every error, with a marked secret in everything that is one."""

    def __init__(self, stage: AttackStage) -> None:
        self.stage = stage
        self.secrets = Secrets(LEGITIMATE)
        plant = self.secrets.plant
        self.environment = plant("environment", marker("environment"))
        self.script = plant("script", marker("script"))
        self.upload = plant("upload", marker("upload"))
        self.key = plant("Idempotency-Key", marker("idempotency"))
        self.password = plant("password", marker("password"))
        self.malformed = plant("malformed", marker("malformed"))
        self.claim = marker("claim")
        self.token = stage.issuer.token("alice", more=self.claim)
        for part in (self.token, *self.token.split(".")[1:], self.claim):
            plant("token", part)
        gateway = (stage.folder / "gateway-token").read_text()
        for part in (gateway, gateway.split(".")[2]):
            plant("caller's token", part)
        for name in ("ca", "grant", "stamp"):
            for line in (stage.folder / "keys" / name).read_text().splitlines():
                if "PRIVATE KEY" not in line and len(line) > 20:
                    plant("private key", line)
        plant("private key", "PRIVATE KEY-----")
        plant("private key", "b3BlbnNzaC1rZXktdjE")  # how OpenSSH's own begin
        self.home = stage.namespace(namespace_of_user("alice"))
        self.jobs: list[dict[str, Any]] = []

    # ---- Doors ----

    def rest(
        self,
        method: str,
        path: str,
        *,
        authorization: str | None = None,
        body: bytes = b"",
        kind: str = "",
        **headers: str,
    ) -> int:
        """A request to the gateway; its answer is searched."""
        sent = {"Authorization": authorization or f"Bearer {self.token}", "X-Machine-Name": "cluster"}
        if kind:
            sent["Content-Type"] = kind
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.stage.gateway_port, timeout=30)
        with closing(connection):
            connection.request(method, path, body or None, sent)
            response = connection.getresponse()
            content = response.read() + str(response.getheaders()).encode()
        self.secrets.search("answer of REST", content)
        return response.status

    def form(self, fields: Mapping[str, str], *, file: bytes | None = None) -> dict[str, Any]:
        boundary = "boundary0123456789"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        if file is not None:
            head = 'Content-Disposition: form-data; name="file"; filename="job.sh"\r\nContent-Type: text/plain\r\n\r\n'
            parts.append(f"--{boundary}\r\n{head}".encode() + file + b"\r\n")
        parts.append(f"--{boundary}--\r\n".encode())
        return {"body": b"".join(parts), "kind": f"multipart/form-data; boundary={boundary}"}

    def kubernetes(self, answer: Answer) -> Answer:
        self.secrets.search("answer of Kubernetes", json.dumps(answer.body))
        return answer

    # ---- The run ----

    async def all(self) -> None:
        self.through_rest()
        await self.through_grants()
        self.through_kubectl()
        await self.with_something_away()

    def through_rest(self) -> None:
        script = f"#!/bin/sh\n# {self.script}\necho {self.upload}\n".encode()
        environment = json.dumps({"SECRET": self.environment})
        upload = "/compute/jobs/upload"
        # There is no login node on this stage: each of these gets as far as delegation, and ends there.
        assert (
            self.rest("POST", upload, **self.form({"env": environment}, file=script), Idempotency_Key=self.key) == 400
        )
        assert self.rest("POST", upload, **self.form({"env": f"{{{self.malformed}"}, file=script)) >= 400
        assert self.rest("POST", upload, **self.form({"env": environment, self.malformed: "x"}, file=script)) == 400
        body = f"targetPath=/home/alice/x&env={self.malformed}".encode()
        assert self.rest("POST", "/compute/jobs/path", body=body, kind="application/x-www-form-urlencoded") >= 400
        assert self.rest("POST", upload, body=self.upload.encode(), kind="multipart/form-data; boundary=none") == 400
        assert self.rest("GET", "/tasks") == 200
        assert self.rest("GET", f"/tasks?access_token={self.malformed}") == 200
        assert self.rest("GET", f"/tasks/{self.malformed}") == 404
        basic = base64.b64encode(f"alice:{self.password}".encode()).decode()
        cut = self.token.rsplit(".", 1)[0]
        for authorization in (
            f"Basic {basic}",
            f"Bearer {self.token}x",
            f"Bearer {cut}.{self.malformed}",
            f"Bearer {self.malformed}",
            f"Bearer {self.token} {self.token}",
            f"Bearer {self.stage.issuer.token('alice', more=self.claim, exp=1)}",
            f"Bearer {self.stage.issuer.token('alice', more=self.claim, aud='x')}",
        ):
            assert self.rest("GET", "/tasks", authorization=authorization) == 401

    async def through_grants(self) -> None:
        """As the gateway does when the system has answered: grant, Job, action grant; then as it never should."""
        stage, task_id = self.stage, os.urandom(16).hex()
        name = rest_name(task_id)
        spec = {
            "system": "cluster",
            "runAs": "alice",
            "script": {"inline": f"#!/bin/sh\n# {self.script}\n"},
            "environment": {"SECRET": self.environment},
        }
        async with authority(stage, "goldcrest-api") as gateway:
            grant = await gateway.grant(
                token=self.token, kind="Job", namespace=self.home, name=name, spec=spec, trace=TRACE
            )
            for part in (grant, grant.split(".")[2]):
                self.secrets.plant("grant", part)
            metadata = {"name": name, "annotations": {"hpc.goldcrest.dev/grant": grant}}
            whole = {**JOB, "metadata": metadata, "spec": spec}
            other = {**whole, "spec": {**spec, "partition": "debug"}}
            assert self.kubernetes(stage.create_job(GATEWAY, other, namespace=self.home)).status == 403
            assert self.kubernetes(stage.create_job("root", whole, namespace=self.home)).status == 403
            made = self.kubernetes(stage.create_job(GATEWAY, whole, namespace=self.home))
            assert made.status == 201, made
            raw = made.body
            self.jobs.append(raw)
            action = await gateway.action_grant(
                token=self.token,
                kind="Job",
                namespace=self.home,
                name=name,
                uid=raw["metadata"]["uid"],
                field="suspend",
                value=True,
                trace=TRACE,
            )
        for part in (action, action.split(".")[2]):
            self.secrets.plant("action grant", part)
        note = {"metadata": {"annotations": {"hpc.goldcrest.dev/action-grant": action}}}
        for change, status in (({"cancel": True}, 403), ({"suspend": True}, 200)):
            patched = self.kubernetes(stage.patch_job(GATEWAY, self.home, name, {**note, "spec": change}))
            assert patched.status == status, patched
        caller = stage.caller_token("goldcrest-api")
        for part in (caller, caller.split(".")[2]):
            self.secrets.plant("caller's token", part)
        body = {"token": self.token, "kind": "Job", "namespace": self.home, "name": name, "trace": TRACE}
        for wrong in (
            {**body, "spec": {**spec, "environment": {"SECRET": [self.environment]}}},
            {**body, "spec": {**spec, f"environment.SECRET={self.environment}": "x"}},
            {**body, "spec": {**spec, "runAs": "bob"}},
            {**body, "spec": {**spec, "script": {"inline": self.script, "base64": self.script}}},
            {**body, "token": f"{self.token}x", "spec": spec},
            {**body, "trace": self.environment, "spec": spec},
        ):
            status, _ = await post(stage, "/v1/grants", wrong, token=caller)
            assert status in (400, 401, 403), wrong
        assert (await post(stage, "/v1/grants", f'{{"token": "{self.token}"'.encode(), token=caller))[0] == 400
        assert (await post(stage, "/v1/grants", body, token=f"{caller}x"))[0] == 401
        assert (await post(stage, "/v1/grants", body, token=self.token))[0] == 401

    def through_kubectl(self) -> None:
        stage, base = self.stage, JOB["spec"]
        good = {
            **base,
            "environment": {"SECRET": self.environment},
            "script": {"inline": f"#!/bin/sh\n#SBATCH --job-name=x\n# {self.script}\n"},
        }
        made = self.kubernetes(stage.create_job("alice", {**JOB, "spec": good}, namespace="team"))
        assert made.status == 201, made
        self.jobs.append(made.body)
        refused: list[tuple[str, dict[str, Any]]] = [
            ("bob", good),
            ("alice", {**good, "runAs": "bob"}),
            ("alice", {**good, "environment": {"SECRET": self.environment * 4000}}),
            ("alice", {**good, "environment": {f"SECRET={self.environment}": ""}}),
            ("alice", {**good, "environment": [self.environment]}),
            ("alice", {**good, "script": {"inline": f"#!/bin/sh\n#SBATCH --wrap={self.script}\n"}}),
            ("alice", {**good, "script": {"base64": f"!{self.script}"}}),
            ("alice", {**good, "tasks": self.script}),
            ("alice", {**good, f"script: {self.script}": "x"}),
        ]
        for user, spec in refused:
            answer = self.kubernetes(stage.create_job(user, {**JOB, "spec": spec}, namespace="team"))
            assert answer.status in (400, 403, 422), (user, str(spec)[:300], answer.status)
        changed = {"environment": {"SECRET": f"{self.environment}2"}}
        answer = stage.patch_job("alice", "team", made.body["metadata"]["name"], {"spec": changed})
        assert self.kubernetes(answer).status == 422

    async def with_something_away(self) -> None:
        """OPA, then delegation, do not answer: every door again."""
        stage = self.stage
        script = f"#!/bin/sh\n# {self.script}\n".encode()
        form = self.form({"env": json.dumps({"SECRET": self.environment})}, file=script)
        job = {**JOB, "spec": {**JOB["spec"], "environment": {"SECRET": self.environment}}}
        stage.stop_process("opa")
        try:
            assert self.rest("POST", "/compute/jobs/upload", **form) == 400
            assert self.kubernetes(stage.create_job("alice", job, namespace="team")).status == 503
            await self._ask_for_certificate()
        finally:
            start_opa_with_its_log(stage)
        stage.stop_process("delegation")
        try:
            assert self.rest("POST", "/compute/jobs/upload", **form) == 400
        finally:
            stage.start_delegation()
        await self._ask_for_certificate()

    async def _ask_for_certificate(self) -> None:
        async with authority(self.stage, "goldcrest-api") as gateway:
            for user in ("alice", "bob"):
                try:
                    await gateway.command_certificate(
                        StatFile("/scratch/alice"),
                        public_key=PUBLIC_KEY,
                        system="cluster",
                        user=user,
                        sid=SID,
                        basis=ByToken(self.token),
                        trace=TRACE,
                    )
                except GoldcrestError as error:
                    self.secrets.search("error of delegation", str(error))
        async with authority(self.stage, "goldcrest-operator", holder="operator-0") as operator:
            for raw in self.jobs:
                try:
                    await operator.session_certificate(
                        public_key=PUBLIC_KEY, system="cluster", user="alice", basis=of(raw), trace=TRACE
                    )
                except GoldcrestError as error:
                    self.secrets.search("error of delegation", str(error))

    # ---- What it leaves ----

    def search_files(self) -> None:
        """Logs, audit, OPA's decisions, and any other file that a process of ours wrote."""
        for path in self.stage.folder.rglob("*"):
            relative = path.relative_to(self.stage.folder)
            if path.is_file() and relative.parts[0] not in HOMES and path.suffix != ".key":
                self.secrets.search(f"file {relative}", path.read_bytes())

    def search_kubernetes(self) -> None:
        stage = self.stage
        for group in (
            "/api/v1",
            "/apis/hpc.goldcrest.dev/v1alpha1",
            "/apis/coordination.k8s.io/v1",
            "/apis/events.k8s.io/v1",
        ):
            for kind in stage.must("GET", group)["resources"]:
                if "/" in kind["name"] or "list" not in kind["verbs"]:
                    continue
                for raw in stage.must("GET", f"{group}/{kind['name']}")["items"]:
                    self.secrets.search_resource(kind["kind"], raw)
        self.secrets.search("metrics of the API server", stage.call("root", "GET", "/metrics").message)

    def search_processes(self) -> None:
        pids = [process.pid for process in self.stage._processes.values()]
        seen = 0
        for _, name, command_line, environment in processes(also=pids):
            self.secrets.search(f"command line of {name}", command_line)
            self.secrets.search(f"environment of {name}", environment)
            seen += 1
        assert seen == len(pids)

    def search_opa(self) -> None:
        """What OPA holds, and its metrics."""
        for path in ("/v1/data", "/metrics", "/v1/config"):
            connection = http.client.HTTPConnection("opa", timeout=10)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.stage._opa_socket))
            with closing(connection):
                connection.request("GET", path)
                self.secrets.search(f"OPA {path}", connection.getresponse().read())


def start_opa_with_its_log(stage: AttackStage) -> None:
    """The stage's OPA, writing down each decision with its input."""
    stage.start_opa(more=["--set=decision_logs.console=true"])


@contextmanager
def opa_with_its_log(stage: AttackStage) -> Iterator[None]:
    stage.stop_process("opa")
    start_opa_with_its_log(stage)
    try:
        yield
    finally:
        stage.stop_process("opa")
        stage.start_opa()


async def test_no_secret_is_left_behind(stage: AttackStage) -> None:
    """Nowhere but where it belongs; and there it is found, so the search does find."""
    with opa_with_its_log(stage):
        run = Run(stage)
        await run.all()
        for raw in run.jobs:
            assert stage.job(raw)["spec"]["environment"] == {"SECRET": run.environment}
            stage.call("alice", "GET", path_of(raw))
        run.search_files()
        run.search_kubernetes()
        run.search_processes()
        run.search_opa()
    assert not run.secrets.leaks, "\n".join(run.secrets.leaks)
    homes = {
        ("environment", "Job spec.environment"),
        ("script", "Job spec.script"),
        ("grant", "Job annotation grant"),
        ("action grant", "Job annotation action-grant"),
        ("malformed", "answer of REST"),
        ("environment", "answer of Kubernetes"),
        ("caller's token", "file gateway-token"),
    }
    assert homes <= run.secrets.kept
    searched = {f"file {name}" for name in ("gateway.log", "delegation.log", "admission.log", "opa.log", "audit.jsonl")}
    assert searched <= run.secrets.places
    assert '"decision_id"' in stage.log("opa"), "OPA's decision log was there to be searched"


def test_files_of_secrets_are_their_owners_alone(stage: AttackStage) -> None:
    """Keys and the audit log that our processes made themselves."""
    made = [path for path in (stage.folder / "keys").iterdir() if path.suffix != ".pub"]
    assert {path.name for path in made} == {"ca", "grant", "stamp"}
    for path in (*made, stage.audit_file):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_search_finds(tmp_path: Path) -> None:
    """The control: a secret is found as it is, within base64 at any place, and in a process' environment."""
    found = Secrets()
    value = found.plant("it", marker("planted"))
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.search(f"base64-{shift}", encode(b"x" * shift + value.encode() + b"yz"))
    found.search("as it is", f'{{"a": "{value}"}}')
    for name in ("base64-0", "base64-1", "base64-2", "as it is"):
        assert any(f"it in {name}," in leak for leak in found.leaks), name
    assert value not in str(found.leaks)
    child = os.spawnve(
        os.P_NOWAIT, sys.executable, [sys.executable, "-c", "import time; time.sleep(30)"], {"IT": value}
    )
    try:
        end = time.monotonic() + 10  # it takes a moment to become another program
        while not any(value.encode() in environment for *_, environment in processes(marked=value.encode())):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
