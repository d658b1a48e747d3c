"""Attacks through the Kubernetes API: by tenants, by a GitOps controller, by a stolen gateway, while admission is away."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import jwt
import pytest

from component.admission.spec_changes import additions, changes, removals, whole_spec
from component.admission.stage import API, JOB, job
from component.attacks.attack_stage import GATEWAY, MERGE, OPERATOR, AttackStage, path_of
from component.delegation.callers import PUBLIC_KEY, SID, TRACE, authority, of, rest_job
from goldcrest.commands import Find
from goldcrest.errors import Denied
from goldcrest.grants import STAMP_TYPE, SigningKey
from goldcrest.identity.keyfiles import load_ed25519
from goldcrest.wellknown import submission_token

pytestmark = pytest.mark.component

FINALIZER = "hpc.goldcrest.dev/cleanup"
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
STATUS = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs/status"], "verbs": ["patch", "update"]}]
COLLECTIONS = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs"], "verbs": ["deletecollection"]}]
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-4000-8000-000000000000"}
ALICE = {"via": "Kubernetes", "username": "alice", "uid": "uid-alice", "groups": ["users", "system:authenticated"]}


@pytest.fixture
def made(stage: AttackStage) -> dict[str, Any]:
    """A Job of alice."""
    answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 201, answer
    return answer.body


async def refused_to_the_operator(stage: AttackStage, raw: dict[str, Any], words: str, *, user: str = "alice") -> None:
    """Delegation signs nothing for this Job, and its audit line says why."""
    cluster_id = stage.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    async with authority(stage, "goldcrest-operator", holder="operator-0") as operator:
        ask: dict[str, Any] = {"public_key": PUBLIC_KEY, "system": "cluster", "user": user, "basis": of(raw)}
        with pytest.raises(Denied, match=words):
            command = Find(submission_token(cluster_id, raw["metadata"]["uid"]))
            await operator.command_certificate(command, sid=SID, trace=TRACE, **ask)
        line = stage.audited(words)
        assert (line["origin"], line["operation"]) == (raw["metadata"]["uid"], "slurm.find")
        with pytest.raises(Denied, match=words):
            await operator.session_certificate(trace=TRACE, **ask)
        assert stage.audited(words)["operation"] == "session"


# ---- Who asked ----------------------------------------------------------------------------------------------------


def test_requested_by_is_set(stage: AttackStage) -> None:
    """Nobody says for themselves who asked: not somebody else, and not the other door."""
    for given in ({"via": "Kubernetes", "username": "bob", "groups": []}, {"via": "Grant", "username": "alice"}):
        answer = stage.create_job("alice", job(requestedBy={"groups": [], **given}), namespace="team")
        line = stage.refused(answer, "spec.requestedBy is written by admission: it would be alice via Kubernetes")
        assert (line["operation"], line["user"]) == ("CREATE", "alice")


def test_requested_by_is_changed(stage: AttackStage, made: dict[str, Any]) -> None:
    """Not by its owner, not by an administrator, not through the status; what is stored stays."""
    for user in ("alice", "root"):
        for value in ({**ALICE, "username": "bob"}, None):
            answer = stage.call(user, "PATCH", path_of(made), {"spec": {"requestedBy": value}}, content_type=MERGE)
            assert answer.status == 422
            assert "field is immutable" in answer.message
    assert stage.job(made)["spec"]["requestedBy"] == ALICE


def test_every_field_of_a_frozen_spec(stage: AttackStage) -> None:
    """Each field, added, changed and removed, alone: refused by name, logged, and nothing of it is stored."""
    least = stage.create_job("alice", JOB, namespace="team").body
    whole = stage.create_job("alice", {**JOB, "spec": whole_spec()}, namespace="team").body
    assert set(whole_spec()) | {"requestedBy"} == set(whole["spec"])
    attempts = [(least, name, value) for name, value in additions()]
    attempts += [(whole, name, value) for name, value in changes()]
    attempts += [(whole, name, None) for name in removals()]
    for raw, name, value in attempts:
        answer = stage.call("alice", "PATCH", path_of(raw), {"spec": {name: value}}, content_type=MERGE)
        line = stage.refused(answer, f"spec.{name}: field is immutable")
        assert (line["operation"], line["name"], line["user"]) == ("UPDATE", raw["metadata"]["name"], "alice")
    for raw in (least, whole):
        assert stage.job(raw)["spec"] == raw["spec"]


# ---- Somebody else's account --------------------------------------------------------------------------------------


def test_star_role_in_ones_own_namespace(stage: AttackStage) -> None:
    """A tenant who may do everything in their namespace cannot run as alice there: nobody gave the namespace her account."""
    stage.namespace("bobs")
    stage.bind("bob", EVERYTHING, name="star", namespace="bobs")
    line = stage.refused(stage.create_job("bob", JOB, namespace="bobs"), "namespace bobs may not use")
    assert (line["user"], line["run_as"], line["namespace"]) == ("bob", "alice", "bobs")


def test_star_role_where_the_account_was_given(stage: AttackStage) -> None:
    """In a namespace that was given alice's account, a `*` role is still nobody's word that *he* was: the canary tells."""
    stage.namespace("project")
    stage.may("alice", "project", accounts=["cluster:alice"])
    stage.bind("bob", EVERYTHING, name="star", namespace="project")
    words = "bob holds a wildcard on hpcaccounts, so nobody gave them this account"
    assert stage.refused(stage.create_job("bob", JOB, namespace="project"), words)["user"] == "bob"
    raw = stage.create_job("alice", JOB, namespace="project").body
    for change in ({"cancel": True}, {"suspend": True}):
        stage.refused(stage.patch_job("bob", "project", raw["metadata"]["name"], {"spec": change}), words)


def test_role_on_all_accounts(stage: AttackStage) -> None:
    """A role with `use` on hpcaccounts that names none is a wildcard too."""
    stage.namespace("careless")
    stage.may("alice", "careless", accounts=["cluster:alice"])
    rules = [
        {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["hpcaccounts"], "verbs": ["use"]},
        {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs"], "verbs": ["create"]},
    ]
    stage.bind("bob", rules, name="all-accounts", namespace="careless")
    stage.refused(stage.create_job("bob", JOB, namespace="careless"), "bob holds a wildcard on hpcaccounts")


def test_gitops_controller_with_cluster_admin(stage: AttackStage) -> None:
    """Rights on everything in the cluster are no account, in whatever namespace; nor is system:masters."""
    stage.bind("gitops", EVERYTHING, name="gitops", namespace=None)
    stage.namespace("deployed")
    line = stage.refused(stage.create_job("gitops", JOB, namespace="team"), "gitops holds a wildcard on hpcaccounts")
    assert line["user"] == "gitops"
    stage.refused(stage.create_job("gitops", JOB, namespace="deployed"), "namespace deployed may not use")
    stage.refused(stage.create_job("root", JOB, namespace="team"), "root holds a wildcard on hpcaccounts")


def test_namespace_that_holds_a_wildcard(stage: AttackStage) -> None:
    """A cluster administrator who gives a namespace all accounts at once is not believed either."""
    rules = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["hpcaccounts"], "verbs": ["use"]}]
    stage.namespace("open-house")
    stage.bind("goldcrest:namespace:open-house", rules, name="open-house", namespace=None)
    stage.may_use_jobs("alice", "open-house")
    mine = [{**rules[0], "resourceNames": ["cluster:alice"]}]
    stage.bind("alice", mine, name="mine", namespace="open-house")
    words = "goldcrest:namespace:open-house holds a wildcard on hpcaccounts"
    stage.refused(stage.create_job("alice", JOB, namespace="open-house"), words)


@pytest.mark.parametrize("change", [{"suspend": True}, {"cancel": True}, {"deletionPolicy": "Orphan"}])
def test_somebody_elses_job_is_changed(stage: AttackStage, made: dict[str, Any], change: dict[str, Any]) -> None:
    """Who may edit Jobs in the namespace cannot suspend or cancel those of an account that they may not manage."""
    answer = stage.patch_job("bob", "team", made["metadata"]["name"], {"spec": change})
    line = stage.refused(answer, "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'")
    assert (line["operation"], line["user"]) == ("UPDATE", "bob")
    assert stage.job(made)["spec"] == made["spec"]


def test_somebody_elses_job_is_deleted(stage: AttackStage, made: dict[str, Any]) -> None:
    """Who may delete Jobs in the namespace cannot cancel, or lose sight of, those of an account that they may not manage."""
    words = "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'"
    for query in ("", "?propagationPolicy=Orphan", "?propagationPolicy=Foreground", "?gracePeriodSeconds=0"):
        line = stage.refused(stage.call("bob", "DELETE", path_of(made) + query), words)
        assert (line["operation"], line["user"], line["run_as"]) == ("DELETE", "bob", "alice")
    stage.bind("bob", COLLECTIONS, name="collections", namespace="team")
    stage.refused(stage.call("bob", "DELETE", f"{API}/namespaces/team/jobs"), words)
    assert "deletionTimestamp" not in stage.job(made)["metadata"]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"annotations": {"hpc.goldcrest.dev/paused": "true"}}, "bob may not manage"),
        ({"ownerReferences": [OWNER]}, "bob may not manage"),
        ({"labels": {"hpc.goldcrest.dev/shard": "nobodys"}}, "is changed by administrators (system:masters) only"),
        ({"labels": {"hpc.goldcrest.dev/dialect": "x"}}, "is changed by administrators (system:masters) only"),
        ({"annotations": {"hpc.goldcrest.dev/traceparent": None}}, "traceparent: field is immutable"),
        ({"annotations": {"hpc.goldcrest.dev/body-sha256": "0"}}, "body-sha256: field is immutable"),
    ],
)
def test_somebody_elses_job_is_stopped_from_beside(
    stage: AttackStage, made: dict[str, Any], metadata: dict[str, Any], words: str
) -> None:
    """Pausing, an owner that is gone, a shard that nobody follows, another trace: not with the right to edit Jobs alone."""
    answer = stage.call("bob", "PATCH", path_of(made), {"metadata": metadata}, content_type=MERGE)
    assert stage.refused(answer, words)["user"] == "bob"
    assert stage.job(made)["metadata"] == made["metadata"]


# ---- Finalizer and status -----------------------------------------------------------------------------------------


def test_finalizer_is_removed(stage: AttackStage, made: dict[str, Any]) -> None:
    """By merge, by JSON patch, by replacing the whole, before and after deletion: refused, so no job is lost sight of."""
    words = f"finalizer {FINALIZER} is removed by Goldcrest's operator"
    json_patch = [{"op": "remove", "path": "/metadata/finalizers/0"}]

    def attempts(*more: Any) -> None:
        whole = stage.job(made)
        whole["metadata"].pop("finalizers")
        for method, body, content_type in (
            ("PATCH", {"metadata": {"finalizers": None}}, MERGE),
            ("PATCH", json_patch, "application/json-patch+json"),
            ("PUT", whole, "application/json"),
            *more,
        ):
            answer = stage.call("alice", method, path_of(made), body, content_type=content_type)
            assert stage.refused(answer, words)["user"] == "alice"

    attempts(("PATCH", {"metadata": {"finalizers": ["example.org/other"]}}, MERGE))
    assert stage.call("alice", "DELETE", path_of(made) + "?gracePeriodSeconds=0").status == 200
    attempts()
    assert stage.job(made)["metadata"]["finalizers"] == [FINALIZER]


def test_status_is_written_by_a_user(stage: AttackStage, made: dict[str, Any]) -> None:
    """The role for people, and the gateway's, give no status: the API server says so itself."""
    for user in ("alice", "bob", GATEWAY):
        answer = stage.call(user, "PATCH", path_of(made) + "/status", {"status": {"jobId": "1"}}, content_type=MERGE)
        assert answer.status == 403
        assert 'cannot patch resource "jobs/status"' in answer.message
    with_status = {**JOB, "status": {"phase": "Queued", "jobId": "1"}}
    created = stage.create_job("alice", with_status, namespace="team").body
    assert not {"phase", "jobId"} & set(stage.job(created).get("status") or {})


