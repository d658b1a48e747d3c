from __future__ import annotations

from typing import Any

import pytest

from component.admission.stage import JOB, Stage, job, service_account

pytestmark = pytest.mark.component


def test_a_job_is_stamped(stage: Stage) -> None:
    """kubectl's Job gets who asked, the stamp and the finalizer; its spec stays as it was applied."""
    answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 201, answer
    made = answer.body
    assert made["spec"].pop("requestedBy") == {
        "via": "Kubernetes",
        "username": "alice",
        "uid": "uid-alice",
        "groups": ["users", "system:authenticated"],
    }
    assert made["spec"] == JOB["spec"]
    assert made["metadata"]["finalizers"] == ["hpc.goldcrest.dev/cleanup"]
    assert made["metadata"]["annotations"]["hpc.goldcrest.dev/stamp"].count(".") == 2


def test_dry_run_says_the_same(stage: Stage) -> None:
    """`kubectl apply --dry-run=server` shows the stamped Job and stores nothing."""
    name = "only-looking"
    answer = stage.create_job("alice", {**JOB, "metadata": {"name": name}}, namespace="team", dry_run=True)
    assert answer.status == 201
    assert answer.body["spec"]["requestedBy"]["username"] == "alice"
    path = f"/apis/hpc.goldcrest.dev/v1alpha1/namespaces/team/jobs/{name}"
    assert stage.call("root", "GET", path).status == 404


def test_somebody_elses_account(stage: Stage) -> None:
    """runAs of somebody else is refused, saying which right is missing and where."""
    answer = stage.create_job("alice", job(runAs="bob"), namespace="team")
    assert answer.status == 403
    assert "alice may not use hpcaccounts.hpc.goldcrest.dev 'cluster:bob' in namespace team" in answer.message


def test_star_role_in_ones_own_namespace(stage: Stage) -> None:
    """A tenant's `*` role gives no accounts: the namespace itself was not given any."""
    stage.namespace("bobs")
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    stage.bind("bob", everything, name="star", namespace="bobs")
    answer = stage.create_job("bob", job(runAs="alice"), namespace="bobs")
    assert answer.status == 403
    assert "namespace bobs may not use" in answer.message
    assert "goldcrest:namespace:bobs" in answer.message


def test_cluster_admin_gives_no_account(stage: Stage) -> None:
    """A GitOps controller with cluster-admin is refused by the canary, until policy data lists it."""
    stage.bind("gitops", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], name="gitops", namespace=None)
    answer = stage.create_job("gitops", JOB, namespace="team")
    assert answer.status == 403
    assert "gitops holds a wildcard on hpcaccounts" in answer.message
    with stage.policy_data("wildcard_subjects", ["gitops"]):
        assert stage.create_job("gitops", JOB, namespace="team").status == 201


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"system": "nowhere"}, "there is no System 'nowhere'; known are: cluster"),
        ({"script": {}}, "needs exactly one of inline, base64, configMap and path; none was given"),
        ({"script": {"inline": "x", "base64": "eA=="}}, "inline and base64 was given"),
        ({"script": {"inline": " \n\t\n"}}, "spec.script is empty"),
        ({"script": {"base64": "eHh4e"}}, "spec.script.base64 is not base64"),
        ({"script": {"inline": "#" * 70_000}}, "at most 65536"),
        ({"script": {"path": "/scratch/alice/job.sh"}}, "spec.script.path needs spec.script.sha256"),
        ({"script": {"inline": "hostname", "sha256": "0" * 64}}, "spec.script.sha256 is not the SHA-256"),
        ({"scriptSha256": "0" * 64}, "spec.scriptSha256 is not the SHA-256"),
        ({"runAs": "Robert'); DROP"}, "runAs"),
        ({"tasks": 0}, "tasks"),
        (
            {"requestedBy": {"via": "Kubernetes", "username": "bob", "groups": []}},
            "spec.requestedBy is written by admission",
        ),
    ],
)
def test_bad_specs(stage: Stage, spec: dict[str, Any], message: str) -> None:
    """What makes no sense is refused with a sentence that names it."""
    answer = stage.create_job("alice", job(**spec), namespace="team")
    assert answer.status in (403, 422), answer
    assert message in answer.message


def test_unknown_field(stage: Stage) -> None:
    """A mistyped field is refused by name, not dropped."""
    answer = stage.create_job("alice", job(partitoin="debug"), namespace="team")
    assert answer.status in (400, 422)
    assert "partitoin" in answer.message


@pytest.mark.parametrize("annotation", ["grant", "stamp", "action-grant"])
def test_forged_annotations(stage: Stage, annotation: str) -> None:
    """Nobody but us writes grants and stamps."""
    forged = {**JOB, "metadata": {"generateName": "x-", "annotations": {f"hpc.goldcrest.dev/{annotation}": "a.b.c"}}}
    answer = stage.create_job("alice", forged, namespace="team")
    assert answer.status == 403
    assert "goldcrest-stamp+jwt" in answer.message or f"hpc.goldcrest.dev/{annotation}" in answer.message


def test_a_copied_manifest(stage: Stage) -> None:
    """One's own Job, got and created again under another name, is stamped anew; by somebody else it is refused."""
    stage.namespace("shared")
    for person in ("alice", "bob"):
        stage.may(person, "shared", accounts=["cluster:alice"])
    first = stage.create_job("alice", JOB, namespace="shared").body
    annotations = first["metadata"]["annotations"]
    copy = {
        **JOB,
        "metadata": {"generateName": "copy-", "annotations": annotations},
        "spec": {**first["spec"], "jobName": "again"},
    }
    second = stage.create_job("alice", copy, namespace="shared")
    assert second.status == 201, second
    assert second.body["metadata"]["annotations"] != annotations
    answer = stage.create_job("bob", copy, namespace="shared")
    assert answer.status == 403
    assert "is of another resource" in answer.message


def test_the_gateway_needs_a_grant(stage: Stage) -> None:
    """A stolen gateway account alone makes nothing."""
    answer = stage.create_job(service_account("goldcrest-api"), JOB, namespace="team")
    assert answer.status == 403
    assert "only with a grant of delegation" in answer.message


def test_a_name_of_rest(stage: Stage) -> None:
    """With kubectl nobody takes the name, and with it the task, of something made through REST."""
    taken = {**JOB, "metadata": {"name": "r-" + "0f" * 16}}
    answer = stage.create_job("alice", taken, namespace="team")
    assert answer.status == 403
    assert "has the form of resources made through REST" in answer.message
    assert stage.create_job("alice", {**JOB, "metadata": {"name": "r-short"}}, namespace="team").status == 201


def test_policy_refuses(stage: Stage) -> None:
    """A blocked user is told so, by policy's own words."""
    with stage.policy_data("blocked", ["alice"]):
        answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 403
    assert "alice is blocked" in answer.message


def test_policy_does_not_answer(stage: Stage) -> None:
    """Without OPA nothing is admitted, and the client is told to come back."""
    stage.stop_process("opa")
    try:
        answer = stage.create_job("alice", JOB, namespace="team")
    finally:
        stage.start_opa()
    assert answer.status == 503
    assert "OPA does not answer" in answer.message
    assert stage.create_job("alice", JOB, namespace="team").status == 201
