"""Somebody is blocked while all processes run: what the site sees of it, from the line in the file to the login node."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.admission.stage import API, free_port, job, listens
from component.attacks.attack_stage import MERGE, OPERATOR, AttackStage
from component.delegation.callers import PUBLIC_KEY, TRACE, authority
from component.operator.fake_slurm import FakeSlurm
from component.operator.memory_kube import MemoryKube
from component.ssh.login_node import LoginNode, Request, ScriptedFilter
from goldcrest.authority import ByToken
from goldcrest.commands import Payload
from goldcrest.commands.base import command_from
from goldcrest.errors import Blocked

pytestmark = pytest.mark.component

SECONDS = 60.0  # patience; what is measured is printed
CONTENT = b"hello\n"


class BlockableStage(AttackStage):
    """With a block file, and an operator."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.block_file = folder / "blocked"
        self.block_file.touch(mode=0o600)

    def _delegation_settings(self) -> dict[str, str]:
        return {**super()._delegation_settings(), "GOLDCREST_DELEGATION_BLOCK_FILE": str(self.block_file)}

    def start_operator(self) -> None:
        """In the place of the stage's own holder of the Lease."""
        self.must("DELETE", "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases/goldcrest-operator-default")
        (self.folder / "operator-token").write_text(self.caller_token("goldcrest-operator"))
        health, metrics = free_port(), free_port()
        self._spawn(
            "operator",
            [str(Path(sys.executable).with_name("goldcrest-operator"))],
            lambda: listens(health),
            {
                "GOLDCREST_OPERATOR_KUBECONFIG": str(self.kubeconfig(OPERATOR)),
                "GOLDCREST_OPERATOR_DELEGATION__URL": f"unix:{self.delegation_socket}",
                "GOLDCREST_OPERATOR_DELEGATION__TOKEN_FILE": str(self.folder / "operator-token"),
                "GOLDCREST_OPERATOR_LISTEN_HOST": "127.0.0.1",
                "GOLDCREST_OPERATOR_HEALTH_PORT": str(health),
                "GOLDCREST_OPERATOR_METRICS_PORT": str(metrics),
            },
        )


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[BlockableStage]:
    """A stage of its own: its operator takes care of every Job that there is."""
    running = BlockableStage(tmp_path)
    try:
        running.start()
        running.namespace("team")
        running.may("alice", "team", accounts=["cluster:alice"])
        yield running
    finally:
        running.stop()


class CaOf:
    """The stage's CA, for the login node."""

    def __init__(self, stage: AttackStage) -> None:
        self.public_line = (stage.folder / "keys" / "ca.pub").read_text().strip()


class Cluster:
    """A login node that trusts the stage's CA, with a Slurm behind it whose jobs wait, and files of which one never ends."""

    def __init__(self) -> None:
        self.slurm = FakeSlurm(MemoryKube())
        self.slurm.frozen = True
        self.reading = asyncio.Event()

    async def serve(self, request: Request) -> None:
        asked = request.command
        match asked["op"]:
            case "fs.stat":
                times = dict.fromkeys(("atime", "mtime", "ctime"), 1_700_000_000)
                request.answer(mode=0o100644, ino=1, dev=1, nlink=1, uid=2001, gid=2001, size=len(CONTENT), **times)
            case "fs.read":
                request.data(CONTENT)
                if "slow" in asked["args"]["path"]:
                    self.reading.set()
                    return
                request.answer(size=len(CONTENT), fileSize=len(CONTENT))
            case "sys.whoami":
                request.answer(user="alice", uid=2001, gid=2001, groups=[])
            case _:
                payload = Payload(**asked["payload"]) if asked["payload"] else None
                request.answer(**self.slurm.carry_out(command_from(asked["op"], asked["args"], payload), "alice"))


@asynccontextmanager
async def login_node(stage: AttackStage, cluster: Cluster) -> AsyncIterator[LoginNode]:
    operations = ("sys.whoami", "fs.stat", "fs.read", *(f"slurm.{name}" for name in _SLURM))
    script = ScriptedFilter(cluster.serve, system="cluster", operations=operations)
    node = await LoginNode(CaOf(stage), script).start()  # type: ignore[arg-type]
    host = {"address": "127.0.0.1", "port": node.port, "hostKeys": [node.public_host_key]}
    spec = {"spec": {"hosts": [host], "scheduler": {"type": "Slurm", "observer": None}}}
    stage.must("PATCH", f"{API}/systems/cluster", spec, content_type=MERGE)
    try:
        yield node
    finally:
        await node.stop()