def test_status_is_written_with_a_star_role(stage: AttackStage, made: dict[str, Any]) -> None:
    """Where RBAC gives statuses (a `*` role does) the API server's own policy does not: no webhook is asked about them."""
    stage.bind("bob", STATUS, name="status-writer", namespace="team")
    for user in ("bob", "root"):
        answer = stage.call(user, "PATCH", path_of(made) + "/status", {"status": {"jobId": "1"}}, content_type=MERGE)
        assert answer.status == 403
        assert "'goldcrest-status'" in answer.message
        assert "status is written by Goldcrest's operator alone" in answer.message
    assert "jobId" not in (stage.job(made).get("status") or {})


def test_more_than_the_status_is_written_through_it(stage: AttackStage, made: dict[str, Any]) -> None:
    """A stolen operator cannot touch spec, grant, stamp or finalizer on the way of statuses, which no webhook sees."""
    patch = {
        "metadata": {"finalizers": [], "annotations": {"hpc.goldcrest.dev/stamp": "x"}, "labels": {"a": "b"}},
        "spec": {"cancel": True, "runAs": "bob", "requestedBy": None},
        "status": {"phase": "Queued"},
    }
    assert stage.call(OPERATOR, "PATCH", path_of(made) + "/status", patch, content_type=MERGE).status == 200
    after = stage.job(made)
    assert after["spec"] == made["spec"]
    assert after["metadata"]["finalizers"] == made["metadata"]["finalizers"]
    assert after["metadata"]["annotations"] == made["metadata"]["annotations"]


