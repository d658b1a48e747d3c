"""What stands around a Job's spec, and who changes it: pausing, shards, owners, traces."""

from __future__ import annotations

from typing import Any

import pytest

from component.admission.stage import API, JOB, Answer, Stage, job, service_account

pytestmark = pytest.mark.component

PREFIX = "hpc.goldcrest.dev/"
FINALIZER = "hpc.goldcrest.dev/cleanup"
OPERATOR = service_account("goldcrest-operator")
EDITOR = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs"], "verbs": ["*"]}]
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-4000-8000-000000000000"}
OTHER_OWNER = {**OWNER, "name": "other", "uid": "00000000-0000-4000-8000-000000000001"}
COLLECTOR = {
    "Impersonate-User": "system:serviceaccount:kube-system:generic-garbage-collector",
    "Impersonate-Group": "system:serviceaccounts",
}
MERGE = "application/merge-patch+json"


@pytest.fixture
def name(stage: Stage) -> str:
    """A Job of alice."""
    stage.bind("bob", EDITOR, name="editor", namespace="team")
    answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 201, answer
    return str(answer.body["metadata"]["name"])


def change(
    stage: Stage, user: str, name: str, metadata: dict[str, Any], *, via: dict[str, str] | None = None
) -> Answer:
    path = f"{API}/namespaces/team/jobs/{name}"
    return stage.call(user, "PATCH", path, {"metadata": metadata}, content_type=MERGE, headers=via)


@pytest.mark.parametrize(
    "metadata", [{"annotations": {PREFIX + "paused": "true"}}, {"ownerReferences": [OWNER]}], ids=["paused", "owner"]
)
def test_managers_alone(stage: Stage, name: str, metadata: dict[str, Any]) -> None:
    """Pausing stops the operator, and an owner that is gone deletes: that takes the right to manage the account."""
    answer = change(stage, "bob", name, metadata)
    assert answer.status == 403
    assert "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'" in answer.message
    assert change(stage, "alice", name, metadata).status == 200
    (field,) = metadata
    taken_back: dict[str, Any] = {field: {PREFIX + "paused": None} if field == "annotations" else None}
    assert change(stage, "bob", name, taken_back).status == 403
    assert change(stage, "root", name, taken_back).status == 200


@pytest.mark.parametrize("label", ["shard", "dialect"])
def test_administrators_alone(stage: Stage, name: str, label: str) -> None:
    """Which operator follows a Job, and how it was made, is changed by system:masters only; at creation anybody says it."""
    for user in ("alice", "bob", OPERATOR):
        answer = change(stage, user, name, {"labels": {PREFIX + label: "elsewhere"}})
        assert answer.status == 403
        assert f"label {PREFIX}{label} is changed by administrators (system:masters) only" in answer.message
    assert change(stage, "root", name, {"labels": {PREFIX + label: "elsewhere"}}).status == 200
    assert change(stage, "alice", name, {"labels": {PREFIX + label: None}}).status == 403
    labelled = {**JOB, "metadata": {"generateName": "x-", "labels": {PREFIX + label: "mine"}}}
    assert stage.create_job("alice", labelled, namespace="team").status == 201


@pytest.mark.parametrize("annotation", ["grant", "stamp", "traceparent", "body-sha256"])
def test_nobody(stage: Stage, name: str, annotation: str) -> None:
    """What was signed, and what the audit log is followed by, stays as it is, also for an administrator."""
    for user in ("alice", "root"):
        for value in ("00-11111111111111111111111111111111-2222222222222222-01", None):
            answer = change(stage, user, name, {"annotations": {PREFIX + annotation: value}})
            if value is None and annotation in ("grant", "body-sha256"):  # there was none
                assert answer.status == 200
                continue
            assert answer.status == 403
            assert f"annotation {PREFIX}{annotation}: field is immutable" in answer.message


def test_policy_is_asked(stage: Stage, name: str) -> None:
    """OPA may say no to pausing, as to everything that a manager does."""
    with stage.policy_data("blocked", ["alice"]):
        answer = change(stage, "alice", name, {"annotations": {PREFIX + "paused": "true"}})
    assert answer.status == 403
    assert f"annotation {PREFIX}paused may not be changed: alice is blocked" in answer.message


def test_the_rest_does_not_need_admission(stage: Stage, name: str) -> None:
    """While it is down: labels and annotations of one's own, asking the operator to look again, statuses, owners that are
    collected, and the finalizer's way out all work; what is ours does not."""
    path = f"{API}/namespaces/team/jobs/{name}"
    assert change(stage, "alice", name, {"ownerReferences": [OWNER, OTHER_OWNER]}).status == 200
    stage.stop_process("admission")
    try:
        for metadata in (
            {"labels": {"mine": "yes"}},
            {"annotations": {"example.org/note": "x", PREFIX + "reconcile-requested-at": "now"}},
            {"finalizers": [FINALIZER, "example.org/mine"]},
        ):
            assert change(stage, "bob", name, metadata).status == 200
        stage.write_status({"metadata": {"namespace": "team", "name": name}}, {"phase": "Queued"})
        # As the garbage collector does when one of two owners is gone.
        assert change(stage, "root", name, {"ownerReferences": [OTHER_OWNER]}, via=COLLECTOR).status == 200
        for metadata in (
            {"annotations": {PREFIX + "paused": "true"}},
            {"labels": {PREFIX + "shard": "other"}},
            {"ownerReferences": None},
            {"finalizers": ["example.org/mine"]},
        ):
            answer = change(stage, "alice", name, metadata)
            assert answer.status == 500
            assert 'failed calling webhook "mutate.hpc.goldcrest.dev"' in answer.message
        assert change(stage, OPERATOR, name, {"finalizers": ["example.org/mine"]}).status == 200
        assert stage.call("root", "DELETE", path, headers=COLLECTOR).status == 200
    finally:
        stage.start_admission()
    assert change(stage, "root", name, {"finalizers": None}).status == 200
    assert stage.call("root", "GET", path).status == 404


def test_large_jobs(stage: Stage) -> None:
    """Comparing old and new stays within the API server's cost limits, in webhook conditions and in policies, at the largest spec."""
    large = job(
        script={"inline": "#!/bin/bash\n" + "x" * (64 * 1024 - 12)},
        environment={f"V{number}": "v" * 4096 for number in range(256)},
        suspend=True,
    )
    answer = stage.create_job("alice", large, namespace="team")
    assert answer.status == 201, answer.message[:500]
    made = str(answer.body["metadata"]["name"])
    for spec in ({"suspend": False}, {"cancel": True}):
        answer = stage.patch_job("alice", "team", made, {"spec": spec})
        assert answer.status == 200, answer.message[:500]
    assert stage.call("alice", "DELETE", f"{API}/namespaces/team/jobs/{made}").status == 200
