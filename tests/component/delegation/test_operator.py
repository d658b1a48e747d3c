from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import API, JOB, SYSTEM, Stage
from component.delegation.callers import (
    PUBLIC_KEY,
    SID,
    TRACE,
    another_delegation,
    authority,
    of,
    rest_job,
    shown,
    signed_command,
)
from goldcrest.authorised import authorised_commands
from goldcrest.authority import ByResource, ByToken
from goldcrest.commands import (
    Account,
    Cancel,
    Command,
    Find,
    Hold,
    ListReservations,
    Queue,
    ReadFile,
    Release,
    StatFile,
    Submit,
    WhoAmI,
)
from goldcrest.errors import Denied, LeaseNotHeld, NotFound
from goldcrest.identity.keyfiles import make_ed25519
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec

pytestmark = pytest.mark.component


async def certificate(
    stage: Stage,
    command: Command,
    basis: ByResource | ByToken,
    *,
    user: str = "alice",
    system: str = "cluster",
    holder: str = "operator-0",
) -> bytes:
    async with authority(stage, "goldcrest-operator", holder=holder) as operator:
        return await operator.command_certificate(
            command, public_key=PUBLIC_KEY, system=system, user=user, sid=SID, basis=basis, trace=TRACE
        )


def commands_of(stage: Stage, raw: dict[str, Any]) -> dict[type[Command], Command]:
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    system = parse_model(SystemSpec, SYSTEM["spec"], what="spec")
    return {type(c): c for c in authorised_commands(JobResource.of(raw), system, cluster_id=cluster_id)}


def read(stage: Stage, raw: dict[str, Any]) -> dict[str, Any]:
    return stage.must("GET", path_of(raw))


def path_of(raw: dict[str, Any]) -> str:
    return f"{API}/namespaces/{raw['metadata']['namespace']}/jobs/{raw['metadata']['name']}"


def submitted(stage: Stage, raw: dict[str, Any]) -> dict[str, Any]:
    """The Job with a job id in its status."""
    return stage.write_status(raw, {"phase": "Queued", "jobId": "4711"})


@pytest.fixture
def job(stage: Stage) -> dict[str, Any]:
    """A Job of alice, made by kubectl."""
    answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 201, answer
    return answer.body


async def test_submit_for_kubectl(stage: Stage, job: dict[str, Any], tmp_path: Path) -> None:
    """The submission that the spec means is signed; key id and audit line name the requester and the resource."""
    submit = commands_of(stage, job)[Submit]
    facts = shown(await certificate(stage, submit, of(job)), tmp_path)
    assert facts["principals"] == "alice"
    assert facts["Key ID"].strip('"') == f"goldcrest/alice/{job['metadata']['uid']}/{TRACE}"
    assert signed_command(facts)["op"] == "slurm.submit"
    line = next(line for line in stage.audit() if line["serial"] == facts["Serial"])
    assert (line["name"], line["namespace"], line["requester"]) == (job["metadata"]["name"], "team", "alice")


async def test_submit_for_rest(stage: Stage) -> None:
    """A Job made through REST is submitted on its stored grant; its token is the task id."""
    task_id = secrets.token_hex(16)
    made = await rest_job(stage, task_id)
    submit = commands_of(stage, made)[Submit]
    assert isinstance(submit, Submit)
    assert submit.token.endswith(task_id)
    await certificate(stage, submit, of(made))


async def test_a_new_grant_key(stage: Stage) -> None:
    """Jobs that were made with the grant key of before are still submitted while its public half is kept, and not without."""
    made = await rest_job(stage, secrets.token_hex(16))
    find = commands_of(stage, made)[Find]
    key = stage.folder / "keys" / "another-grant"
    make_ed25519(key)
    former = json.dumps([str(stage.folder / "keys" / "grant.pub")])
    for settings, refused in (({"FORMER_GRANT_KEY_FILES": former}, False), ({}, True)):
        with another_delegation(stage, GRANT_KEY_FILE=str(key), **settings) as path:
            async with authority(stage, "goldcrest-operator", holder="operator-0", socket=path) as operator:
                ask: dict[str, Any] = {"public_key": PUBLIC_KEY, "system": "cluster", "user": "alice", "sid": SID}
                if refused:
                    with pytest.raises(Denied, match=r"not a goldcrest-grant\+jwt of a known key"):
                        await operator.command_certificate(find, basis=of(made), trace=TRACE, **ask)
                else:
                    assert await operator.command_certificate(find, basis=of(made), trace=TRACE, **ask)


