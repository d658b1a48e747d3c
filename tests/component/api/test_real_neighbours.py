"""The gateway with a real API server, its CRDs and RBAC, real admission, delegation and OPA; only login nodes are stand-ins."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.admission.stage import API, Stage, running_stage, service_account
from component.api.gateway import serving
from component.api.neighbours import LoginNode
from goldcrest.authority import Authority
from goldcrest.identity import TokenVerifier
from goldcrest.kube import Kube
from goldcrest.wellknown import namespace_of_user
from goldcrest_api.application import create_app
from goldcrest_api.context import Context, build_context
from goldcrest_api.settings import DelegationSettings, Settings

pytestmark = pytest.mark.component

# What dev/manifests/rbac.yaml gives the gateway.
RIGHTS: list[dict[str, Any]] = [
    {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["systems"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]},
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_stage(tmp_path_factory.mktemp("stage")) as running:
        running.bind(service_account("goldcrest-api"), RIGHTS, name="gateway-more", namespace=None)
        (running.folder / "gateway-token").write_text(running.caller_token("goldcrest-api"))
        yield running


def settings_of(stage: Stage) -> Settings:
    return Settings(
        identity_file=stage.issuer.identity_file,
        kubeconfig=stage.kubeconfig(service_account("goldcrest-api")),
        delegation=DelegationSettings(url=f"unix:{stage.delegation_socket}", token_file=stage.folder / "gateway-token"),
        create_namespaces=True,
    )


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[aiohttp.ClientSession]:
    settings = settings_of(stage)

    @asynccontextmanager
    async def open_context() -> AsyncIterator[Context]:
        kube = await Kube.connect(settings.kubeconfig)
        delegation = settings.delegation
        authority = Authority(url=delegation.url, ca_file=None, token_file=delegation.token_file)
        verifier = TokenVerifier.from_file(settings.identity_file)
        node = LoginNode(files={"/home/alice/run.sh": b"#!/bin/sh\n"})
        context = build_context(settings, kube=kube, grants=authority, remote=node, verifier=verifier)
        tasks = [asyncio.create_task(reflector.run()) for reflector in context.reflectors]
        yield context
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(kube.close(), authority.close(), verifier.close())

    headers = {"Authorization": f"Bearer {stage.issuer.token('alice')}", "X-Machine-Name": "cluster"}
    async with (
        serving(create_app(open_context, settings=settings)) as url,
        aiohttp.ClientSession(url, headers=headers) as session,
    ):
        yield session


async def submit(client: aiohttp.ClientSession, content: bytes = b"#!/bin/sh\nhostname\n", **fields: str) -> str:
    form = aiohttp.FormData(fields)
    form.add_field("file", content, filename="job.sh")
    async with client.post("/compute/jobs/upload", data=form) as response:
        body = await response.json()
        assert response.status == 201, body
        return str(body["task_id"])


async def task(client: aiohttp.ClientSession, task_id: str) -> dict[str, Any]:
    async with client.get(f"/tasks/{task_id}") as response:
        assert response.status == 200, await response.text()
        body: dict[str, Any] = await response.json()
        return body["task"]


async def until_finished(client: aiohttp.ClientSession, task_id: str) -> None:
    for _ in range(250):
        if (await task(client, task_id))["status"] == "200":
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the task did not finish")


def stored(stage: Stage, task_id: str) -> dict[str, Any]:
    return stage.must("GET", f"{API}/namespaces/{namespace_of_user('alice')}/jobs/r-{task_id}")


def set_status(stage: Stage, task_id: str, status: dict[str, Any]) -> None:
    stage.write_status({"metadata": {"namespace": namespace_of_user("alice"), "name": f"r-{task_id}"}}, status)


@pytest.mark.parametrize("content", [b"#!/bin/sh\nhostname\n", b"#!/bin/sh\n\xff\x00", b"#!/bin/sh\n" + b"#" * 70_000])
async def test_job_passes_admission_by_its_grant(stage: Stage, client: aiohttp.ClientSession, content: bytes) -> None:
    """In a namespace made on first use: admission takes delegation's word, and writes who asked."""
    task_id = await submit(client, content, account="physics", env='{"A": "ü"}')
    job = await asyncio.to_thread(stored, stage, task_id)
    requested_by = job["spec"]["requestedBy"]
    assert (requested_by["via"], requested_by["username"]) == ("Grant", "alice")
    grant = job["metadata"]["annotations"]["hpc.goldcrest.dev/grant"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(grant + "=" * (-len(grant) % 4)))
    assert claims["jti"] == task_id  # the job's token is known before the job is made
    assert (await task(client, task_id))["status"] == "100"


