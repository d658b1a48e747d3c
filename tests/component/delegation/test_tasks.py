"""Certificates and grants for Tasks: the one command of a live Task, and nothing else (T6, T8)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import API, SYSTEM, TASK, Stage, service_account
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, shown, signed_command
from goldcrest.authorised_tasks import authorised_task_commands
from goldcrest.authority import ByResource
from goldcrest.commands import Command, Kill, ListJobs, Nodes, Partitions
from goldcrest.errors import Blocked, Denied, NotFound
from goldcrest.models.base import parse_model
from goldcrest.models.system import SystemSpec
from goldcrest.models.task import TaskResource
from goldcrest.wellknown import namespace_of_user, rest_name

pytestmark = pytest.mark.component


def of(raw: dict[str, Any], *, uid: str = "") -> ByResource:
    meta = raw["metadata"]
    return ByResource("Task", meta["namespace"], meta["name"], uid or meta["uid"])


def only_command(raw: dict[str, Any]) -> Command:
    (command,) = authorised_task_commands(TaskResource.of(raw), parse_model(SystemSpec, SYSTEM["spec"], what="spec"))
    return command


async def certificate(stage: Stage, command: Command, basis: ByResource, *, user: str = "alice") -> bytes:
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        return await operator.command_certificate(
            command, public_key=PUBLIC_KEY, system="cluster", user=user, sid=SID, basis=basis, trace=TRACE
        )


@pytest.fixture
def task(stage: Stage) -> dict[str, Any]:
    """A Task of alice, made by kubectl."""
    answer = stage.create_task("alice", {"listJobs": {"scope": "own"}})
    assert answer.status == 201, answer
    return answer.body


async def test_its_command(stage: Stage, task: dict[str, Any], tmp_path: Path) -> None:
    """The certificate is for exactly this command; the audit log has who asked, by the Task."""
    signed = await certificate(stage, only_command(task), of(task))
    command = signed_command(shown(signed, tmp_path))
    assert (command["op"], command["user"], command["args"]["scope"]) == ("slurm.jobs", "alice", "own")
    line = stage.audit()[-1]
    assert (line["requester"], line["operation"], line["name"]) == ("alice", "slurm.jobs", task["metadata"]["name"])


@pytest.mark.parametrize("command", [ListJobs(scope="all"), Kill(job_ids=("1",)), Nodes(), Partitions()])
async def test_what_does_not_follow(stage: Stage, task: dict[str, Any], command: Command) -> None:
    """Another command, or the same with other arguments."""
    with pytest.raises(Denied, match="does not follow from gtask team/ask-"):
        await certificate(stage, command, of(task))
    assert stage.audit()[-1]["outcome"] == "refused"


async def test_another_user_and_another_uid(stage: Stage, task: dict[str, Any]) -> None:
    """Only as runAs, and only for this very Task."""
    with pytest.raises(Denied, match="is of alice on cluster, not of bob"):
        await certificate(stage, only_command(task), of(task), user="bob")
    with pytest.raises(NotFound, match="is another one now"):
        await certificate(stage, only_command(task), of(task, uid="0" * 8))


async def test_when_it_is_over(stage: Stage, task: dict[str, Any]) -> None:
    """Nothing follows from one that has ended, or is cancelled."""
    command = only_command(task)
    cancelled = stage.create_task("alice", {"nodes": {}}, cancel=True).body
    with pytest.raises(Denied, match="nothing follows from gtask"):
        await certificate(stage, Nodes(), of(cancelled))
    stage.write_status(task, {"phase": "Succeeded"})
    with pytest.raises(Denied, match="nothing follows from gtask"):
        await certificate(stage, command, of(task))


async def test_made_without_admission(stage: Stage) -> None:
    """Neither without a stamp, nor with another's copied: whatever the API server stored."""
    stamped = stage.create_task("alice", {"nodes": {}}).body
    path = f"{API}/namespaces/team/tasks"
    with stage.without_admission():
        bare = stage.must("POST", path, {**TASK, "spec": {**stamped["spec"]}})
        annotations = stamped["metadata"]["annotations"]
        spec = {**stamped["spec"], "operation": {"partitions": {}}}
        copied = stage.must(
            "POST", path, {**TASK, "metadata": {"name": "copied", "annotations": annotations}, "spec": spec}
        )
    with pytest.raises(Denied, match=r"gtask team/ask-\S+ has no stamp"):
        await certificate(stage, Nodes(), of(bare))
    with pytest.raises(Denied, match="the stamp is for another"):
        await certificate(stage, Partitions(), of(copied))


async def test_a_stamp_is_for_its_kind(stage: Stage) -> None:
    """A Job's stamp makes no Task."""
    job = stage.create_job(
        "alice",
        {**TASK, "kind": "Job", "spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}}},
        namespace="team",
    ).body
    with stage.without_admission():
        spec = {**TASK["spec"], "requestedBy": job["spec"]["requestedBy"]}
        metadata = {"name": job["metadata"]["name"], "annotations": job["metadata"]["annotations"]}
        made = stage.must("POST", f"{API}/namespaces/team/tasks", {**TASK, "metadata": metadata, "spec": spec})
    with pytest.raises(Denied, match="the stamp is for another kind"):
        await certificate(stage, only_command(made), of(made))


async def test_blocked(stage: Stage, task: dict[str, Any]) -> None:
    """Nothing of a Task makes less run: nothing is signed."""
    with stage.blocked_in_opa("alice"), pytest.raises(Blocked):
        await certificate(stage, only_command(task), of(task))


async def test_grant_for_rest(stage: Stage, tmp_path: Path) -> None:
    """The gateway gets a grant for the Task; with it admission takes it, and the operator a certificate."""
    namespace, name = stage.namespace(namespace_of_user("alice")), rest_name(secrets.token_hex(16))
    spec = {"system": "cluster", "runAs": "alice", "operation": {"cancelJob": {"jobIds": ["7"]}}}
    async with authority(stage, "goldcrest-api") as gateway:
        grant = await gateway.grant(
            token=stage.issuer.token("alice"), kind="Task", namespace=namespace, name=name, spec=spec, trace=TRACE
        )
        assert stage.audit()[-1]["operation"] == "task.cancelJob"
        with pytest.raises(Denied, match="the token is of alice, not of bob"):
            await gateway.grant(
                token=stage.issuer.token("alice"),
                kind="Task",
                namespace=namespace,
                name=name,
                spec={**spec, "runAs": "bob"},
                trace=TRACE,
            )
    resource = {**TASK, "metadata": {"name": name, "annotations": {"hpc.goldcrest.dev/grant": grant}}}
    path, user = f"{API}/namespaces/{namespace}/tasks", service_account("goldcrest-api")
    altered = {**resource, "spec": {**spec, "operation": {"cancelJob": {"jobIds": ["8"]}}}}
    answer = stage.call(user, "POST", path, altered)
    assert (answer.status, "the grant is for another specSha256" in answer.message) == (403, True)
    answer = stage.call(user, "POST", path, {**resource, "spec": spec})
    assert answer.status == 201, answer
    signed = await certificate(stage, Kill(job_ids=("7",)), of(answer.body))
    assert signed_command(shown(signed, tmp_path))["op"] == "slurm.kill"
    assert stage.audit()[-1]["requester"] == "alice"
