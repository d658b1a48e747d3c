from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest

from component.admission.stage import JOB, SYSTEM, Stage, service_account
from component.delegation.callers import (
    PUBLIC_KEY,
    SID,
    TRACE,
    another_delegation,
    authority,
    of,
    post,
    rest_job,
    shown,
    signed_command,
)
from goldcrest.authority import Authority, ByToken
from goldcrest.commands import Cancel, Queue, StatFile, WhoAmI
from goldcrest.errors import (
    DelegationUnavailable,
    Denied,
    GoldcrestError,
    NotFound,
    PolicyUnavailable,
    Unauthenticated,
)
from goldcrest.wellknown import namespace_of_user, rest_name

pytestmark = pytest.mark.component

STAT = StatFile("/scratch/alice")


async def certificate(stage: Stage, command: Any, token: str, *, user: str = "alice", system: str = "cluster") -> bytes:
    async with authority(stage, "goldcrest-api") as gateway:
        return await gateway.command_certificate(
            command, public_key=PUBLIC_KEY, system=system, user=user, sid=SID, basis=ByToken(token), trace=TRACE
        )


async def test_a_file_operation(stage: Stage, tmp_path: Path) -> None:
    """The certificate is for one user, one command, a minute; ssh-keygen reads it; the audit log has its serial."""
    facts = shown(await certificate(stage, STAT, stage.issuer.token("alice")), tmp_path)
    assert facts["principals"] == "alice"
    assert facts["Extensions"] == "(none)"
    assert facts["Type"] == "ssh-ed25519-cert-v01@openssh.com user certificate"
    assert facts["text"].count("force-command /opt/goldcrest/ssh-filter v1.") == 1
    assert signed_command(facts) == {
        "kind": "command",
        "system": "cluster",
        "user": "alice",
        "op": "fs.stat",
        "args": {"path": "/scratch/alice", "dereference": False},
        "payload": {},
        "sid": SID,
    }
    line = next(line for line in stage.audit() if line["serial"] == facts["Serial"])
    assert line["keyId"] == facts["Key ID"].strip('"')
    assert line["keyId"].startswith("goldcrest/alice/")
    assert line["keyId"].endswith(f"/{TRACE}")
    assert (line["outcome"], line["requester"], line["runAs"], line["operation"]) == (
        "signed",
        "alice",
        "alice",
        "fs.stat",
    )


async def test_a_session(stage: Stage, tmp_path: Path) -> None:
    """A session certificate says session and carries no command."""
    async with authority(stage, "goldcrest-api") as gateway:
        wire = await gateway.session_certificate(
            public_key=PUBLIC_KEY,
            system="cluster",
            user="alice",
            basis=ByToken(stage.issuer.token("alice")),
            trace=TRACE,
        )
    assert signed_command(shown(wire, tmp_path))["kind"] == "session"


async def test_networks_that_are_configured(stage: Stage, tmp_path: Path) -> None:
    """Every certificate then says from where it is of use."""
    with another_delegation(stage, SOURCE_ADDRESSES='["192.0.2.0/28"]') as path:
        async with authority(stage, "goldcrest-api", socket=path) as gateway:
            made = await gateway.session_certificate(
                public_key=PUBLIC_KEY,
                system="cluster",
                user="alice",
                basis=ByToken(stage.issuer.token("alice")),
                trace=TRACE,
            )
    assert "source-address 192.0.2.0/28" in shown(made, tmp_path)["text"]


async def test_many_at_once(stage: Stage) -> None:
    """A batch gives each request its own answer: refused ones do not spoil the others."""
    token = stage.issuer.token("alice")
    async with authority(stage, "goldcrest-api") as gateway:

        async def outcome(user: str) -> str:
            try:
                await gateway.command_certificate(
                    WhoAmI(),
                    public_key=PUBLIC_KEY,
                    system="cluster",
                    user=user,
                    sid=SID,
                    basis=ByToken(token),
                    trace=TRACE,
                )
            except Denied:
                return "denied"
            return "signed"

        outcomes = await asyncio.gather(*(outcome("alice" if number % 3 else "bob") for number in range(60)))
    assert outcomes == ["signed" if number % 3 else "denied" for number in range(60)]


