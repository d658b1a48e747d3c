"""Grants that are altered, late, copied, or in the wrong hands: at admission, and at delegation when admission was away."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from component.admission.stage import API, JOB, Answer
from component.attacks.attack_stage import GATEWAY, OPERATOR, AttackStage, remove
from component.attacks.forgery import with_payload
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, rest_job
from goldcrest.commands import Find
from goldcrest.errors import Denied, NotFound
from goldcrest.grants import ACTION_GRANT_TYPE, GRANT_TYPE, STAMP_TYPE, SigningKey, grant_claims
from goldcrest.identity.keyfiles import load_ed25519
from goldcrest.wellknown import namespace_of_user, rest_name, submission_token

pytestmark = pytest.mark.component

SPEC: dict[str, Any] = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/bash\nhostname\n"}}
HOME = namespace_of_user("alice")


def delegations_key(stage: AttackStage) -> SigningKey:
    """The real key: for grants that are right but for the one thing that is attacked."""
    return SigningKey(load_ed25519(stage.folder / "keys" / "grant"))


def claims_of(task_id: str, **changes: Any) -> dict[str, Any]:
    good = grant_claims(
        issuer="https://issuer.example",
        subject="id-of-alice",
        username="alice",
        run_as="alice",
        system="cluster",
        kind="Job",
        namespace=HOME,
        name=rest_name(task_id),
        spec=SPEC,
        jti=task_id,
        policy_claims={"scopes": ["firecrest"], "groups": [], "token": {}},
    )
    return {**good, **changes}


def create(stage: AttackStage, grant: str, task_id: str, *, user: str = GATEWAY, **more: Any) -> Answer:
    metadata = {"name": rest_name(task_id), "annotations": {"hpc.goldcrest.dev/grant": grant}}
    body = {**JOB, "metadata": metadata, "spec": {**SPEC, **more}}
    return stage.create_job(user, body, namespace=HOME)


LATE = {"exp": int(time.time()) - 1}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "expired": (LATE, "the grant had expired when the resource was made"),
    "another-kind": ({"kind": "Transfer"}, "the grant is for another kind"),
    "another-namespace": ({"namespace": "team"}, "the grant is for another namespace"),
    "another-name": ({"name": rest_name("0" * 32)}, "the grant is for another name"),
    "another-user": ({"runAs": "bob"}, "the grant is for another runAs"),
    "another-system": ({"system": "other"}, "the grant is for another system"),
    "another-spec": ({"specSha256": "v1:" + "0" * 64}, "the grant is for another specSha256"),
    "another-task": ({"jti": "0" * 32}, "the grant's id is not the one in the resource's name"),
    "without-expiry": ({"exp": None}, "the grant had expired when the resource was made"),
}


@pytest.fixture(autouse=True)
def home(stage: AttackStage) -> None:
    stage.namespace(HOME)


@pytest.mark.parametrize("name", WRONG)
def test_for_something_else(stage: AttackStage, name: str) -> None:
    """Even under delegation's own signature a grant counts for exactly one resource, made within its minute."""
    changes, words = WRONG[name]
    task_id = secrets.token_hex(16)
    grant = delegations_key(stage).sign(claims_of(task_id, **changes), type_=GRANT_TYPE)
    line = stage.refused(create(stage, grant, task_id), words)
    assert (line["user"], line["name"], line["code"]) == (GATEWAY, rest_name(task_id), "PolicyDenied")
    assert grant not in stage.log("admission")


def test_good_grant(stage: AttackStage) -> None:
    """The control: the same with a grant that is right."""
    task_id = secrets.token_hex(16)
    grant = delegations_key(stage).sign(claims_of(task_id), type_=GRANT_TYPE)
    assert create(stage, grant, task_id).status == 201


def test_altered_or_forged(stage: AttackStage) -> None:
    """Other claims under the old signature, a key of one's own, another type of word: none is a grant."""
    task_id = secrets.token_hex(16)
    key = delegations_key(stage)
    good = claims_of(task_id)
    forgeries = {
        with_payload(key.sign(claims_of(task_id, runAs="bob"), type_=GRANT_TYPE), runAs="alice"): "not a valid",
        SigningKey(Ed25519PrivateKey.generate()).sign(good, type_=GRANT_TYPE): "of a known key",
        key.sign(good, type_=ACTION_GRANT_TYPE): f"not a {GRANT_TYPE} of a known key",
        key.sign(good, type_=STAMP_TYPE): f"not a {GRANT_TYPE} of a known key",
    }
    for grant, words in forgeries.items():
        stage.refused(create(stage, grant, task_id), words)


