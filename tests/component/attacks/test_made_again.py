"""A REST Job that is deleted and made again with the same grant: the same submission, which takes effect once (T10)."""

from __future__ import annotations

import json
import os
import secrets
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from component.attacks.attack_stage import AttackStage, path_of, remove
from component.attacks.test_grants import SPEC, create
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, rest_job
from component.operator.fake_slurm import CLUSTER, Effect
from component.operator.world import NAMESPACE, Crash, Operator, World
from component.ssh_filter.node import ANSWER, ERROR, UID, Node, node_in_temporary_folder
from goldcrest.commands import Find
from goldcrest.errors import CommandFailed, NotFound
from goldcrest.wellknown import Kind, rest_name, submission_token
from goldcrest_operator.controller import Key
from goldcrest_operator.faults import Point
from goldcrest_operator.reconcile.certainty import LATE_SECONDS
from goldcrest_operator.reconcile.job import LOOK_AGAIN_SECONDS

pytestmark = pytest.mark.component

TASK = "0f" * 16
NAME = rest_name(TASK)
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


def _make(world: World, **spec: Any) -> None:
    full = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, "requestedBy": GRANTED, **spec}
    world.kube.create(Kind.JOB, NAME, full, namespace=NAMESPACE)


async def _ran_and_deleted(world: World, **scheduler: Any) -> Operator:
    """A Job that ran as job 101 and was deleted."""
    world.add_system(**scheduler)
    _make(world)
    operator = await world.operator()
    await world.until(lambda: world.phase(NAME) == "Succeeded")
    await world.delete(NAME)
    await world.until(lambda: world.job(NAME) is None)
    return operator


async def _shows_the_first_run(world: World) -> None:
    await world.until(lambda: world.phase(NAME) == "Succeeded")
    await world.quiet()
    assert [job.id for job in world.slurm.jobs.values()] == [101]
    job = world.job(NAME)
    assert job is not None
    assert job.status.job_id == "101"
    assert "Adopted" in world.events()