@pytest.mark.parametrize(
    ("command", "more", "message"),
    [
        (Queue("own"), {}, "slurm.queue is never signed for the gateway"),
        (Cancel("goldcrest:00000000:" + "0" * 32), {}, "slurm.cancel is never signed for the gateway"),
        (STAT, {"user": "bob"}, "the token is of alice, not of bob"),
        (STAT, {"system": "other"}, "do not count for system other"),
    ],
)
async def test_what_a_token_is_not_good_for(stage: Stage, command: Any, more: dict[str, str], message: str) -> None:
    """A token speaks for its own user, on its issuer's systems, for file operations."""
    if more.get("system"):
        stage.call("root", "POST", "/apis/hpc.goldcrest.dev/v1alpha1/systems", other_system())
    with pytest.raises(Denied, match=message):
        await certificate(stage, command, stage.issuer.token("alice"), **more)


def other_system() -> dict[str, Any]:
    return {**SYSTEM, "metadata": {"name": "other"}}


async def test_unknown_system(stage: Stage) -> None:
    """A system that is not there is named, with those that are."""
    with pytest.raises(NotFound, match="there is no System 'nowhere'; known are: cluster"):
        await certificate(stage, STAT, stage.issuer.token("alice"), system="nowhere")


async def test_a_bad_token(stage: Stage) -> None:
    """An expired token is refused, and the audit log says so without holding it."""
    token = stage.issuer.token("alice", exp=1)
    with pytest.raises(GoldcrestError, match="expired"):
        await certificate(stage, STAT, token)
    last = stage.audit()[-1]
    assert (last["outcome"], last["code"]) == ("refused", "TokenExpired")
    assert token not in stage.audit_file.read_text() + stage.log("delegation")


async def test_a_blocked_user(stage: Stage) -> None:
    """The block list stops signing at once."""
    with stage.blocked_in_opa("alice"), pytest.raises(Denied, match="alice is blocked"):
        await certificate(stage, STAT, stage.issuer.token("alice"))


async def test_policy_does_not_answer(stage: Stage) -> None:
    """Without OPA nothing is signed, and the caller may come back."""
    stage.stop_process("opa")
    try:
        with pytest.raises(PolicyUnavailable):
            await certificate(stage, STAT, stage.issuer.token("alice"))
    finally:
        stage.start_opa()


async def test_the_gateway_shows_a_resource(stage: Stage) -> None:
    """The gateway cannot borrow the operator's way."""
    job = stage.create_job("alice", JOB, namespace="team").body
    async with authority(stage, "goldcrest-api", holder="operator-0") as gateway:
        with pytest.raises(Denied, match="never with a resource"):
            await gateway.command_certificate(
                Queue("own"),
                public_key=PUBLIC_KEY,
                system="cluster",
                user="alice",
                sid=SID,
                basis=of(job),
                trace=TRACE,
            )


async def test_strangers(stage: Stage) -> None:
    """Unknown callers, callers with another audience and callers without token get nothing."""
    body = {"requests": []}
    assert (await post(stage, "/v1/certificates", body, token=""))[0] == 401
    assert (await post(stage, "/v1/certificates", body, token="nonsense"))[0] == 401
    wrong = stage.caller_token("goldcrest-api", audience="something-else")
    assert (await post(stage, "/v1/certificates", body, token=wrong))[0] == 401
    status, answer = await post(stage, "/v1/certificates", body, token=stage.caller_token("goldcrest-admission"))
    assert status == 403
    assert "is not served by delegation" in answer["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), ({"requests": 1}, 400), ({"requests": [1] * 65}, 400), (b"x" * 5_000_000, 413)],
)
async def test_malformed_bodies(stage: Stage, body: Any, status: int) -> None:
    """What is no request gets a clear answer and no signature."""
    got, answer = await post(stage, "/v1/certificates", body, token=stage.caller_token("goldcrest-api"))
    assert (got, answer["retryable"]) == (status, False)


