"""kubectl hpc logs: a job of the real API server, read through a real gateway; only the login node is a stand-in."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import API, Stage, job, service_account
from component.api.gateway import serving
from component.api.neighbours import LoginNode
from component.kubectl.plugin import Done, Plugin
from goldcrest.authority import Authority
from goldcrest.errors import SystemUnreachable
from goldcrest.identity import TokenVerifier
from goldcrest.kube import Kube
from goldcrest_api.application import create_app
from goldcrest_api.context import Context, build_context
from goldcrest_api.settings import DelegationSettings, LimitSettings, Settings, StreamSettings

pytestmark = pytest.mark.component

OUT = "/scratch/alice/slurm-77.out"
FILES = {"directory": "/scratch/alice", "script": "/s", "stdout": OUT, "stderr": "/scratch/alice/slurm-77.err"}
_NUMBERS = itertools.count()


@dataclass
class Door:
    """The gateway, the node behind it, and the plugin before it."""

    url: str
    node: LoginNode
    context: Context
    plugin: Plugin
    folder: Path
    stage: Stage

    async def logs(self, *arguments: str, environment: dict[str, str] | None = None, **more: Any) -> Done:
        environment = {"GOLDCREST_GATEWAY": self.url} if environment is None else environment
        return await asyncio.to_thread(self.plugin.run, "logs", *arguments, environment=environment, **more)

    def token_file(self, user: str, **claims: Any) -> str:
        path = self.folder / f"token-{user}"
        path.write_text(self.stage.issuer.token(user, **claims))
        return str(path)


@pytest.fixture
async def door(stage: Stage, plugin: Plugin, tmp_path: Path) -> AsyncIterator[Door]:
    account = service_account("goldcrest-api")
    reads = [
        {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["systems", "jobs"], "verbs": ["get", "list", "watch"]},
    ]
    stage.bind(account, reads, name="gateway-reads", namespace=None)
    token = tmp_path / "gateway-token"
    token.write_text(stage.caller_token("goldcrest-api"))
    settings = Settings(
        identity_file=identity_file(stage, tmp_path),
        kubeconfig=stage.kubeconfig(account),
        delegation=DelegationSettings(url=f"unix:{stage.delegation_socket}", token_file=token),
        streams=StreamSettings(patience_seconds=1),
        limits=LimitSettings(text_bytes=2**20),
    )
    node = LoginNode(files={OUT: b"one\ntwo\n", FILES["stderr"]: b"wrong\n"})
    opened: list[Context] = []

    @asynccontextmanager
    async def open_context() -> AsyncIterator[Context]:
        kube = await Kube.connect(settings.kubeconfig)
        authority = Authority(url=settings.delegation.url, ca_file=None, token_file=settings.delegation.token_file)
        verifier = TokenVerifier.from_file(settings.identity_file)
        context = build_context(settings, kube=kube, grants=authority, remote=node, verifier=verifier)
        opened.append(context)
        tasks = [asyncio.create_task(reflector.run()) for reflector in context.reflectors]
        yield context
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(kube.close(), authority.close(), verifier.close())

    async with serving(create_app(open_context, settings=settings)) as url:
        yield Door(url, node, opened[0], plugin, tmp_path, stage)


def identity_file(stage: Stage, folder: Path) -> Path:
    """The stage's issuer, and the API server's own for service accounts of namespace team (docs/identity.md)."""
    issuer = f"https://127.0.0.1:{stage.port}"
    keys = stage.must("GET", "/openid/v1/jwks")
    (folder / "kubernetes-jwks.json").write_text(json.dumps(keys))
    algorithm = keys["keys"][0]["alg"]
    path = folder / "identity.toml"
    path.write_text(
        stage.issuer.identity_file.read_text()
        + f"""
