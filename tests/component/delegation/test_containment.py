"""What is signed for the Jobs of somebody who is blocked: what makes less run of them, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import API, JOB, SYSTEM, Stage
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, another_delegation, authority, of, rest_job
from goldcrest.authorised import authorised_commands, containment_commands
from goldcrest.authority import Authority, ByResource, ByToken
from goldcrest.commands import Cancel, Command, Describe, Find, Hold, Queue, Release, StatFile, Submit, WhoAmI
from goldcrest.errors import Blocked, Denied, LeaseNotHeld, NotFound
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import API_VERSION

pytestmark = pytest.mark.component

BLOCKED = "alice is blocked by the site"


def path_of(raw: dict[str, Any]) -> str:
    return f"{API}/namespaces/{raw['metadata']['namespace']}/jobs/{raw['metadata']['name']}"


def submitted(stage: Stage, raw: dict[str, Any]) -> dict[str, Any]:
    """The Job as it waits in the queue."""
    return stage.write_status(raw, {"phase": "Queued", "jobId": "4711"})


def made(stage: Stage) -> dict[str, Any]:
    answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 201, answer
    return answer.body


class Asking:
    """The operator asks for one Job."""

    def __init__(self, operator: Authority, basis: ByResource | ByToken, *, user: str = "alice") -> None:
        self._ask: dict[str, Any] = {
            "public_key": PUBLIC_KEY,
            "system": "cluster",
            "user": user,
            "basis": basis,
            "trace": TRACE,
        }
        self._operator = operator

    async def session(self) -> bytes:
        return await self._operator.session_certificate(**self._ask)

    async def command(self, command: Command) -> bytes:
        return await self._operator.command_certificate(command, sid=SID, **self._ask)


@asynccontextmanager
async def blocking(stage: Stage, tmp_path: Path, line: str, *, holder: str = "operator-0") -> AsyncIterator[Authority]:
    """A delegation with this line in its block file, as the operator reaches it."""
    blocked = tmp_path / f"blocked-{secrets.token_hex(4)}"
    blocked.touch(mode=0o600)
    blocked.write_text(line + "\n")
    with another_delegation(stage, BLOCK_FILE=str(blocked)) as path:
        async with authority(stage, "goldcrest-operator", holder=holder, socket=path) as operator:
            yield operator


def token_of(stage: Stage, raw: dict[str, Any]) -> str:
    [hold] = [command for command in containment(stage, submitted(stage, raw)) if isinstance(command, Hold)]
    return hold.token


def containment(stage: Stage, raw: dict[str, Any]) -> tuple[Command, ...]:
    return containment_commands(JobResource.of(raw), cluster_id=_cluster_id(stage))


def usual(stage: Stage, raw: dict[str, Any]) -> tuple[Command, ...]:
    system = parse_model(SystemSpec, SYSTEM["spec"], what="spec")
    return authorised_commands(JobResource.of(raw), system, cluster_id=_cluster_id(stage))


def _cluster_id(stage: Stage) -> str:
    return str(stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"])


@pytest.mark.parametrize("line", ["user: alice", "requester: alice"])
@pytest.mark.parametrize("door", ["kubectl", "REST"])
async def test_only_what_makes_less_run(stage: Stage, tmp_path: Path, line: str, door: str) -> None:
    """Of a job that waits in the queue: a session, hold by token and id, the sweep of doubles. All that would be signed else
    (release, queue, describe, accounting) is Blocked, and so is every other command. The audit log tells both."""
    raw = made(stage) if door == "kubectl" else await rest_job(stage, secrets.token_hex(16))
    raw = submitted(stage, raw)
    signed = containment(stage, raw)
    assert {type(command) for command in signed} == {Hold, Cancel}
    async with blocking(stage, tmp_path, line) as operator:
        asking = Asking(operator, of(raw))
        assert await asking.session()
        for command in signed:
            assert await asking.command(command)
        lines = stage.audit()[-3:]
        assert {(line["outcome"], line["requester"], line["runAs"]) for line in lines} == {("signed", "alice", "alice")}
        assert all("only makes less run" in line["reason"] for line in lines)
        [hold] = [command for command in signed if isinstance(command, Hold)]
        others = [command for command in usual(stage, raw) if command not in signed]
        assert {type(command) for command in others} > {Release, Queue, Describe}
        for command in (
            *others,
            Find(hold.token),
            WhoAmI(),
            StatFile("/home/alice"),
            Hold(hold.token, "1"),
            Hold("goldcrest:00000000:" + "0" * 32, "4711"),
            Cancel(hold.token),
            Cancel(hold.token, keep=("1",)),
        ):
            with pytest.raises(Blocked, match=BLOCKED):
                await asking.command(command)
            last = stage.audit()[-1]
            assert (last["outcome"], last["code"], last["serial"]) == ("refused", "Blocked", "")


async def test_nothing_before_it_is_submitted(stage: Stage, tmp_path: Path) -> None:
    """A Job that waits to be submitted is neither submitted nor looked for, and there is no session for it."""
    raw = made(stage)
    submits = [command for command in usual(stage, raw) if isinstance(command, Submit)]
    async with blocking(stage, tmp_path, "user: alice") as operator:
        asking = Asking(operator, of(raw))
        with pytest.raises(Blocked, match=BLOCKED):
            await asking.session()
        for command in (*submits, Find(submits[0].token), Cancel(submits[0].token)):
            with pytest.raises(Blocked, match=BLOCKED):
                await asking.command(command)
        assert stage.audit()[-1]["reason"] == f"Unix user {BLOCKED}"


async def test_cancelling(stage: Stage, tmp_path: Path) -> None:
    """Whoever asks for the end of a blocked user's Job gets it: by the field, and by deleting."""
    raw = made(stage)
    token = token_of(stage, raw)
    name = raw["metadata"]["name"]
    assert stage.patch_job("alice", "team", name, {"spec": {"cancel": True}}).status == 200
    async with blocking(stage, tmp_path, "user: alice") as operator:
        assert await Asking(operator, of(raw)).command(Cancel(token))
    deleted = made(stage)
    token = token_of(stage, deleted)
    assert stage.call("root", "DELETE", path_of(deleted)).status == 200
    async with blocking(stage, tmp_path, "user: alice") as operator:
        assert await Asking(operator, of(deleted)).command(Cancel(token))


