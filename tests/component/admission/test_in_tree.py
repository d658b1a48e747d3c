"""The API server's own policies (dev/manifests/policies.yaml), with Goldcrest's webhook configuration removed: what kubectl prints."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from component.admission.binaries import binary
from component.admission.stage import (
    API,
    JOB,
    REPOSITORY,
    Stage,
    job,
    policies,
    service_account,
    until,
)

pytestmark = pytest.mark.component

PREFIX = "hpc.goldcrest.dev/"
FINALIZER = "hpc.goldcrest.dev/cleanup"
OPERATOR = service_account("goldcrest-operator")
GATEWAY = service_account("goldcrest-api")
JOBS = f"{API}/namespaces/team/jobs"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobs.hpc.goldcrest.dev"
EDITOR = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs", "jobs/status"], "verbs": ["*"]}]
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-4000-8000-000000000000"}


@pytest.fixture(scope="module")
def made(stage: Stage) -> list[dict[str, Any]]:
    """Jobs of alice that admission has stamped, while it was there."""
    stage.bind("bob", EDITOR, name="editor-and-more", namespace="team")
    stage.bind(GATEWAY, [NAMESPACES], name="gateway-namespaces", namespace=None)
    answers = [stage.create_job("alice", job(ttlSecondsAfterFinished=90), namespace="team") for _ in range(3)]
    assert [answer.status for answer in answers] == [201] * 3, answers
    return [answer.body for answer in answers]


NAMESPACES = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create"]}


@pytest.fixture(scope="module")
def bare(stage: Stage, made: list[dict[str, Any]]) -> Iterator[Stage]:
    """The stage after somebody has deleted the webhook configurations."""
    with stage.without_webhooks():
        yield stage


def kubectl(stage: Stage, user: str, *arguments: str, stdin: str = "") -> str:
    """What kubectl prints, to standard error, when it is refused."""
    done = subprocess.run(
        [str(binary("kubectl")), f"--kubeconfig={stage.kubeconfig(user)}", "--namespace=team", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def refusal(policy: str, sentence: str) -> str:
    return (
        f"ValidatingAdmissionPolicy 'goldcrest-{policy}' with binding 'goldcrest-{policy}' denied request: {sentence}"
    )


def named(made: list[dict[str, Any]], number: int = 0) -> str:
    return str(made[number]["metadata"]["name"])


# ---- goldcrest-job-made -------------------------------------------------------------------------------------------


def like(raw: dict[str, Any], *, annotations: dict[str, str] | None = None, **spec: Any) -> str:
    """The Job, made again under another name."""
    metadata = {
        "generateName": "again-",
        "finalizers": [FINALIZER],
        "annotations": raw["metadata"]["annotations"] if annotations is None else annotations,
    }
    return yaml.safe_dump({**JOB, "metadata": metadata, "spec": {**raw["spec"], **spec}})


def test_nothing_is_made_without_stamp(bare: Stage, made: list[dict[str, Any]]) -> None:
    """As a user, an administrator or the gateway's account; a stamp of somebody else's is not one's own."""
    stamp = refusal(
        "job-made", "the stamp of Goldcrest's admission is missing: its webhook was not called; tell an administrator"
    )
    for user in ("alice", "root"):
        assert stamp in kubectl(bare, user, "create", "-f", "-", stdin=yaml.safe_dump(JOB))
    grant = refusal("job-made", "the gateway makes resources only with a grant of delegation")
    for manifest in (yaml.safe_dump(JOB), like(made[0])):
        assert grant in kubectl(bare, GATEWAY, "create", "-f", "-", stdin=manifest)
    copied = refusal(
        "job-made", "spec.requestedBy is not who asks; it is written by Goldcrest's admission. Leave it out"
    )
    assert copied in kubectl(bare, "bob", "create", "-f", "-", stdin=like(made[0]))
    assert copied in kubectl(bare, "bob", "create", "-f", "-", stdin=like(made[0], requestedBy=None))
    foreign = refusal("job-made", "annotation hpc.goldcrest.dev/grant is the gateway's alone")
    assert foreign in kubectl(
        bare, "bob", "create", "-f", "-", stdin=like(made[0], annotations={PREFIX + "grant": "a.b.c"})
    )
    without = yaml.safe_load(like(made[0]))
    del without["metadata"]["finalizers"]
    unfinished = refusal("job-made", "finalizer hpc.goldcrest.dev/cleanup is missing")
    assert unfinished in kubectl(bare, "alice", "create", "-f", "-", stdin=yaml.safe_dump(without))


# ---- goldcrest-job-changed ----------------------------------------------------------------------------------------


def patched(stage: Stage, user: str, name: str, patch: dict[str, Any]) -> str:
    return kubectl(stage, user, "patch", "gjob", name, "--type=merge", "--patch", yaml.safe_dump(patch))