# ---- Stolen service accounts --------------------------------------------------------------------------------------


async def test_gateways_account(stage: AttackStage, made: dict[str, Any]) -> None:
    """Without a grant it makes and changes nothing; it can neither delete, nor bind, nor read Secrets."""
    stage.refused(stage.create_job(GATEWAY, JOB, namespace="team"), "the gateway makes resources only with a grant")
    stamped = {
        **JOB,
        "metadata": {"generateName": "x-", "annotations": made["metadata"]["annotations"]},
        "spec": made["spec"],
    }
    stage.refused(stage.create_job(GATEWAY, stamped, namespace="team"), "only with a grant of delegation")
    granted = await rest_job(stage, secrets.token_hex(16))
    for raw in (made, granted):
        meta = raw["metadata"]
        for spec in ({"cancel": True}, {"suspend": True}):
            answer = stage.patch_job(GATEWAY, meta["namespace"], meta["name"], {"spec": spec})
            stage.refused(answer, "the gateway changes a field only with an action grant")
    for method, path in (
        ("DELETE", path_of(granted)),
        ("DELETE", f"{API}/namespaces/team/jobs"),
        ("GET", "/api/v1/secrets"),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/goldcrest"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/goldcrest-job-made"),
    ):
        assert stage.call(GATEWAY, method, path, {} if method == "POST" else None).status == 403, (method, path)