def test_changed_after_it_was_granted(stage: AttackStage) -> None:
    """A field more, a field other: the gateway cannot make anything but what was granted."""
    task_id = secrets.token_hex(16)
    grant = delegations_key(stage).sign(claims_of(task_id), type_=GRANT_TYPE)
    for more in ({"partition": "debug"}, {"script": {"inline": "rm -rf ~"}}, {"environment": {"A": "b"}}):
        stage.refused(create(stage, grant, task_id, **more), "the grant is for another specSha256")


async def test_no_record_of_who_set_what(stage: AttackStage) -> None:
    """Of what is made through REST nobody keeps managed fields, nor begins to with a status; of what people make they stay."""
    made = await rest_job(stage, secrets.token_hex(16))
    assert "managedFields" not in made["metadata"]
    path = f"{API}/namespaces/{made['metadata']['namespace']}/jobs/{made['metadata']['name']}/status"
    status = {"status": {"phase": "Pending", "observedGeneration": 1}}
    written = stage.call(OPERATOR, "PATCH", path, status, content_type="application/merge-patch+json")
    assert written.status == 200, written
    assert "managedFields" not in written.body["metadata"]
    remove(stage, made)
    stage.may("alice", "team", accounts=["cluster:alice"], name="alice-in-team")
    own = stage.create_job("alice", JOB, namespace="team")
    assert own.body["metadata"]["managedFields"]


async def test_copied(stage: AttackStage) -> None:
    """Somebody who reads a Job's grant can make nothing of it: not elsewhere, not under another name, not as somebody else."""
    made = await rest_job(stage, secrets.token_hex(16))
    grant = made["metadata"]["annotations"]["hpc.goldcrest.dev/grant"]
    stage.refused(create(stage, grant, secrets.token_hex(16)), "the grant is for another name")
    remove(stage, made)
    task_id = made["metadata"]["name"].removeprefix("r-")
    stage.may("bob", HOME, accounts=["cluster:alice"], name="bob-at-home")
    for user in ("bob", "root"):
        line = stage.refused(create(stage, grant, task_id, user=user), "is the gateway's alone")
        assert line["user"] == user


async def test_while_admission_was_away(stage: AttackStage) -> None:
    """What came in without admission: delegation checks the same again, and signs nothing; each attempt is audited."""
    asked = {"via": "Grant", "issuer": "https://issuer.example", "subject": "id-of-alice", "username": "alice"}
    asked = {**asked, "groups": []}
    key, made = delegations_key(stage), []
    with stage.without_admission():
        for name, (changes, words) in WRONG.items():
            task_id = secrets.token_hex(16)
            grant = key.sign(claims_of(task_id, **changes), type_=GRANT_TYPE)
            made.append((name, create(stage, grant, task_id, requestedBy=asked).body, words))
        task_id = secrets.token_hex(16)
        grant = SigningKey(Ed25519PrivateKey.generate()).sign(claims_of(task_id), type_=GRANT_TYPE)
        made.append(("forged", create(stage, grant, task_id, requestedBy=asked).body, "of a known key"))
        task_id = secrets.token_hex(16)
        grant = key.sign(claims_of(task_id), type_=GRANT_TYPE)
        other = {**asked, "username": "bob"}
        made.append(("requester", create(stage, grant, task_id, requestedBy=other).body, "is not whom the grant names"))
        made.append(("none", create(stage, "", secrets.token_hex(16), requestedBy=asked).body, "not a valid"))
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        for name, raw, words in made:
            assert raw["kind"] == "Job", (name, raw)
            token = submission_token(cluster_id, raw["metadata"]["name"].removeprefix("r-"))
            with pytest.raises(Denied, match=words):
                await operator.command_certificate(
                    Find(token),
                    public_key=PUBLIC_KEY,
                    system="cluster",
                    user="alice",
                    sid=SID,
                    basis=of(raw),
                    trace=TRACE,
                )
            line = stage.audited(words)
            assert (line["origin"], line["operation"]) == (raw["metadata"]["uid"], "slurm.find")