_SLURM = ("submit", "hold", "release", "cancel", "find", "queue", "describe", "account")


async def until(check: Callable[[], Awaitable[Any]], what: str) -> float:
    """Seconds until it came true."""
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < SECONDS, f"not within {SECONDS} s: {what}"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_everything_stops(
    stage: BlockableStage, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A line in the block file, while alice has a request under way at the gateway and a job in the queue: signing is refused, her
    sessions end at the sshd, the request is answered with the reason, and the job is held and says so. Without the line it goes on."""
    cluster = Cluster()
    async with (
        login_node(stage, cluster) as node,
        authority(stage, "goldcrest-api") as gateway,
        aiohttp.ClientSession() as rest,
    ):
        stage.start_operator()
        answer = await asyncio.to_thread(stage.create_job, "alice", job(), namespace="team")
        assert answer.status == 201, answer
        token = stage.issuer.token("alice")

        async def stored() -> dict[str, Any]:
            status: dict[str, Any] = (await asyncio.to_thread(stage.job, answer.body)).get("status", {})
            return status

        async def queued() -> bool:
            return (await stored()).get("phase") == "Queued" and not cluster.slurm.jobs[101].held

        async def view(path: str) -> tuple[int, dict[str, Any]]:
            headers = {"Authorization": f"Bearer {token}", "X-Machine-Name": "cluster"}
            url = f"http://127.0.0.1:{stage.gateway_port}/utilities/view"
            async with rest.get(url, params={"targetPath": path}, headers=headers) as response:
                return response.status, await response.json()

        await until(queued, "the job is in the queue")
        status, body = await view("/scratch/alice/file")
        assert (status, body["output"]) == (200, CONTENT.decode())
        slow = asyncio.create_task(view("/scratch/alice/slow"))
        async with asyncio.timeout(SECONDS):
            await cluster.reading.wait()
        before = set(node.connections)
        assert len(before) == 2  # the gateway's and the operator's

        async def refused() -> bool:
            try:
                await gateway.session_certificate(
                    public_key=PUBLIC_KEY, system="cluster", user="alice", basis=ByToken(token), trace=TRACE
                )
            except Blocked:
                return True
            return False

        async def ended() -> bool:
            return not before & node.connections

        async def held() -> bool:
            return cluster.slurm.jobs[101].held and (await stored())["phase"] == "Suspended"

        stage.block_file.write_text("user: alice\n")
        figures = dict(
            zip(
                ("signing refused", "sessions ended", "job held"),
                await asyncio.gather(
                    until(refused, "signing is refused"),
                    until(ended, "sessions are ended"),
                    until(held, "the job is held"),
                ),
                strict=True,
            )
        )
        status, body = await slow
        assert status in (400, 403, 404), body
        assert CONTENT.decode() not in body.get("output", "")
        shown = await stored()
        assert {c["reason"] for c in shown["conditions"]} == {"Blocked"}
        assert "Unix user alice is blocked by the site" in shown["message"]
        assert stage.events("gateway", "ssh.session.ended")[-1]["reason"] == "the site blocked this user"
        assert stage.events("operator", "blocklist.changed")[-1]["users"] == ["alice", "blocked-user"]
        assert {line["code"] for line in stage.audit() if line["outcome"] == "refused"} == {"Blocked"}

        stage.block_file.write_text("")
        cluster.slurm.frozen = False

        async def over() -> bool:
            return (await stored())["phase"] == "Succeeded"

        figures["job over after the end of the block"] = await until(over, "the job runs")
        assert list(cluster.slurm.jobs) == [101]
        for what, seconds in figures.items():
            record_property(what, round(seconds, 2))
        with capsys.disabled():
            print("", *(f"{what}: {seconds:.2f} s" for what, seconds in figures.items()), sep="\n    ")