async def test_a_session_for_a_job(stage: Stage, job: dict[str, Any]) -> None:
    """A connection may be opened as the Job's user, and as nobody else."""
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        ask: dict[str, Any] = {"public_key": PUBLIC_KEY, "system": "cluster", "basis": of(job), "trace": TRACE}
        await operator.session_certificate(user="alice", **ask)
        with pytest.raises(Denied, match="is of alice on cluster, not of bob"):
            await operator.session_certificate(user="bob", **ask)


async def test_what_does_not_follow(stage: Stage, job: dict[str, Any]) -> None:
    """Other bytes, other options, another token, another operation: none of it follows from the Job."""
    submit = commands_of(stage, job)[Submit]
    assert isinstance(submit, Submit)
    other = "goldcrest:00000000:" + "0" * 32
    for command in (
        replace(submit, hold=False),
        replace(submit, token=other),
        replace(submit, work_directory="/home/bob"),
        Find(other),
        Cancel(submit.token),
        Release(submit.token, "4711"),
        WhoAmI(),
        Queue("all"),
    ):
        with pytest.raises(Denied, match="does not follow from gjob"):
            await certificate(stage, command, of(job))


async def test_after_submission(stage: Stage, job: dict[str, Any]) -> None:
    """A submitted Job is released or held by its id, and never submitted again."""
    submit = commands_of(stage, job)[Submit]
    raw = submitted(stage, job)
    follow = commands_of(stage, raw)
    await certificate(stage, follow[Release], of(raw))
    assert isinstance(submit, Submit)
    for command in (submit, Find(submit.token), Hold(submit.token, "4711"), Release(submit.token, "1")):
        with pytest.raises(Denied, match="does not follow"):
            await certificate(stage, command, of(raw))


async def test_suspended_and_cancelled(stage: Stage, job: dict[str, Any]) -> None:
    """Neither a suspended nor a cancelled Job is submitted."""
    submit = commands_of(stage, job)[Submit]
    assert stage.patch_job("alice", "team", job["metadata"]["name"], {"spec": {"suspend": True}}).status == 200
    with pytest.raises(Denied, match="does not follow"):
        await certificate(stage, submit, of(job))
    patch = {"spec": {"suspend": False, "cancel": True}}
    assert stage.patch_job("alice", "team", job["metadata"]["name"], patch).status == 200
    with pytest.raises(Denied, match="does not follow"):
        await certificate(stage, submit, of(job))
    await certificate(stage, commands_of(stage, read(stage, job))[Cancel], of(job))


async def test_another_resource(stage: Stage, job: dict[str, Any]) -> None:
    """A uid that is not the stored one, or a name that is not there, gets nothing."""
    find = commands_of(stage, job)[Find]
    basis = of(job)
    with pytest.raises(NotFound, match="another one now"):
        await certificate(stage, find, ByResource("Job", "team", basis.name, "0" * 8 + basis.uid[8:]))
    with pytest.raises(NotFound):
        await certificate(stage, find, ByResource("Job", "team", "nothing-there", basis.uid))


async def test_rights_that_were_taken_away(stage: Stage) -> None:
    """When the requester loses the account, nothing more is signed; what was submitted can still be cleaned up."""
    stage.namespace("passing")
    stage.may("alice", "passing", accounts=["cluster:alice"], name="passing")
    made = stage.create_job("alice", JOB, namespace="passing").body
    find = commands_of(stage, made)[Find]
    await certificate(stage, find, of(made))
    raw = submitted(stage, made)
    stage.must("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/place-passing")
    with pytest.raises(Denied, match="namespace passing may not use"):
        await certificate(stage, commands_of(stage, raw)[Release], of(raw))
    stage.must("DELETE", path_of(made))
    raw = read(stage, made)
    cancel = commands_of(stage, raw)[Cancel]
    assert isinstance(cancel, Cancel)
    await certificate(stage, cancel, of(raw))
    with pytest.raises(Denied, match="does not follow"):
        await certificate(stage, Release(cancel.token, "4711"), of(raw))


