"""A stolen operator, and strangers: what delegation does not sign, and what its audit log says of it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest

from component.admission.stage import JOB, SYSTEM
from component.attacks.attack_stage import MERGE, OPERATOR, AttackStage, path_of, remove
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, post, rest_job
from goldcrest.authorised import authorised_commands
from goldcrest.authority import ByResource, ByToken
from goldcrest.commands import Account, Cancel, Command, Describe, Find, Hold, Queue, Release, StatFile, Submit, WhoAmI
from goldcrest.errors import Denied, GoldcrestError, InvalidInput, NotFound
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec

pytestmark = pytest.mark.component

ANOTHER = "goldcrest:00000000:" + "0" * 32
SUBMITTED = {"status": {"phase": "Queued", "jobId": "4711"}}


def made(stage: AttackStage, **spec: Any) -> dict[str, Any]:
    answer = stage.create_job("alice", {**JOB, "spec": {**JOB["spec"], **spec}}, namespace="team")
    assert answer.status == 201, answer
    return answer.body


def with_status(stage: AttackStage, raw: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """The status as a stolen operator writes it: it may."""
    answer = stage.call(OPERATOR, "PATCH", path_of(raw) + "/status", status, content_type=MERGE)
    assert answer.status == 200, answer
    return answer.body


def following(stage: AttackStage, raw: dict[str, Any]) -> dict[type[Command], Command]:
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    system = parse_model(SystemSpec, SYSTEM["spec"], what="spec")
    return {type(c): c for c in authorised_commands(JobResource.of(raw), system, cluster_id=cluster_id)}


async def asked(
    stage: AttackStage, command: Command, basis: ByResource | ByToken, *, user: str = "alice", system: str = "cluster"
) -> bytes:
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        return await operator.command_certificate(
            command, public_key=PUBLIC_KEY, system=system, user=user, sid=SID, basis=basis, trace=TRACE
        )


async def refused(
    stage: AttackStage,
    command: Command,
    basis: ByResource | ByToken,
    words: str,
    error: type[GoldcrestError] = Denied,
    **more: str,
) -> None:
    """No certificate; the caller reads why, and so does whoever reads the audit log."""
    with pytest.raises(error, match=words):
        await asked(stage, command, basis, **more)
    line = stage.audited(words)
    assert (line["caller"], line["operation"], line["trace_id"]) == (OPERATOR, command.op, TRACE)
    if isinstance(basis, ByResource):
        assert (line["name"], line["origin"]) == (basis.name, basis.uid)


async def test_resource_that_does_not_exist(stage: AttackStage) -> None:
    """Neither a name that never was, nor a Job that was deleted."""
    raw = made(stage)
    find = following(stage, raw)[Find]
    await asked(stage, find, of(raw))
    await refused(stage, find, ByResource("Job", "team", "never-was", raw["metadata"]["uid"]), "not found", NotFound)
    remove(stage, raw)
    await refused(stage, find, of(raw), "not found", NotFound)


async def test_resource_of_another_uid(stage: AttackStage) -> None:
    """A Job made again under the same name is another one: the old one's commands are not signed."""
    body = {**JOB, "metadata": {"name": "again-" + secrets.token_hex(4)}}
    first = stage.create_job("alice", body, namespace="team").body
    find = following(stage, first)[Find]
    remove(stage, first)
    second = stage.create_job("alice", body, namespace="team").body
    await refused(stage, find, of(first), "is another one now", NotFound)
    await refused(stage, find, of(second), "does not follow from gjob")
    await asked(stage, following(stage, second)[Find], of(second))


async def test_resource_in_another_state(stage: AttackStage) -> None:
    """Nothing is submitted that is suspended, cancelled, deleted, submitted already or over."""
    for spec in ({"suspend": True}, {"cancel": True}):
        raw = made(stage)
        submit = following(stage, raw)[Submit]
        assert stage.patch_job("alice", "team", raw["metadata"]["name"], {"spec": spec}).status == 200
        await refused(stage, submit, of(raw), "in its present state")
    for status in (SUBMITTED, {"status": {"phase": "Succeeded"}}, {"status": {"phase": "Failed", "jobId": "7"}}):
        raw = made(stage)
        submit = following(stage, raw)[Submit]
        with_status(stage, raw, status)
        await refused(stage, submit, of(raw), "in its present state")
    raw = made(stage)
    submit = following(stage, raw)[Submit]
    stage.must("DELETE", path_of(raw))
    await refused(stage, submit, of(raw), "in its present state")