def test_gateways_account_makes_namespaces(stage: AttackStage) -> None:
    """With the role for it: those of users, and with no label by which other policies would leave one alone."""
    for metadata, words in (
        ({"name": "kube-mine"}, "the gateway makes namespaces of users (hpc-<user>-<6 hex digits>) only"),
        ({"name": "hpc-x-000000", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}, "without labels"),
    ):
        answer = stage.call(GATEWAY, "POST", "/api/v1/namespaces", {"metadata": metadata})
        assert answer.status == 403
        assert words in answer.message
    for method in ("GET", "DELETE"):
        assert stage.call(GATEWAY, method, "/api/v1/namespaces/team").status == 403


def test_operators_account(stage: AttackStage, made: dict[str, Any]) -> None:
    """It makes no Jobs, changes no spec, writes no grants, reads no Secrets, and touches no webhook."""
    answer = stage.create_job(OPERATOR, JOB, namespace="team")
    assert answer.status == 403
    assert 'cannot create resource "jobs"' in answer.message
    answer = stage.patch_job(OPERATOR, "team", made["metadata"]["name"], {"spec": {"suspend": True}})
    stage.refused(answer, f"{OPERATOR} may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'")
    for name in ("grant", "stamp", "action-grant"):
        patch = {"metadata": {"annotations": {f"hpc.goldcrest.dev/{name}": "a.b.c"}}}
        answer = stage.patch_job(OPERATOR, "team", made["metadata"]["name"], patch)
        stage.refused(answer, f"annotation hpc.goldcrest.dev/{name}")
    answer = stage.call(OPERATOR, "DELETE", path_of(made))
    assert answer.status == 403
    assert "the operator deletes only what has ended and has ttlSecondsAfterFinished" in answer.message
    for method, path in (
        ("GET", "/api/v1/namespaces/goldcrest/secrets"),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/goldcrest"),
        ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/goldcrest-status"),
    ):
        assert stage.call(OPERATOR, method, path, {} if method == "POST" else None).status == 403, (method, path)