async def test_a_job_made_without_admission(stage: Stage) -> None:
    """While the webhook configuration is gone Jobs can be made, but nothing is signed for them, stamp copied or not."""
    real = stage.create_job("alice", JOB, namespace="team").body
    asked = {"via": "Kubernetes", "username": "alice", "uid": "uid-alice", "groups": ["users", "system:authenticated"]}
    forged_spec = {**JOB["spec"], "requestedBy": asked, "partition": "debug"}
    stamp = real["metadata"]["annotations"]["hpc.goldcrest.dev/stamp"]
    with stage.without_admission():
        bare = stage.create_job("alice", JOB, namespace="team").body
        unstamped = stage.create_job("alice", {**JOB, "spec": forged_spec}, namespace="team").body
        copied = stage.create_job(
            "alice",
            {
                **JOB,
                "metadata": {"generateName": "x-", "annotations": {"hpc.goldcrest.dev/stamp": stamp}},
                "spec": forged_spec,
            },
            namespace="team",
        ).body
    for raw, message in ((bare, "does not say who"), (unstamped, "has no stamp"), (copied, "for another specSha256")):
        with pytest.raises(Denied, match=message):
            await certificate(stage, commands_of(stage, raw)[Find], of(raw))


async def test_only_the_holder_of_the_lease(stage: Stage, job: dict[str, Any]) -> None:
    """An operator that was replaced gets nothing more, whatever it believes; it is told to look at the Lease again."""
    find = commands_of(stage, job)[Find]
    for holder in ("", "operator-1"):
        with pytest.raises(
            LeaseNotHeld, match="does not hold the Lease goldcrest-operator-default; operator-0 does"
        ) as no:
            await certificate(stage, find, of(job), holder=holder)
        assert no.value.retryable
        assert stage.audit()[-1]["code"] == "LeaseNotHeld"
    stage.hold_lease("operator-1")
    try:
        await certificate(stage, find, of(job), holder="operator-1")
        with pytest.raises(LeaseNotHeld, match="operator-1 does"):
            await certificate(stage, find, of(job))
    finally:
        stage.hold_lease("operator-0")


async def test_the_operator_shows_a_token(stage: Stage) -> None:
    """The operator cannot use a token that it might have stolen."""
    with pytest.raises(Denied, match="never with a token"):
        await certificate(stage, WhoAmI(), ByToken(stage.issuer.token("alice")))


async def test_the_observer(stage: Stage) -> None:
    """The observer's read-only queries are signed, and nothing else, and for nobody else."""
    system = of(stage.must("GET", f"{API}/systems/cluster"))
    await certificate(stage, Queue("all"), system, user="watcher")
    await certificate(stage, Account("all", ("1",)), system, user="watcher")
    await certificate(stage, StatFile("/scratch", dereference=True), system, user="watcher")
    others = (StatFile("/home/alice", dereference=True), StatFile("/scratch"), ReadFile("/scratch"), ListReservations())
    for command in (Queue("own"), Cancel("goldcrest:00000000:" + "0" * 32), WhoAmI(), *others):
        with pytest.raises(Denied, match="not on an observer's list"):
            await certificate(stage, command, system, user="watcher")
    with pytest.raises(Denied, match="alice is not the observer"):
        await certificate(stage, Queue("all"), system, user="alice")
    with pytest.raises(Denied, match="not on an observer's list"):  # this System says nothing about that cluster
        await certificate(stage, Queue("all", cluster="second"), system, user="watcher")


async def test_no_grants_for_the_operator(stage: Stage) -> None:
    """The operator makes no resources, so it gets no grants."""
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        with pytest.raises(Denied, match="for the gateway only"):
            await operator.grant(
                token=stage.issuer.token("alice"), kind="Job", namespace="n", name="n", spec={}, trace=TRACE
            )