async def test_control_in_another_state(stage: AttackStage) -> None:
    """Nothing is held, released, looked for or asked of before there is a job, or after the end; each only as the Job says now."""
    raw = made(stage)
    token = following(stage, raw)[Find]
    assert isinstance(token, Find)
    release, hold, cancel = Release(token.token, "4711"), Hold(token.token, "4711"), Cancel(token.token)
    for command in (release, hold, cancel, Cancel(token.token, keep=("4711",)), Queue("own"), Describe(("4711",))):
        await refused(stage, command, of(raw), "does not follow from gjob")
    raw = with_status(stage, raw, SUBMITTED)
    await asked(stage, release, of(raw))
    for command in (hold, cancel, token):
        await refused(stage, command, of(raw), "does not follow from gjob")
    assert stage.patch_job("alice", "team", raw["metadata"]["name"], {"spec": {"suspend": True}}).status == 200
    await asked(stage, hold, of(raw))
    await refused(stage, release, of(raw), "does not follow from gjob")
    with_status(stage, raw, {"status": {"phase": "Succeeded"}})
    for command in (hold, release, cancel, token, Queue("own"), Account("own", ("4711",))):
        await refused(stage, command, of(raw), "does not follow from gjob")
    with_status(stage, raw, {"status": {"phase": "Failed", "jobId": None}})
    await refused(stage, token, of(raw), "nothing follows from gjob")


async def test_deleted_and_left_running(stage: AttackStage) -> None:
    """What its user wants to be left running is not cancelled by whoever holds the operator."""
    raw = with_status(stage, made(stage, deletionPolicy="Orphan"), {"status": {"phase": "Running", "jobId": "4711"}})
    release = following(stage, raw)[Release]
    assert isinstance(release, Release)
    stage.must("DELETE", path_of(raw))
    await refused(stage, Cancel(release.token), of(raw), "does not follow from gjob")


async def test_past_what_the_node_remembers(stage: AttackStage) -> None:
    """An sbatch that the node is not to check follows only behind a stored intent, and not from what is not wanted."""
    raw = made(stage)
    submit = following(stage, raw)[Submit]
    assert isinstance(submit, Submit)
    again = replace(submit, again=True)
    await refused(stage, again, of(raw), "does not follow from gjob")
    intent = {"status": {"phase": "Submitting", "submission": {"token": ANOTHER, "time": "2030-01-01T00:00:00Z"}}}
    raw = with_status(stage, raw, intent)
    await asked(stage, again, of(raw))
    await refused(stage, replace(again, token=ANOTHER), of(raw), "does not follow from gjob")
    await refused(stage, Find(ANOTHER), of(raw), "does not follow from gjob")
    assert stage.patch_job("alice", "team", raw["metadata"]["name"], {"spec": {"cancel": True}}).status == 200
    await refused(stage, again, of(raw), "does not follow from gjob")


async def test_command_that_does_not_follow(stage: AttackStage) -> None:
    """Other bytes, another folder, another user's token, no hold, file operations: not from this Job."""
    raw, other = made(stage), made(stage, jobName="other")
    submit = following(stage, raw)[Submit]
    assert isinstance(submit, Submit)
    for command in (
        replace(submit, hold=False),
        replace(submit, work_directory="/home/alice/.ssh"),
        replace(submit, script_name="other.sh"),
        replace(submit, options=replace(submit.options, account="rich")),
        replace(submit, content=replace(submit.content, sha256="0" * 64)),
        following(stage, other)[Submit],
        following(stage, other)[Find],
        StatFile("/home/alice"),
        WhoAmI(),
    ):
        await refused(stage, command, of(raw), "does not follow from gjob")


async def test_for_somebody_else(stage: AttackStage) -> None:
    """Not as another user, and not on another system, than the Job says."""
    raw = made(stage)
    find = following(stage, raw)[Find]
    await refused(stage, find, of(raw), "is of alice on cluster, not of bob on cluster", user="bob")
    await refused(stage, find, of(raw), "is of alice on cluster, not of alice on other", system="other")
    for user, system in (("bob", "cluster"), ("root", "cluster"), ("alice", "other")):
        words = f"is of alice on cluster, not of {user} on {system}"
        async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
            with pytest.raises(Denied, match=words):
                await operator.session_certificate(
                    public_key=PUBLIC_KEY, system=system, user=user, basis=of(raw), trace=TRACE
                )
        assert stage.audited(words)["operation"] == "session"


async def test_somebody_elses_job_id(stage: AttackStage) -> None:
    """Ids other than the stored one do not follow; and with whatever id it stores, a change names this Job's token."""
    raw = with_status(stage, made(stage), SUBMITTED)
    token = following(stage, raw)[Release]
    assert isinstance(token, Release)
    for command in (
        Release(token.token, "1"),
        Hold(token.token, "1"),
        Release(ANOTHER, "4711"),
        Cancel(ANOTHER),
        Cancel(token.token),
        Cancel(token.token, keep=("1",)),
        Describe(("1",)),
        Describe(("4711", "1")),
        Account("all", ("4711",)),
        Account("own", ("1",)),
    ):
        await refused(stage, command, of(raw), "does not follow from gjob")
    for job_id in ("--all", "4711 1", "1; id"):
        raw = with_status(stage, raw, {"status": {"jobId": job_id}})
        await refused(stage, Cancel(token.token), of(raw), "is not a job id", InvalidInput)
    moved = with_status(stage, raw, {"status": {"jobId": "1"}})
    for command in following(stage, moved).values():
        assert getattr(command, "token", token.token) == token.token