async def test_path_passes_admission_too(stage: Stage, client: aiohttp.ClientSession) -> None:
    """A script on the system."""
    async with client.post("/compute/jobs/path", data={"targetPath": "/home/alice/run.sh"}) as response:
        assert response.status == 201, await response.text()
        task_id = (await response.json())["task_id"]
    job = await asyncio.to_thread(stored, stage, task_id)
    assert job["spec"]["workingDirectory"] == "/home/alice"


async def test_task_follows_the_job_and_cancel_passes_admission(stage: Stage, client: aiohttp.ClientSession) -> None:
    """Status by the watch; cancelling by delegation's word, accepted by admission."""
    task_id = await submit(client)
    files = {"script": "/s", "stdout": "/o", "stderr": "/e"}
    await asyncio.to_thread(set_status, stage, task_id, {"phase": "Running", "jobId": "4711", "files": files})
    await until_finished(client, task_id)
    async with client.delete("/compute/jobs/4711") as response:
        assert response.status == 200, await response.text()
        cancel_id = (await response.json())["task_id"]
    job = await asyncio.to_thread(stored, stage, task_id)
    assert job["spec"]["cancel"] is True
    assert (await task(client, cancel_id))["status"] == "100"


async def test_policy_denies(stage: Stage, client: aiohttp.ClientSession) -> None:
    """Policy's reason reaches the client."""
    with stage.blocked_in_opa("alice"):
        form = aiohttp.FormData()
        form.add_field("file", b"#!/bin/sh\n", filename="job.sh")
        async with client.post("/compute/jobs/upload", data=form) as response:
            body = await response.json()
    assert response.status == 404, body
    assert response.headers["X-Permission-Denied"]
    assert body["error"]


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"scope": "openid"}, "Scope 'firecrest' wasn't found in JWT"),
        ({"exp": 1}, "JWT token has expired"),
        ({"aud": "other"}, "Invalid audience in JWT token"),
        ({"preferred_username": ""}, "Bad header or JWT, general exception raised"),
    ],
)
async def test_real_token_that_is_not_accepted(
    stage: Stage, client: aiohttp.ClientSession, claims: dict[str, Any], reason: str
) -> None:
    """The verifier's codes become the contract's texts."""
    token = stage.issuer.token("alice", **claims)
    async with client.get("/tasks", headers={"Authorization": f"Bearer {token}"}) as response:
        assert (response.status, await response.json()) == (401, {"description": reason})


async def test_idempotency_key_is_kept_by_kubernetes(client: aiohttp.ClientSession) -> None:
    """The name is the store: the same key gives the same task."""
    client.headers["Idempotency-Key"] = "one"
    assert await submit(client) == await submit(client)