[[issuer]]
issuer = "{issuer}"
jwks_file = "{folder / "kubernetes-jwks.json"}"
audience = "goldcrest"
algorithms = ["{algorithm}"]
username_claim = "sub"
username_pattern = 'system:serviceaccount:team:(?P<username>[a-z][a-z0-9-]*)'
systems = ["cluster"]
implied_scopes = ["firecrest"]
"""
    )
    return path


async def running(stage: Stage, *, user: str = "alice", namespace: str = "team", **status: Any) -> str:
    """Name of a job that runs."""
    name = f"logged-{next(_NUMBERS)}"

    def make() -> None:
        answer = stage.create_job(user, {**job(runAs=user), "metadata": {"name": name}}, namespace=namespace)
        assert answer.status == 201, answer
        told = {"observedGeneration": 1, "phase": "Running", "jobId": "77", "files": FILES, **status}
        stage.write_status(answer.body, told)

    await asyncio.to_thread(make)
    return name


async def test_with_an_access_token(door: Door, stage: Stage) -> None:
    """From a file or the environment: what there is, of either stream, from an offset."""
    name = await running(stage)
    file = door.token_file("alice")
    assert await door.logs(name, "--token-file", file) == Done(0, "one\ntwo\n", "")
    assert await door.logs(name, "--token-file", file, "--stderr") == Done(0, "wrong\n", "")
    by_environment = {"GOLDCREST_GATEWAY": door.url + "/v1/", "GOLDCREST_TOKEN": content(file).decode()}
    assert await door.logs(name, "--offset", "4", environment=by_environment) == Done(0, "two\n", "")


async def test_more_than_one_answer_holds(door: Door, stage: Stage) -> None:
    """All of it, though the gateway gives so much at once only."""
    name = await running(stage)
    whole = b"".join(b"%07d\n" % number for number in range(800_000))
    door.node.files[OUT] = whole
    done = await door.logs(name, "--token-file", door.token_file("alice"))
    assert done.status == 0
    assert done.out.encode() == whole
    assert len([op for op, _ in door.node.asked if op == "fs.read"]) > 1


async def test_with_a_service_account(door: Door, stage: Stage) -> None:
    """A token is made for who may make it; the gateway takes the account for the Unix user of its name."""
    name = await running(stage)

    def prepare() -> None:
        stage.call("root", "POST", "/api/v1/namespaces/team/serviceaccounts", {"metadata": {"name": "alice"}})
        rules = [
            {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["alice"], "verbs": ["create"]}
        ]
        stage.bind("alice", rules, name="token-of-alice", namespace="team")

    await asyncio.to_thread(prepare)
    assert await door.logs(name, "--service-account", "alice") == Done(0, "one\ntwo\n", "")
    environment = {"GOLDCREST_GATEWAY": door.url, "GOLDCREST_SERVICE_ACCOUNT": "team/alice"}
    assert await door.logs(name, environment=environment) == Done(0, "one\ntwo\n", "")
    done = await door.logs(name, "--service-account", "default")
    assert done.status == 1
    assert 'cannot create resource "serviceaccounts/token"' in done.err


async def test_followed_to_its_end(door: Door, stage: Stage) -> None:
    """Through a gateway that cuts the answer: each byte once."""
    name = await running(stage)
    file = door.token_file("alice")
    process = door.plugin.start("logs", name, "-f", f"--token-file={file}", environment={"GOLDCREST_GATEWAY": door.url})
    assert process.stdout is not None
    read = process.stdout.readline
    assert [await asyncio.to_thread(read) for _ in range(2)] == [b"one\n", b"two\n"]
    door.node.refusal = SystemUnreachable("away")
    await asyncio.sleep(2.5)  # longer than the gateway's patience: it cuts
    door.node.files[OUT] += b"three\n"
    door.node.refusal = None
    assert await asyncio.to_thread(read) == b"three\n"
    ended = {"phase": "Succeeded"}
    await asyncio.to_thread(stage.write_status, {"metadata": {"namespace": "team", "name": name}}, ended)
    rest, error = await asyncio.to_thread(process.communicate, None, 30)
    assert (process.returncode, rest, error) == (0, b"", b"")


async def test_reader_that_has_seen_enough(door: Door, stage: Stage) -> None:
    """`| head`: ends without a word."""
    name = await running(stage)
    door.node.files[OUT] = b"x\n" * 2_000_000
    file = door.token_file("alice")
    process = door.plugin.start("logs", name, f"--token-file={file}", environment={"GOLDCREST_GATEWAY": door.url})
    assert process.stdout is not None
    assert process.stderr is not None
    await asyncio.to_thread(process.stdout.readline)
    process.stdout.close()
    assert await asyncio.to_thread(process.wait, 30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


async def test_gateway_from_the_system(door: Door, stage: Stage) -> None:
    """An administrator's annotation says where it is, to whom cannot know."""
    name = await running(stage)
    file = door.token_file("alice")
    path, merge = f"{API}/systems/cluster", {"content_type": "application/merge-patch+json"}
    done = await door.logs(name, "--token-file", file, environment={})
    assert done.status == 1
    assert done.err == (
        "kubectl hpc: no address of the gateway is known, and output does not go through Kubernetes: give --gateway, set "
        "GOLDCREST_GATEWAY, or ask your administrator for the annotation hpc.goldcrest.dev/gateway of the gsys cluster\n"
    )

    def annotate(value: str | None) -> None:
        stage.must("PATCH", path, {"metadata": {"annotations": {"hpc.goldcrest.dev/gateway": value}}}, **merge)

    await asyncio.to_thread(annotate, door.url)
    try:
        assert (await door.logs(name, "--token-file", file, environment={})).out == "one\ntwo\n"
    finally:
        await asyncio.to_thread(annotate, None)