async def test_who_lost_the_account_too(stage: Stage, tmp_path: Path) -> None:
    """Somebody who left is blocked and has no rights any more, in Kubernetes and in policy: the job is held nevertheless."""
    stage.namespace("left")
    stage.may("alice", "left", accounts=["cluster:alice"])
    answer = stage.create_job("alice", JOB, namespace="left")
    assert answer.status == 201, answer
    raw = submitted(stage, answer.body)
    stage.must("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/left/rolebindings/alice-in-left")
    [hold] = [command for command in containment(stage, raw) if isinstance(command, Hold)]
    with stage.policy_data("systems/cluster/users", []):
        async with blocking(stage, tmp_path, "user: alice") as operator:
            assert await Asking(operator, of(raw)).command(hold)
        async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
            with pytest.raises(Denied, match="may not use"):
                await Asking(operator, of(raw)).command(Release(hold.token, hold.job_id))


async def test_the_other_checks_stay(stage: Stage, tmp_path: Path) -> None:
    """Containment is no way around the rest of T8: grant or stamp, uid, user and system, the Lease, a resource at all."""
    raw = submitted(stage, made(stage))
    [hold] = [command for command in containment(stage, raw) if isinstance(command, Hold)]
    basis = of(raw)
    async with blocking(stage, tmp_path, "user: alice") as operator:
        with pytest.raises(NotFound, match="another one now"):
            await Asking(operator, ByResource("Job", basis.namespace, basis.name, str(secrets.token_hex(16)))).command(
                hold
            )
        with pytest.raises(Denied, match="is of alice on cluster, not of bob"):
            await Asking(operator, basis, user="bob").command(hold)
        with stage.without_admission():
            forged = {
                **JOB,
                "apiVersion": API_VERSION,
                "spec": {**JOB["spec"], "requestedBy": {"via": "Kubernetes", "username": "alice"}},
            }
            bare = stage.must("POST", f"{API}/namespaces/team/jobs", forged)
        with pytest.raises(Denied, match="has no stamp"):
            await Asking(operator, of(submitted(stage, bare))).session()
    async with blocking(stage, tmp_path, "user: alice", holder="operator-1") as second:
        with pytest.raises(LeaseNotHeld):
            await Asking(second, basis).command(hold)


async def test_not_for_the_gateway(stage: Stage, tmp_path: Path) -> None:
    """A blocked REST caller gets nothing at all, and the gateway cannot borrow the operator's way."""
    raw = submitted(stage, made(stage))
    [hold] = [command for command in containment(stage, raw) if isinstance(command, Hold)]
    blocked = tmp_path / "blocked"
    blocked.touch(mode=0o600)
    blocked.write_text("user: alice\n")
    with another_delegation(stage, BLOCK_FILE=str(blocked)) as path:
        async with authority(stage, "goldcrest-api", socket=path) as gateway:
            by_token = Asking(gateway, ByToken(stage.issuer.token("alice")))
            for ask in (by_token.session(), by_token.command(hold), by_token.command(WhoAmI())):
                with pytest.raises(Blocked, match=BLOCKED):
                    await ask
            with pytest.raises(Denied, match="never with a resource"):
                await Asking(gateway, of(raw)).command(hold)