async def test_malformed_requests(stage: Stage) -> None:
    """Each malformed request of a batch is answered by its id, naming the field."""
    good = {
        "publicKey": "A" * 43 + "=",
        "kind": "command",
        "system": "cluster",
        "user": "alice",
        "op": "fs.stat",
        "args": STAT.args(),
        "payload": {},
        "sid": SID,
        "trace": TRACE,
        "token": stage.issuer.token("alice"),
    }
    changes: list[dict[str, Any]] = [
        {},
        {"publicKey": "AAAA"},
        {"kind": "shell"},
        {"system": "../namespaces"},
        {"user": "root; id"},
        {"op": "fs.format"},
        {"args": {"path": "a/../b", "dereference": False}},
        {"args": {"path": "/x", "dereference": 1}},
        {"sid": "short"},
        {"trace": "none"},
        {"token": 5},
        {"resource": {"kind": "Job", "namespace": "n", "name": "n", "uid": "0"}},
        {"payload": {"sha256": "0" * 64}},
    ]
    requests: list[object] = [{**good, **change, "id": number} for number, change in enumerate(changes)]
    requests.append("not an object")
    token = stage.caller_token("goldcrest-api")
    status, answer = await post(stage, "/v1/certificates", {"requests": requests}, token=token)
    assert status == 200
    first, *others, last = answer["results"]
    assert "certificate" in first
    assert [other["id"] for other in others] == list(range(1, len(changes)))
    assert {other["error"]["code"] for other in (*others, last)} == {"InvalidInput"}


async def test_a_grant_makes_a_job(stage: Stage) -> None:
    """With a grant the gateway makes exactly this Job, and requestedBy is the bearer of the token."""
    made = await rest_job(stage, secrets.token_hex(16))
    assert made["spec"]["requestedBy"] == {
        "via": "Grant",
        "issuer": "https://issuer.example",
        "subject": "id-of-alice",
        "username": "alice",
        "groups": [],
    }
    assert stage.audit()[-1]["operation"] == "job.create"


async def test_a_grant_is_for_one_job(stage: Stage) -> None:
    """A grant is of no use for another name, namespace, spec, or in somebody else's hands."""
    made = await rest_job(stage, secrets.token_hex(16))
    grant = made["metadata"]["annotations"]["hpc.goldcrest.dev/grant"]
    namespace, name = made["metadata"]["namespace"], made["metadata"]["name"]
    stage.must("PATCH", _path(namespace, name), {"metadata": {"finalizers": None}}, content_type=_MERGE)
    stage.must("DELETE", _path(namespace, name))
    stage.namespace("elsewhere")
    gateway = service_account("goldcrest-api")

    def attempt(user: str, where: str, called: str, **spec: Any) -> str:
        metadata = {"name": called, "annotations": {"hpc.goldcrest.dev/grant": grant}}
        body = {**JOB, "metadata": metadata, "spec": {**JOB["spec"], **spec}}
        answer = stage.create_job(user, body, namespace=where)
        assert answer.status == 403, answer
        return answer.message

    assert "for another name" in attempt(gateway, namespace, rest_name("0" * 32))
    assert "for another namespace" in attempt(gateway, "elsewhere", name)
    assert "for another specSha256" in attempt(gateway, namespace, name, partition="debug")
    assert "for another runAs" in attempt(gateway, namespace, name, runAs="bob")
    assert "is the gateway's alone" in attempt("root", namespace, name)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"namespace": "team"}, "PolicyDenied", "resources of alice are made in namespace hpc-alice-"),
        ({"name": "my-job"}, "InvalidInput", "32 hex digits"),
        ({"spec": {"system": "cluster", "runAs": "bob", "script": {"inline": "x"}}}, "PolicyDenied", "not of bob"),
        ({"spec": {"system": "cluster", "runAs": "alice"}}, "InvalidInput", "script"),
        (
            {"spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "x"}, "requestedBy": {}}},
            "InvalidInput",
            "written by admission",
        ),
        ({"kind": "System"}, "InvalidInput", "kind must be Job"),
    ],
)
async def test_grants_that_are_not_made(stage: Stage, change: dict[str, Any], code: str, message: str) -> None:
    """Delegation refuses a grant for what the token does not cover, and records it."""
    body = {
        "token": stage.issuer.token("alice"),
        "kind": "Job",
        "namespace": namespace_of_user("alice"),
        "name": rest_name("1" * 32),
        "spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "hostname"}},
        "trace": TRACE,
        **change,
    }
    _, answer = await post(stage, "/v1/grants", body, token=stage.caller_token("goldcrest-api"))
    assert answer["code"] == code
    assert message in answer["message"]
    assert stage.audit()[-1]["outcome"] == "refused"