async def test_token_and_grants(stage: AttackStage) -> None:
    """A user's token in the operator's hands is worth nothing: neither a certificate, nor a grant."""
    token = stage.issuer.token("alice")
    await refused(stage, StatFile("/home/alice"), ByToken(token), "never with a token")
    raw = await rest_job(stage, secrets.token_hex(16))
    meta = {"kind": "Job", "namespace": raw["metadata"]["namespace"], "name": raw["metadata"]["name"], "trace": TRACE}
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        with pytest.raises(Denied, match="for the gateway only"):
            await operator.grant(token=token, spec=JOB["spec"], **meta)
        assert stage.audited("for the gateway only")["audit"] == "grant"
        with pytest.raises(Denied, match="for the gateway only"):
            uid = raw["metadata"]["uid"]
            await operator.action_grant(token=token, uid=uid, field="cancel", value=True, **meta)
        assert stage.audited("for the gateway only")["audit"] == "action-grant"
    assert token not in stage.audit_file.read_text()


async def test_gateway_with_a_resource(stage: AttackStage) -> None:
    """A stolen gateway cannot borrow the operator's way, with the Lease's name or without."""
    raw = made(stage)
    async with authority(stage, "goldcrest-api", holder="operator-0") as gateway:
        with pytest.raises(Denied, match="never with a resource"):
            await gateway.command_certificate(
                following(stage, raw)[Submit],
                public_key=PUBLIC_KEY,
                system="cluster",
                user="alice",
                sid=SID,
                basis=of(raw),
                trace=TRACE,
            )
    assert stage.audited("never with a resource")["operation"] == "slurm.submit"
    async with authority(stage, "goldcrest-api") as gateway:
        with pytest.raises(Denied, match=r"slurm\.submit is never signed for the gateway"):
            await gateway.command_certificate(
                following(stage, raw)[Submit],
                public_key=PUBLIC_KEY,
                system="cluster",
                user="alice",
                sid=SID,
                basis=ByToken(stage.issuer.token("alice")),
                trace=TRACE,
            )
    assert stage.audited("never signed for the gateway")["requester"] == "alice"


async def test_operator_without_the_lease(stage: AttackStage) -> None:
    """An operator that does not hold the Lease, or says nothing of it."""
    raw = made(stage)
    find = following(stage, raw)[Find]
    for holder in ("", "operator-1"):
        async with authority(stage, "goldcrest-operator", holder=holder) as operator:
            with pytest.raises(GoldcrestError, match="does not hold the Lease"):
                await operator.command_certificate(
                    find, public_key=PUBLIC_KEY, system="cluster", user="alice", sid=SID, basis=of(raw), trace=TRACE
                )
        stage.audited("does not hold the Lease")


async def test_unknown_clients(stage: AttackStage) -> None:
    """People, other service accounts, ours of the same name elsewhere, other audiences: nothing, and a line in the log."""
    stage.namespace("elsewhere")
    path = "/api/v1/namespaces/elsewhere/serviceaccounts"
    stage.must("POST", path, {"metadata": {"name": "goldcrest-operator"}})
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    request = {**body, "spec": {"audiences": ["goldcrest-delegation"]}}
    namesake = stage.must("POST", f"{path}/goldcrest-operator/token", request)["status"]["token"]
    strangers = {
        "": (401, "Authorization: Bearer"),
        "nonsense": (401, "is not valid for the audience"),
        stage.issuer.token("alice"): (401, "is not valid for the audience"),
        stage._tokens["root"]: (401, "is not valid for the audience"),
        stage.caller_token("goldcrest-operator", audience="kubernetes"): (401, "is not valid for the audience"),
        stage.caller_token("goldcrest-admission"): (403, "is not served by delegation"),
        namesake: (403, "system:serviceaccount:elsewhere:goldcrest-operator is not served by delegation"),
    }
    before = len(stage.audit())
    for token, (expected, words) in strangers.items():
        for url in ("/v1/certificates", "/v1/grants", "/v1/action-grants"):
            status, answer = await post(stage, url, {"requests": []}, token=token)
            assert (status, words in answer["message"]) == (expected, True), answer
            line = stage.events("delegation", "delegation.caller.refused")[-1]
            assert (line["path"], line["code"], line["message"]) == (url, answer["code"], answer["message"])
        assert not token or token not in stage.log("delegation")
    assert len(stage.audit()) == before