@pytest.mark.parametrize(
    ("user", "metadata", "sentence"),
    [
        (
            "root",
            {"annotations": {PREFIX + "stamp": "a.b.c"}},
            "annotation hpc.goldcrest.dev/stamp: field is immutable",
        ),
        ("alice", {"annotations": {PREFIX + "stamp": None}}, "annotation hpc.goldcrest.dev/stamp: field is immutable"),
        (OPERATOR, {"annotations": {PREFIX + "grant": "x"}}, "annotation hpc.goldcrest.dev/grant: field is immutable"),
        ("alice", {"annotations": {PREFIX + "traceparent": "x"}}, "annotation hpc.goldcrest.dev/traceparent: field is"),
        ("alice", {"annotations": {PREFIX + "body-sha256": "x"}}, "annotation hpc.goldcrest.dev/body-sha256: field is"),
        (
            "root",
            {"annotations": {PREFIX + "action-grant": "x"}},
            "annotation hpc.goldcrest.dev/action-grant is the gateway's",
        ),
        ("alice", {"finalizers": None}, "finalizer hpc.goldcrest.dev/cleanup is removed by Goldcrest's operator once"),
        ("alice", {"labels": {PREFIX + "shard": "x"}}, "label hpc.goldcrest.dev/shard is changed by administrators"),
        (
            OPERATOR,
            {"labels": {PREFIX + "dialect": "x"}},
            "label hpc.goldcrest.dev/dialect is changed by administrators",
        ),
        (
            "bob",
            {"annotations": {PREFIX + "paused": "true"}},
            "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice' in namespace team: ask for a Role",
        ),
        ("bob", {"ownerReferences": [OWNER]}, "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'"),
        (GATEWAY, {"ownerReferences": [OWNER]}, "the gateway changes a field only with an action grant of delegation"),
        (
            GATEWAY,
            {"ownerReferences": [OWNER], "annotations": {PREFIX + "action-grant": "a.b.c"}},
            "the gateway changes a field only with an action grant of delegation",
        ),
    ],
)
def test_what_stands_around_a_job(
    bare: Stage, made: list[dict[str, Any]], user: str, metadata: dict[str, Any], sentence: str
) -> None:
    """Grant, stamp, trace, finalizer, shard, owners and pausing are kept as with the webhook."""
    assert refusal("job-changed", sentence) in patched(bare, user, named(made), {"metadata": metadata})
    after = bare.must("GET", f"{JOBS}/{named(made)}")["metadata"]
    before = made[0]["metadata"]
    assert (after["annotations"], after["finalizers"]) == (before["annotations"], before["finalizers"])


def test_fields_that_may_change(bare: Stage, made: list[dict[str, Any]]) -> None:
    """By who may manage the account; by nobody else, the gateway's account and the operator included."""
    for spec in ({"suspend": True}, {"cancel": True}, {"deletionPolicy": "Orphan"}, {"ttlSecondsAfterFinished": 1}):
        for user in ("bob", OPERATOR):
            sentence = f"{user} may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice' in namespace team"
            assert refusal("job-changed", sentence) in patched(bare, user, named(made), {"spec": spec})
        gateway = refusal("job-changed", "the gateway changes a field only with an action grant of delegation")
        assert gateway in patched(bare, GATEWAY, named(made), {"spec": spec})
    assert bare.patch_job("alice", "team", named(made), {"spec": {"suspend": True}}).status == 200
    assert bare.patch_job(OPERATOR, "team", named(made, 2), {"metadata": {"finalizers": None}}).status == 200


@contextmanager
def without_rules(stage: Stage) -> Iterator[None]:
    """As with a CustomResourceDefinition that has lost its rules."""
    rules = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations"
    before = stage.must("GET", CRD)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    json_patch = "application/json-patch+json"
    stage.must("PATCH", CRD, [{"op": "remove", "path": rules}], content_type=json_patch)
    try:
        yield
    finally:
        add = [{"op": "add", "path": rules, "value": before["x-kubernetes-validations"]}]
        stage.must("PATCH", CRD, add, content_type=json_patch)


def test_who_asked_and_as_whom(bare: Stage, made: list[dict[str, Any]]) -> None:
    """runAs and requestedBy are kept by the definition's own rules, and by the policy where those are lost."""
    name = named(made)
    changes: tuple[dict[str, Any], ...] = (
        {"runAs": "bob"},
        {"requestedBy": None},
        {"requestedBy": {"username": "bob"}},
    )
    for spec in changes:
        assert "field is immutable" in patched(bare, "root", name, {"spec": spec})

    def answered() -> int:
        """What the rules say now. A dry run: a change that is taken once would be none, and be let pass, ever after."""
        path, merge_patch = f"{JOBS}/{name}?dryRun=All", "application/merge-patch+json"
        return bare.call("root", "PATCH", path, {"spec": {"partition": "debug"}}, content_type=merge_patch).status

    with without_rules(bare):
        until(lambda: answered() == 200, "the definition's rules are gone")
        for spec in changes:
            sentence = "spec.runAs and spec.requestedBy: field is immutable"
            assert refusal("job-changed", sentence) in patched(bare, "root", name, {"spec": spec})
    until(lambda: answered() == 422, "the definition's rules are back")