def test_process(stage: Stage, tmp_path: Path) -> None:
    """As users start it: it becomes ready, answers, logs JSON, and ends in order on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as probe, socket.create_server(("127.0.0.1", 0)) as second:
        port, metrics_port = probe.getsockname()[1], second.getsockname()[1]
    settings = settings_of(stage)
    environment = {
        **os.environ,
        "GOLDCREST_API_IDENTITY_FILE": str(settings.identity_file),
        "GOLDCREST_API_KUBECONFIG": str(settings.kubeconfig),
        "GOLDCREST_API_DELEGATION__URL": settings.delegation.url,
        "GOLDCREST_API_DELEGATION__TOKEN_FILE": str(settings.delegation.token_file),
        "GOLDCREST_API_LISTEN__HOST": "127.0.0.1",
        "GOLDCREST_API_LISTEN__PORT": str(port),
        "GOLDCREST_API_LISTEN__METRICS_PORT": str(metrics_port),
        # Nobody listens there: it starts, serves and ends all the same.
        "GOLDCREST_API_TRACING__ENDPOINT": "http://127.0.0.1:9",
        "GOLDCREST_API_TRACING__RATIO": "1",
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "goldcrest_api.main"], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        status, systems = asyncio.run(_ask(f"http://127.0.0.1:{port}", stage.issuer.token("alice"), process))
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert (status, systems) == (401, ["cluster"])
    assert code == 0
    assert 'goldcrest_api_requests_total{code="401"' in page
    assert {"api.started", "request", "api.stopping"} <= {line["event"] for line in lines}
    assert all(line["trace_id"] for line in lines if line["event"] == "request")


@pytest.mark.parametrize(
    ("environment", "said", "status"),
    [
        ({}, "GOLDCREST_API_IDENTITY_FILE", 2),
        (
            {"GOLDCREST_API_IDENTITY_FILE": "/nowhere.toml", "GOLDCREST_API_DELEGATION__URL": "unix:/x"},
            "/nowhere.toml",
            1,
        ),
        (
            {"GOLDCREST_API_DELEGATION__URL": "unix:/x", "GOLDCREST_API_LISTEN__PORT": "http"},
            "GOLDCREST_API_LISTEN__PORT",
            2,
        ),
    ],
)
def test_process_that_is_set_up_wrongly(environment: dict[str, str], said: str, status: int) -> None:
    """One sentence that names the setting (2) or the file (1), and a failure; no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "goldcrest_api.main"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == status
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


async def _ask(url: str, token: str, process: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    async with aiohttp.ClientSession(url) as session:
        async with asyncio.timeout(30):
            while process.poll() is None:
                try:
                    async with session.get("/readyz") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        async with session.get("/tasks") as response:
            status = response.status
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get("/status/parameters", headers=headers) as response:
            body = await response.json()
        (filesystems,) = body["out"]["storage"]
        return status, [item["system"] for item in filesystems["value"]]


async def test_task_passes_admission_and_is_noted_as_read(stage: Stage, client: aiohttp.ClientSession) -> None:
    """A query by its grant; its result is shown from the cache, a large one from its TaskResult; the note of reading is let through."""
    async with client.get("/compute/nodes") as response:
        assert response.status == 200, await response.text()
        task_id = (await response.json())["task_id"]
    place = f"{API}/namespaces/{namespace_of_user('alice')}"
    path = f"{place}/tasks/r-{task_id}"
    made = stage.must("GET", path)
    assert made["spec"]["requestedBy"]["via"] == "Grant"
    rows = [{"name": f"n{number}", "state": ["IDLE"]} for number in range(1000)]
    content = json.dumps({"nodes": rows}).encode()
    owner = {"apiVersion": made["apiVersion"], "kind": "Task", "name": f"r-{task_id}", "uid": made["metadata"]["uid"]}
    result = {
        "apiVersion": made["apiVersion"],
        "kind": "TaskResult",
        "metadata": {"name": "part-0", "ownerReferences": [owner]},
        "data": base64.b64encode(gzip.compress(content)).decode(),
    }
    operator = service_account("goldcrest-operator")
    assert stage.call(operator, "POST", f"{place}/taskresults", result).status == 201
    record = {
        "names": ["part-0"],
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "asOf": "2030-01-02T03:04:05Z",
    }
    stage.write_status(made, {"phase": "Succeeded", "endTime": "2030-01-02T03:04:05Z", "result": record})
    async with asyncio.timeout(10):
        while True:
            async with client.get(f"/tasks/{task_id}") as response:
                task = (await response.json())["task"]
            if task["status"] == "200":
                break
            await asyncio.sleep(0.05)
    assert len(task["data"]) == 1000
    async with asyncio.timeout(10):
        while "hpc.goldcrest.dev/read-at" not in stage.must("GET", path)["metadata"]["annotations"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
