from __future__ import annotations

from typing import Any

import pytest

from component.admission.stage import API, JOB, Stage, service_account

pytestmark = pytest.mark.component

FINALIZER = "hpc.goldcrest.dev/cleanup"


@pytest.fixture
def name(stage: Stage) -> str:
    """A Job of alice."""
    answer = stage.create_job("alice", JOB, namespace="team")
    assert answer.status == 201, answer
    return str(answer.body["metadata"]["name"])


def test_its_manager_suspends_it(stage: Stage, name: str) -> None:
    """Who may manage the account sets suspend, cancel, deletionPolicy and the TTL."""
    for spec in ({"suspend": True}, {"deletionPolicy": "Orphan"}, {"ttlSecondsAfterFinished": 5}, {"cancel": True}):
        assert stage.patch_job("alice", "team", name, {"spec": spec}).status == 200


def test_somebody_else_does_not(stage: Stage, name: str) -> None:
    """The right to edit Jobs is not the right to cancel somebody's job."""
    stage.bind(
        "bob",
        [{"apiGroups": ["*"], "resources": ["jobs"], "verbs": ["*"]}],
        name="editor-of-any-group",
        namespace="team",
    )
    answer = stage.patch_job("bob", "team", name, {"spec": {"cancel": True}})
    assert answer.status == 403
    assert "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'" in answer.message


@pytest.mark.parametrize(
    "spec",
    [
        {"script": {"inline": "rm -rf ~"}},
        {"runAs": "bob"},
        {"partition": "debug"},
        {"requestedBy": {"via": "Kubernetes", "username": "bob", "uid": None, "groups": []}},
        {"requestedBy": None},
    ],
)
def test_frozen_fields(stage: Stage, name: str, spec: dict[str, Any]) -> None:
    """What was signed stays as it is, also for an administrator, also when a field is added or removed."""
    answer = stage.patch_job("root", "team", name, {"spec": spec})
    assert answer.status == 422
    assert "field is immutable" in answer.message


@pytest.mark.parametrize("annotation", ["grant", "stamp", "action-grant"])
def test_frozen_annotations(stage: Stage, name: str, annotation: str) -> None:
    """Grant, stamp and action grant are not for users to write."""
    patch = {"metadata": {"annotations": {f"hpc.goldcrest.dev/{annotation}": "a.b.c"}}}
    answer = stage.patch_job("root", "team", name, patch)
    assert answer.status == 403
    assert f"hpc.goldcrest.dev/{annotation}" in answer.message


def test_finalizer(stage: Stage, name: str) -> None:
    """Users cannot lose a running job by removing the finalizer; the operator and an administrator can remove it."""
    patch = {"metadata": {"finalizers": []}}
    answer = stage.patch_job("alice", "team", name, patch)
    assert answer.status == 403
    assert f"finalizer {FINALIZER} is removed by Goldcrest's operator" in answer.message
    assert stage.patch_job(service_account("goldcrest-operator"), "team", name, patch).status == 200


def test_the_way_out_of_an_administrator(stage: Stage, name: str) -> None:
    """system:masters may remove the finalizer, for a resource that nothing else gets rid of."""
    assert stage.patch_job("root", "team", name, {"metadata": {"finalizers": None}}).status == 200


def test_the_gateway_needs_an_action_grant(stage: Stage, name: str) -> None:
    """A stolen gateway account cancels nothing."""
    answer = stage.patch_job(service_account("goldcrest-api"), "team", name, {"spec": {"cancel": True}})
    assert answer.status == 403
    assert "only with an action grant" in answer.message


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-4000-8000-000000000000"}


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"annotations": {"hpc.goldcrest.dev/paused": "true"}}, "annotations"),
        ({"annotations": {"hpc.goldcrest.dev/traceparent": None}}, "annotations"),
        ({"labels": {"hpc.goldcrest.dev/shard": "nobodys"}}, "labels"),
        ({"ownerReferences": [OWNER]}, "ownerReferences"),
        ({"finalizers": [FINALIZER, "example.org/never"]}, "finalizers"),
    ],
)
def test_the_gateway_leaves_metadata_alone(stage: Stage, name: str, metadata: dict[str, Any], named: str) -> None:
    """A stolen gateway account can neither stop, hide, delete nor keep somebody's Job by what stands around its spec."""
    answer = stage.patch_job(service_account("goldcrest-api"), "team", name, {"metadata": metadata})
    assert answer.status == 403
    assert f"nothing else: not metadata.{named}" in answer.message


def test_labels_and_status_do_not_need_us(stage: Stage, name: str) -> None:
    """While admission is down, a status is written, a label is set, and the operator removes the finalizer."""
    path = f"{API}/namespaces/team/jobs/{name}/status"
    stage.stop_process("admission")
    try:
        operator = service_account("goldcrest-operator")
        patch = {"status": {"phase": "Queued"}}
        rights = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs/status"], "verbs": ["patch"]}]
        stage.bind(operator, rights, name="status-writer", namespace=None)
        written = stage.call(operator, "PATCH", path, patch, content_type="application/merge-patch+json")
        assert written.status == 200, written
        assert stage.patch_job("alice", "team", name, {"metadata": {"labels": {"mine": "yes"}}}).status == 200
        assert stage.patch_job("alice", "team", name, {"spec": {"suspend": True}}).status >= 500
        assert stage.patch_job(operator, "team", name, {"metadata": {"finalizers": []}}).status == 200
        assert stage.create_job("alice", JOB, namespace="team").status >= 500
    finally:
        stage.start_admission()
