"""A REST Job that is deleted and made again with the same grant: the same submission, which takes effect once (T10)."""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import AsyncIterator, Iterator

import pytest

from component.attacks.attack_stage import AttackStage, path_of, remove
from component.attacks.test_grants import SPEC, create
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, rest_job
from component.operator.world import NAMESPACE, World
from component.ssh_filter.node import ANSWER, ERROR, Node, node_in_temporary_folder
from goldcrest.commands import Find
from goldcrest.errors import NotFound
from goldcrest.wellknown import Kind, rest_name, submission_token

pytestmark = pytest.mark.component

TASK = "0f" * 16
GRANTED = {"via": "Grant", "issuer": "https://issuer.example", "subject": "0001", "username": "alice", "groups": []}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.close()


@pytest.fixture
def node() -> Iterator[Node]:
    if os.geteuid() != 0:
        pytest.skip("the filter demands files of root, and runs as another user")
    yield from node_in_temporary_folder()


def _make(world: World) -> None:
    spec = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, "requestedBy": GRANTED}
    world.kube.create(Kind.JOB, rest_name(TASK), spec, namespace=NAMESPACE)


@pytest.mark.parametrize("same_operator", [True, False])
async def test_it_does_not_run_twice(world: World, same_operator: bool) -> None:
    """The Job made again shows the job that there was; Slurm has one, and it ran once."""
    name = rest_name(TASK)
    world.add_system()
    _make(world)
    first = await world.operator()
    await world.until(lambda: world.phase(name) == "Succeeded")
    await world.delete(name)
    await world.until(lambda: world.job(name) is None)
    if not same_operator:
        await first.kill()
        await world.operator()
    _make(world)
    await world.until(lambda: world.phase(name) == "Succeeded")
    await world.quiet()
    assert sum(job.ran for job in world.slurm.jobs.values()) == 1
    job = world.job(name)
    assert job is not None
    assert job.status.job_id == "101"


def test_the_node_remembers(node: Node) -> None:
    """A second submission with the same token is not started, on another channel and after days too, and says so."""
    node.program("sbatch", f"echo run >> {node.scratch}/runs; echo 17")
    token = f"goldcrest:01234567:{TASK}"
    args = {
        "token": token,
        "jobDirectory": f"{node.home}/goldcrest/1",
        "workDirectory": f"{node.home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {},
    }
    header = json.dumps({"environment": {}}).encode()
    data = struct.pack(">I", len(header)) + header + b"#!/bin/sh\n"
    assert node.open().call("slurm.submit", args, data).type == ANSWER
    again = node.open().call("slurm.submit", args, data)
    assert (node.scratch / "runs").read_text() == "run\n"
    assert again.type == ERROR
    assert again.json["kind"] == "repeated"
    assert node.open().call("slurm.submit", {**args, "again": True}, data).type == ANSWER  # who looked for the token
    assert (node.scratch / "runs").read_text() == "run\nrun\n"


async def test_it_is_the_same_submission(stage: AttackStage) -> None:
    """Within the grant's minute the gateway can make it again: under the same token, and never with the old uid."""
    task_id = secrets.token_hex(16)
    first = await rest_job(stage, task_id)
    grant = first["metadata"]["annotations"]["hpc.goldcrest.dev/grant"]
    assert create(stage, grant, task_id).status == 409  # as long as it is there
    remove(stage, first)
    again = create(stage, grant, task_id)
    assert again.status == 201, again
    second = stage.must("GET", path_of(again.body))
    assert second["spec"] == {**SPEC, "requestedBy": first["spec"]["requestedBy"]}
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    find = Find(submission_token(cluster_id, task_id))
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:

        async def asked(raw: dict[str, object]) -> bytes:
            return await operator.command_certificate(
                find, public_key=PUBLIC_KEY, system="cluster", user="alice", sid=SID, basis=of(raw), trace=TRACE
            )

        await asked(second)
        with pytest.raises(NotFound, match="is another one now"):
            await asked(first)
    assert stage.audited("is another one now")["origin"] == first["metadata"]["uid"]