@pytest.mark.parametrize("url", ["http://gateway.example", "gateway.example", "ftp://127.0.0.1", "https://", "http://127.0.0.1.evil.example"])  # fmt: skip
async def test_address_that_gets_no_token(door: Door, stage: Stage, url: str) -> None:
    """A token is sent over TLS, or within this machine; nowhere else."""
    name = await running(stage)
    done = await door.logs(name, "--gateway", url, "--token-file", door.token_file("alice"))
    assert done.status == 1
    assert done.err == f"kubectl hpc: the gateway's address '{url}' must begin with https://: a token is sent there\n"


async def test_without_a_token(door: Door, stage: Stage) -> None:
    """What is missing, and how to give it; the kubeconfig's own is not sent anywhere."""
    name = await running(stage)
    done = await door.logs(name)
    assert done.status == 1
    assert done.err.startswith(
        "kubectl hpc: no token for the gateway is known, and your kubeconfig's is for the API server only: "
    )
    assert door.node.asked == []
    done = await door.logs(name, "--token-file", "/nowhere")
    assert "the token cannot be read" in done.err


async def test_what_the_gateway_refuses(door: Door, stage: Stage) -> None:
    """Its words: a token that has expired, one of somebody else, a file that is not there, a job without one."""
    name = await running(stage)
    done = await door.logs(name, "--token-file", door.token_file("alice", exp=1))
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(
        "kubectl hpc: the gateway does not accept the token: JWT token has expired (Bearer error="
    )
    done = await door.logs(name, "--token-file", door.token_file("bob"))
    assert done.err == (
        "kubectl hpc: Operation not permitted. Invalid task owner. The token speaks for another user than the one that the job runs as.\n"
    )
    file = door.token_file("alice")
    door.node.files.clear()
    done = await door.logs(name, "--token-file", file)
    assert done.err == f"kubectl hpc: head: cannot open '{OUT}' for reading: No such file or directory\n"
    queued = await running(stage, phase="Queued", files=None)
    done = await door.logs(queued, "--token-file", file)
    assert done.err == "kubectl hpc: the job has no stdout file yet: it is Queued\n"


async def test_gateway_that_is_away(door: Door, stage: Stage) -> None:
    """Said at once by who reads once."""
    name = await running(stage)
    done = await door.logs(name, "--gateway", "http://127.0.0.1:1", "--token-file", door.token_file("alice"))
    assert done.status == 1
    assert done.err.startswith("kubectl hpc: http://127.0.0.1:1 does not answer: ")


async def test_certificate_of_somebody_else(door: Door, stage: Stage) -> None:
    """A server that the machine's authorities do not know gets no token; with the right authority it is spoken to."""
    name = await running(stage)
    url = f"https://127.0.0.1:{stage.port}"  # the API server stands in for any server with TLS
    file = door.token_file("alice")
    done = await door.logs(name, "--gateway", url, "--token-file", file)
    assert done.err.startswith("kubectl hpc: the gateway's certificate is not accepted: ")
    done = await door.logs(name, "--gateway", url, "--token-file", file, "--ca-file", str(stage.tls.ca))
    assert done.err.startswith("kubectl hpc: the gateway does not accept the token: ")
    done = await door.logs(name, "--gateway", url, "--token-file", file, "--ca-file", "/nowhere")
    assert done.err.startswith("kubectl hpc: the certificates in /nowhere cannot be read: ")


async def test_no_token_on_the_command_line(door: Door, stage: Stage) -> None:
    """Others on the machine see no token in the list of processes."""
    name = await running(stage)
    file = door.token_file("alice")
    process = door.plugin.start("logs", name, "-f", f"--token-file={file}", environment={"GOLDCREST_GATEWAY": door.url})
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    assert content(file) not in content(f"/proc/{process.pid}/cmdline")
    process.send_signal(2)
    assert await asyncio.to_thread(process.wait, 30) == 130
    process.communicate()


def content(path: str) -> bytes:
    return Path(path).read_bytes()