@pytest.mark.parametrize("fence", ["Hold", "None"])
@pytest.mark.parametrize("same_operator", [True, False])
async def test_it_does_not_run_twice(
    world: World, same_operator: bool, fence: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The Job made again shows the job that there was; Slurm has one, and it ran once. The operator's log says why."""
    first = await _ran_and_deleted(world, submitFence=fence)
    if not same_operator:
        await first.kill()
        await world.operator()
    _make(world)
    await _shows_the_first_run(world)
    (line,) = [record for record in caplog.records if record.message == "job.submitted_before"]
    assert line.levelname == "WARNING"


@pytest.mark.parametrize("point", ["after-intent", "before-submit", "after-persist"])
async def test_operator_killed_meanwhile(world: World, point: Point) -> None:
    """Whatever its operator died after, the Job made again is not submitted by the next one."""
    await (await _ran_and_deleted(world)).kill()
    killed = await world.operator(fault=point)
    _make(world)
    await world.until(lambda: killed.dead)
    await killed.kill()
    await world.operator()
    await _shows_the_first_run(world)


async def test_operator_killed_by_the_answer(world: World) -> None:
    """The operator dies when the node has said that it remembers: its successor looks before it asks, and finds it."""
    await (await _ran_and_deleted(world)).kill()

    async def dies(effect: Effect) -> dict[str, Any]:
        with pytest.raises(CommandFailed, match="begun before"):
            effect()
        raise Crash

    world.slurm.faults["slurm.submit"] = [dies]
    killed = await world.operator()
    _make(world)
    await world.until(lambda: killed.dead)
    await killed.kill()
    await world.operator()
    await _shows_the_first_run(world)


async def test_controller_has_forgotten_it(world: World) -> None:
    """Known to accounting only, and that is down: the Job waits and says for what; it shows the first run when it is back."""
    await _ran_and_deleted(world)
    world.slurm.jobs[101].in_controller = False
    world.slurm.accounting_down = True
    _make(world)
    await world.until(lambda: _reason(world) == "SchedulerUnavailable")
    await world.quiet()
    assert len(world.slurm.jobs) == 1
    world.slurm.accounting_down = False
    await _shows_the_first_run(world)


async def test_records_come_late(world: World) -> None:
    """Neither queue nor accounting shows it yet: not submitted, and said so; it shows the first run when its record comes."""
    operator = await _ran_and_deleted(world)
    ran = world.slurm.jobs.pop(101)
    _make(world)
    await world.until(lambda: (world.job(NAME).status.message or "").startswith("Not submitted again yet"))  # type: ignore[union-attr]
    await world.quiet()
    assert not world.slurm.jobs
    world.slurm.jobs[101] = ran
    world.epoch_offset = LOOK_AGAIN_SECONDS + 1
    operator.queue.add(Key(Kind.JOB, world.job(NAME).uid))  # type: ignore[union-attr]
    await _shows_the_first_run(world)


@pytest.mark.parametrize("fence", ["Hold", "None"])
async def test_a_mark_and_nothing_else(world: World, fence: str) -> None:
    """A node that died between mark and sbatch: when nothing can come any more it is submitted after all, once."""
    world.add_system(submitFence=fence)
    world.slurm.marks.add(f"/scratch/alice/goldcrest/goldcrest-{CLUSTER[:8]}-{TASK}")
    _make(world)
    operator = await world.operator()
    await world.until(lambda: "slurm.find" in world.slurm.calls)
    await world.quiet()
    assert not world.slurm.jobs
    world.epoch_offset = LATE_SECONDS + 1
    operator.queue.add(Key(Kind.JOB, world.job(NAME).uid))  # type: ignore[union-attr]
    await world.until(lambda: world.phase(NAME) == "Succeeded")
    assert [job.ran for job in world.slurm.jobs.values()] == [True]


async def test_suspended_and_resumed(world: World) -> None:
    """Made again suspended and then resumed: it shows the first run too."""
    await _ran_and_deleted(world)
    _make(world, suspend=True)
    await world.until(lambda: world.phase(NAME) == "Suspended")
    world.edit(NAME, suspend=False)
    await _shows_the_first_run(world)


async def test_first_run_still_runs(world: World) -> None:
    """Deleted with Orphan while it runs, and made again: the Job follows the job that runs."""
    world.add_system()
    world.slurm.frozen = True
    _make(world, deletionPolicy="Orphan")
    await world.operator()
    await world.until(lambda: 101 in world.slurm.jobs and not world.slurm.jobs[101].held)
    await world.delete(NAME)
    await world.until(lambda: world.job(NAME) is None)
    _make(world)
    await world.until(lambda: (job := world.job(NAME)) is not None and job.status.job_id == "101")
    world.slurm.frozen = False
    await _shows_the_first_run(world)


def _submission(node: Node, script: bytes = b"#!/bin/sh\n", **more: Any) -> tuple[str, dict[str, Any], bytes]:
    args = {
        "token": f"goldcrest:01234567:{TASK}",
        "jobDirectory": f"{node.home}/goldcrest/1",
        "workDirectory": f"{node.home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {},
        **more,
    }
    header = json.dumps({"environment": {}}).encode()
    return "slurm.submit", args, struct.pack(">I", len(header)) + header + script


def test_the_node_remembers(node: Node) -> None:
    """A second submission with the same token is not started, on another channel and after days too; the node says so, and logs it."""
    node.program("sbatch", f"echo run >> {node.scratch}/runs; echo 17")
    assert node.open().call(*_submission(node)).type == ANSWER
    mark = node.home / "goldcrest" / "1" / ".goldcrest-submitted"
    os.utime(mark, (0, 0))
    channel = node.open()
    again = channel.call(*_submission(node))
    channel.end()
    assert (node.scratch / "runs").read_text() == "run\n"
    assert again.type == ERROR
    assert (again.json["kind"], again.json["path"]) == ("repeated", str(mark))
    assert "was begun before" in again.json["message"]
    assert any(" op=slurm.submit " in line and " outcome=repeated " in line for line in node.log_lines())
    assert (
        node.open().call(*_submission(node, again=True)).type == ANSWER
    )  # signed when it is certain that there is none
    assert (node.scratch / "runs").read_text() == "run\nrun\n"


def test_at_the_same_moment(node: Node) -> None:
    """Eight channels at once: one starts sbatch, the others find its mark."""
    node.program("sbatch", f"echo run >> {node.scratch}/runs; sleep 0.2; echo 17")
    channels = [node.open() for _ in range(8)]
    requests = [channel.start(*_submission(node)) for channel in channels]
    answers = [channel.finish(request) for channel, request in zip(channels, requests, strict=True)]
    assert sorted(answer.type for answer in answers) == [ANSWER] + 7 * [ERROR]
    assert {answer.json["kind"] for answer in answers if answer.type == ERROR} == {"repeated"}
    assert (node.scratch / "runs").read_text() == "run\n"


def test_filter_killed_in_sbatch(node: Node) -> None:
    """A filter that dies with sbatch leaves its mark: the next submission is not started unasked."""
    node.program("sbatch", "kill -9 $PPID; kill -9 $$")
    channel = node.open()
    channel.start(*_submission(node))
    assert channel.read_frame() is None
    node.program("sbatch", "echo 18")
    assert node.open().fail(*_submission(node))["kind"] == "repeated"
    assert node.open().ask(*_submission(node, again=True))["stdout"] == "18\n"


def test_no_mark_without_sbatch(node: Node) -> None:
    """What fails before sbatch leaves no mark: the next one goes on as if it were the first."""
    node.policy["environment"]["PATH"] = str(node.bin)
    failed = node.open().fail(*_submission(node))
    assert (failed["name"], failed["path"]) == ("ENOENT", "sbatch")
    folder = node.home / "goldcrest" / "1"
    assert [path.name for path in folder.iterdir()] == ["job.sh"]
    node.policy["environment"]["PATH"] = f"{node.bin}:/usr/bin:/bin"
    node.program("sbatch", f"echo run >> {node.scratch}/runs; echo 17")
    node.open().ask(*_submission(node))
    assert (node.scratch / "runs").read_text() == "run\n"


def test_a_mark_that_leads_elsewhere(node: Node) -> None:
    """A link in the place of the mark is a mark, and nothing is made where it leads."""
    folder = node.home / "goldcrest" / "1"
    folder.mkdir(parents=True)
    (folder / ".goldcrest-submitted").symlink_to(node.scratch / "elsewhere")
    for made in (folder, folder.parent):
        os.chown(made, UID, UID)
    node.program("sbatch", "echo 17")
    assert node.open().fail(*_submission(node))["kind"] == "repeated"
    assert node.open().ask(*_submission(node, again=True))["stdout"] == "17\n"
    assert not (node.scratch / "elsewhere").exists()


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


def _reason(world: World) -> str | None:
    job = world.job(NAME)
    return next((item.reason for item in job.status.conditions), None) if job else None