# ---- goldcrest-job-deleted, -status, -namespace-made --------------------------------------------------------------


def test_deleting(bare: Stage, made: list[dict[str, Any]]) -> None:
    """Not the gateway, not the operator before the end, not who may not manage the account."""
    name = named(made, 1)
    for user, sentence in (
        (GATEWAY, "the gateway deletes nothing; it cancels with an action grant of delegation"),
        (OPERATOR, "the operator deletes only what has ended and has ttlSecondsAfterFinished"),
        ("bob", "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice' in namespace team"),
    ):
        assert refusal("job-deleted", sentence) in kubectl(bare, user, "delete", "gjob", name, "--wait=false")
    assert refusal("job-deleted", "bob may not manage") in kubectl(
        bare, "bob", "delete", "gjob", "--all", "--wait=false"
    )
    assert "deletionTimestamp" not in bare.must("GET", f"{JOBS}/{name}")["metadata"]
    assert bare.call("alice", "DELETE", f"{JOBS}/{name}").status == 200


def test_status(bare: Stage, made: list[dict[str, Any]]) -> None:
    """Nobody but the operator, not even an administrator: a job id in a status is a fact, not a wish."""
    arguments = ("--subresource=status", "--type=merge", "--patch", '{"status": {"jobId": "1"}}')
    sentence = refusal("status", "status is written by Goldcrest's operator alone")
    for user in ("bob", "root"):
        assert sentence in kubectl(bare, user, "patch", "gjob", named(made), *arguments)
    assert sentence in kubectl(bare, "root", "patch", "gsys", "cluster", *arguments)
    whole = bare.must("GET", f"{JOBS}/{named(made)}")
    answer = bare.call("root", "PUT", f"{JOBS}/{named(made)}/status", {**whole, "status": {"jobId": "1"}})
    assert answer.status == 403
    assert bare.write_status(made[0], {"phase": "Queued"})["status"]["phase"] == "Queued"


def test_results_of_tasks(bare: Stage, made: list[dict[str, Any]]) -> None:
    """Nobody but the operator, and each with its Task: what is shown as a result came from the system."""
    sentence = refusal("result", "results of Tasks are written by Goldcrest's operator alone")
    meta = {"apiVersion": made[0]["apiVersion"], "kind": "TaskResult"}
    result = {**meta, "metadata": {"name": "forged"}, "data": "H4sI"}
    for user in ("root", OPERATOR):  # the operator's has no owner
        assert sentence in kubectl(bare, user, "create", "-f", "-", stdin=yaml.safe_dump(result))


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"name": "kube-public-2"}, "the gateway makes namespaces of users (hpc-<user>-<6 hex digits>) only"),
        ({"name": "team-of-somebody"}, "the gateway makes namespaces of users"),
        ({"name": "hpc-alice-2bd80"}, "the gateway makes namespaces of users"),
        ({"generateName": "hpc-alice-2bd806-"}, "the gateway makes namespaces of users"),
        (
            {"name": "hpc-x-2bd806", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
            "the gateway makes namespaces without labels, annotations, owners and finalizers of its own",
        ),
        ({"name": "hpc-x-2bd806", "annotations": {"a": "b"}}, "the gateway makes namespaces without labels"),
        ({"name": "hpc-x-2bd806", "finalizers": ["example.org/never"]}, "the gateway makes namespaces without labels"),
    ],
)
def test_namespaces_of_the_gateway(bare: Stage, metadata: dict[str, Any], sentence: str) -> None:
    """The role that lets it make a user's namespace on first use goes no further than that."""
    manifest = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    assert refusal("namespace-made", sentence) in kubectl(bare, GATEWAY, "create", "-f", "-", stdin=manifest)


def test_a_namespace_as_the_gateway_makes_it(bare: Stage) -> None:
    """On first use of a user; others make theirs as they like."""
    body = {"metadata": {"name": "hpc-carol-4c26d9", "labels": {"app.kubernetes.io/managed-by": "goldcrest"}}}
    assert bare.call(GATEWAY, "POST", "/api/v1/namespaces", body).status == 201
    assert bare.call("root", "POST", "/api/v1/namespaces", {"metadata": {"name": "anything"}}).status == 201


# ---- All of them --------------------------------------------------------------------------------------------------


def test_every_policy_is_bound_and_tried() -> None:
    """Each is bound, denies, fails closed; each sentence in it is asserted above."""
    found = policies()
    bound = {item["spec"]["policyName"]: item["spec"] for item in found if item["kind"].endswith("Binding")}
    text = (REPOSITORY / "tests/component/admission/test_in_tree.py").read_text()
    for item in found:
        if item["kind"] != "ValidatingAdmissionPolicy":
            continue
        name = item["metadata"]["name"]
        assert bound.pop(name) == {"policyName": name, "validationActions": ["Deny"]}
        assert item["spec"]["failurePolicy"] == "Fail"
        assert f'refusal("{name.removeprefix("goldcrest-")}"' in text
    assert not bound