# ---- While the webhook configuration is away ----------------------------------------------------------------------


async def test_made_while_admission_was_away(stage: AttackStage, made: dict[str, Any]) -> None:
    """Bare, with words of one's own, with the stamp of another Job, or as the gateway: the API server's own policies refuse it;
    and where those are away too it is stored, and nothing is signed for it."""
    forged = {**JOB["spec"], "partition": "debug", "requestedBy": ALICE}
    stamp = {"hpc.goldcrest.dev/stamp": made["metadata"]["annotations"]["hpc.goldcrest.dev/stamp"]}
    unsigned = f"{_part({'typ': 'goldcrest-stamp+jwt', 'alg': 'none'})}.{_part({'kind': 'Job'})}."
    stamp_is_missing, not_who_asks = "the stamp of Goldcrest's admission is missing", "spec.requestedBy is not who asks"
    with stage.without_webhooks():
        for user, spec, annotations, sentence in (
            ("bob", JOB["spec"], {}, stamp_is_missing),
            ("bob", forged, {}, stamp_is_missing),
            ("bob", forged, stamp, not_who_asks),
            ("bob", {**made["spec"], "runAs": "bob"}, stamp, not_who_asks),
            ("bob", forged, {"hpc.goldcrest.dev/stamp": unsigned}, not_who_asks),
            ("bob", forged, {"hpc.goldcrest.dev/grant": unsigned}, "grant is the gateway's alone"),
            (GATEWAY, JOB["spec"], {}, "the gateway makes resources only with a grant of delegation"),
        ):
            metadata = {"generateName": "sneaked-", "annotations": annotations}
            answer = stage.create_job(user, {**JOB, "metadata": metadata, "spec": spec}, namespace="team")
            assert answer.status == 403, answer
            assert "'goldcrest-job-made'" in answer.message
            assert sentence in answer.message
    with stage.without_admission():

        def create(user: str, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> dict[str, Any]:
            metadata = {"generateName": "sneaked-", "annotations": annotations or {}}
            answer = stage.create_job(user, {**JOB, "metadata": metadata, "spec": spec}, namespace="team")
            assert answer.status == 201, answer
            return answer.body

        sneaked = [
            (create("bob", JOB["spec"]), "does not say who asked for it"),
            (create("bob", forged), "has no stamp"),
            (create("bob", forged, stamp), "the stamp is for another specSha256"),
            (create("bob", {**made["spec"], "runAs": "bob"}, stamp), "the stamp is for another specSha256"),
            (
                create("bob", {**made["spec"], "requestedBy": {**ALICE, "username": "bob"}}, stamp),
                "the stamp is for another requestedBy",
            ),
            (create("bob", forged, {"hpc.goldcrest.dev/stamp": unsigned}), "of a known key"),
            (create(GATEWAY, JOB["spec"]), "does not say who asked for it"),
        ]
    for raw, words in sneaked:
        await refused_to_the_operator(stage, raw, words, user=raw["spec"]["runAs"])


async def test_the_same_again_while_admission_was_away(stage: AttackStage) -> None:
    """A whole Job of alice's, copied by bob with its stamp and made again: it is not run a second time for her."""
    named = stage.create_job("alice", {**JOB, "metadata": {"name": "mine"}}, namespace="team").body
    # With generateName the stamp knows no name: what is made a minute later or more is told by the time.
    generated = stage.create_job("alice", JOB, namespace="team").body
    spec, stamp = generated["spec"], _stamp_of(generated)
    claims = jwt.decode(stamp, options={"verify_signature": False})
    key = SigningKey(load_ed25519(stage.folder / "keys" / "stamp"))
    old = key.sign({**claims, "iat": claims["iat"] - 120}, type_=STAMP_TYPE)
    with stage.without_admission():
        copies = []
        for stolen, words in (
            (_stamp_of(named), "the stamp is for another name"),
            (old, "the stamp is for another time"),
        ):
            metadata = {"generateName": "copy-", "annotations": {"hpc.goldcrest.dev/stamp": stolen}}
            answer = stage.create_job("bob", {**JOB, "metadata": metadata, "spec": spec}, namespace="team")
            copies.append((answer.body, words))
    for raw, words in copies:
        await refused_to_the_operator(stage, raw, words)


def test_changed_while_admission_was_away(stage: AttackStage, made: dict[str, Any]) -> None:
    """The API server's own policies keep what is there from others: fields, deletion, finalizer, stamp, status."""
    finalizer_goes = {"metadata": {"finalizers": None}}
    stamp_goes = {"metadata": {"annotations": {"hpc.goldcrest.dev/stamp": None}}}
    with stage.without_webhooks():
        attempts: list[tuple[str, str, Any, str]] = [
            ("bob", "PATCH", {"spec": {"cancel": True}}, "bob may not manage"),
            ("bob", "PATCH", {"spec": {"suspend": True}}, "bob may not manage"),
            ("bob", "DELETE", None, "bob may not manage"),
            ("alice", "PATCH", finalizer_goes, "is removed by Goldcrest's operator once the job is cleaned up"),
            ("alice", "PATCH", stamp_goes, "annotation hpc.goldcrest.dev/stamp: field is immutable"),
            (GATEWAY, "PATCH", {"spec": {"cancel": True}}, "only with an action grant"),
        ]
        for user, method, body, words in attempts:
            answer = stage.call(user, method, path_of(made), body, content_type=MERGE)
            assert answer.status == 403, (user, answer)
            assert words in answer.message
        for name, value in changes():
            answer = stage.call("alice", "PATCH", path_of(made), {"spec": {name: value}}, content_type=MERGE)
            if made["spec"].get(name) == value:
                continue
            assert answer.status == 422, (name, answer)
            assert "field is immutable" in answer.message
    after = stage.job(made)
    assert (after["spec"], after["metadata"]["finalizers"]) == (made["spec"], made["metadata"]["finalizers"])


def _stamp_of(raw: dict[str, Any]) -> str:
    return str(raw["metadata"]["annotations"]["hpc.goldcrest.dev/stamp"])


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