async def test_missing_scope(stage: Stage) -> None:
    """A token without the scope is refused with the scope's name."""
    token = stage.issuer.token("alice", scope="openid")
    with pytest.raises(Unauthenticated, match="Scope 'firecrest'"):
        await certificate(stage, STAT, token)


async def test_an_action_grant(stage: Stage) -> None:
    """The bearer of a token cancels their own Job through the gateway, and nothing but that."""
    made = await rest_job(stage, secrets.token_hex(16))
    namespace, name, uid = (made["metadata"][part] for part in ("namespace", "name", "uid"))
    where = {"kind": "Job", "namespace": namespace, "name": name, "uid": uid, "trace": TRACE}
    gateway_account = service_account("goldcrest-api")
    async with authority(stage, "goldcrest-api") as gateway:
        token = stage.issuer.token("alice")
        grant = await gateway.action_grant(token=token, field="cancel", value=True, **where)
        with pytest.raises(NotFound, match="no gjob"):
            await gateway.action_grant(token=stage.issuer.token("bob"), field="cancel", value=True, **where)
        with pytest.raises(GoldcrestError, match="field must be one of"):
            await gateway.action_grant(token=token, field="script", value={}, **where)
        with pytest.raises(GoldcrestError, match="cancel"):
            await gateway.action_grant(token=token, field="cancel", value="perhaps", **where)
    assert jwt.decode(grant, options={"verify_signature": False})["username"] == "alice"
    note = {"metadata": {"annotations": {"hpc.goldcrest.dev/action-grant": grant}}}

    def attempt(spec: dict[str, Any]) -> Any:
        return stage.patch_job(gateway_account, namespace, name, {**note, "spec": spec})

    assert "for another field" in attempt({"suspend": True}).message
    assert "for another value" in attempt({"cancel": False}).message
    assert "is for one field" in attempt({"cancel": True, "suspend": True}).message
    answer = attempt({"cancel": True})
    assert answer.status == 200, answer
    other = await rest_job(stage, secrets.token_hex(16))
    copied = stage.patch_job(gateway_account, namespace, other["metadata"]["name"], {**note, "spec": {"cancel": True}})
    assert "the action grant is for another name" in copied.message


_MERGE = "application/merge-patch+json"


def _path(namespace: str, name: str) -> str:
    return f"/apis/hpc.goldcrest.dev/v1alpha1/namespaces/{namespace}/jobs/{name}"


async def test_our_own_token_is_not_accepted(stage: Stage, tmp_path: Path) -> None:
    """It is the gateway's fault, not that of whoever asks through it: retryable, and not about their token."""
    ours = tmp_path / "token"
    ours.write_text("rubbish")
    gateway = Authority(url=f"unix:{stage.delegation_socket}", ca_file=None, token_file=ours)
    try:
        with pytest.raises(DelegationUnavailable, match="does not accept our own token"):
            await gateway.session_certificate(
                public_key=PUBLIC_KEY, system="cluster", user="alice", basis=ByToken("x"), trace=TRACE
            )
    finally:
        await gateway.close()