# ---- Action grants ------------------------------------------------------------------------------------------------


ACTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "expired": (LATE, "the action grant has expired"),
    "without-expiry": ({"exp": None}, "the action grant has expired"),
    "another-uid": ({"uid": "00000000-0000-0000-0000-000000000000"}, "the action grant is for another uid"),
    "another-name": ({"name": rest_name("0" * 32)}, "the action grant is for another name"),
    "another-namespace": ({"namespace": "team"}, "the action grant is for another namespace"),
    "another-kind": ({"kind": "Transfer"}, "the action grant is for another kind"),
    "another-field": ({"field": "suspend"}, "the action grant is for another field"),
    "another-value": ({"value": False}, "the action grant is for another value"),
}


@pytest.mark.parametrize("name", [*ACTIONS, "altered", "forged", "a-grant", "good"])
async def test_action_grants(stage: AttackStage, name: str) -> None:
    """Even under delegation's own signature an action grant is for one field of one resource, within its minute."""
    raw = await rest_job(stage, secrets.token_hex(16))
    key, now = delegations_key(stage), int(time.time())
    good: dict[str, Any] = {
        "iss": "https://issuer.example",
        "sub": "id-of-alice",
        "username": "alice",
        "kind": "Job",
        **{part: raw["metadata"][part] for part in ("namespace", "name", "uid")},
        "field": "cancel",
        "value": True,
        "jti": secrets.token_hex(16),
        "iat": now,
        "exp": now + 60,
    }
    changes, words = ACTIONS.get(name, ({}, ""))
    grant = key.sign({**good, **changes}, type_=ACTION_GRANT_TYPE)
    match name:
        case "altered":
            grant, words = (
                with_payload(key.sign({**good, "value": False}, type_=ACTION_GRANT_TYPE), value=True),
                "not a valid",
            )
        case "forged":
            grant = SigningKey(Ed25519PrivateKey.generate()).sign(good, type_=ACTION_GRANT_TYPE)
            words = "of a known key"
        case "a-grant":
            grant, words = key.sign(good, type_=GRANT_TYPE), f"not a {ACTION_GRANT_TYPE} of a known key"
    patch = {"metadata": {"annotations": {"hpc.goldcrest.dev/action-grant": grant}}, "spec": {"cancel": True}}
    answer = stage.patch_job(GATEWAY, raw["metadata"]["namespace"], raw["metadata"]["name"], patch)
    if name == "good":
        assert answer.status == 200, answer
        return
    line = stage.refused(answer, words)
    assert (line["operation"], line["user"], line["name"]) == ("UPDATE", GATEWAY, raw["metadata"]["name"])
    assert grant not in stage.log("admission")
    assert not stage.job(raw)["spec"].get("cancel")


async def test_action_grant_of_somebody_else(stage: AttackStage) -> None:
    """In the hands of anybody but the gateway it is worth nothing, and bob gets none for a Job of alice's."""
    raw = await rest_job(stage, secrets.token_hex(16))
    where = {part: raw["metadata"][part] for part in ("namespace", "name", "uid")}
    async with authority(stage, "goldcrest-api") as gateway:
        ask: dict[str, Any] = {"kind": "Job", "field": "cancel", "value": True, "trace": TRACE, **where}
        with pytest.raises(NotFound, match="no gjob"):
            await gateway.action_grant(token=stage.issuer.token("bob"), **ask)
        assert stage.audited("no gjob")["requester"] == "bob"
        grant = await gateway.action_grant(token=stage.issuer.token("alice"), **ask)
    patch = {"metadata": {"annotations": {"hpc.goldcrest.dev/action-grant": grant}}, "spec": {"cancel": True}}
    for user in ("root", OPERATOR):
        line = stage.refused(stage.patch_job(user, where["namespace"], where["name"], patch), "action-grant")
        assert (line["operation"], line["user"]) == ("UPDATE", user)
    assert not stage.job(raw)["spec"].get("cancel")
