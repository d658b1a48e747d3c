"""A Job that is deleted is cancelled: only those do it who may manage its account."""

from __future__ import annotations

from typing import Any

import pytest

from component.admission.stage import API, JOB, Stage, job, service_account, until

pytestmark = pytest.mark.component

OPERATOR = service_account("goldcrest-operator")
GATEWAY = service_account("goldcrest-api")
JOBS = f"{API}/namespaces/team/jobs"
EDITOR = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs"], "verbs": ["*"]}]


def make(stage: Stage, **spec: Any) -> str:
    answer = stage.create_job("alice", job(**spec), namespace="team")
    assert answer.status == 201, answer
    return str(answer.body["metadata"]["name"])


def is_deleting(stage: Stage, name: str) -> bool:
    return "deletionTimestamp" in stage.must("GET", f"{JOBS}/{name}")["metadata"]


@pytest.fixture
def editor(stage: Stage) -> str:
    """Bob may do everything with Jobs in the namespace, and has no account there."""
    stage.bind("bob", EDITOR, name="editor", namespace="team")
    return "bob"


def test_its_manager_deletes_it(stage: Stage) -> None:
    """Who may manage the account deletes, twice if need be; the finalizer keeps the Job until it is cleaned up."""
    name = make(stage)
    for _ in range(2):
        assert stage.call("alice", "DELETE", f"{JOBS}/{name}").status == 200
        assert is_deleting(stage, name)


@pytest.mark.parametrize("query", ["", "?propagationPolicy=Orphan", "?gracePeriodSeconds=0", "?dryRun=All"])
@pytest.mark.parametrize("policy", ["Cancel", "Orphan"])
def test_somebody_else_does_not(stage: Stage, editor: str, query: str, policy: str) -> None:
    """The right to delete Jobs is not the right to cancel somebody's job, nor to lose sight of it."""
    name = make(stage, deletionPolicy=policy)
    answer = stage.call(editor, "DELETE", f"{JOBS}/{name}{query}")
    assert answer.status == 403
    assert "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice' in namespace team" in answer.message
    assert not is_deleting(stage, name)


def test_a_collection(stage: Stage, editor: str) -> None:
    """`kubectl delete gjob --all` is reviewed for each Job in it."""
    name = make(stage)
    answer = stage.call(editor, "DELETE", JOBS)
    assert answer.status == 403
    assert "bob may not manage" in answer.message
    assert not is_deleting(stage, name)
    assert stage.call("alice", "DELETE", JOBS).status == 200
    assert is_deleting(stage, name)


def test_policy_refuses(stage: Stage) -> None:
    """OPA is asked too, and its reason is shown."""
    name = make(stage)
    with stage.policy_data("blocked", ["alice"]):
        answer = stage.call("alice", "DELETE", f"{JOBS}/{name}")
    assert answer.status == 403
    assert f"gjob {name} may not be deleted: alice is blocked" in answer.message


def test_a_wildcard_is_no_account(stage: Stage) -> None:
    """A GitOps controller with rights on everything does not delete for accounts that nobody gave it."""
    stage.bind("gitops", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], name="gitops", namespace=None)
    answer = stage.call("gitops", "DELETE", f"{JOBS}/{make(stage)}")
    assert answer.status == 403
    assert "gitops holds a wildcard on hpcaccounts, so nobody gave them this account" in answer.message


def test_the_gateway_deletes_nothing(stage: Stage) -> None:
    """Not even where RBAC would let it (the stage does)."""
    answer = stage.call(GATEWAY, "DELETE", f"{JOBS}/{make(stage)}")
    assert answer.status == 403
    assert "the gateway deletes nothing" in answer.message


def test_the_operator_deletes_what_is_over(stage: Stage) -> None:
    """Its TTL deletion does not need us; anything else it does not delete."""
    running, kept, over = make(stage, ttlSecondsAfterFinished=90), make(stage), make(stage, ttlSecondsAfterFinished=90)
    stage.write_status({"metadata": {"namespace": "team", "name": kept}}, {"phase": "Succeeded"})
    stage.write_status({"metadata": {"namespace": "team", "name": over}}, {"phase": "Succeeded"})
    for name in (running, kept):
        answer = stage.call(OPERATOR, "DELETE", f"{JOBS}/{name}")
        assert answer.status == 403
        assert "the operator deletes only what has ended and has ttlSecondsAfterFinished" in answer.message
    assert stage.call(OPERATOR, "DELETE", f"{JOBS}/{over}").status == 200


def test_while_admission_is_down(stage: Stage) -> None:
    """People wait; a TTL, an administrator and the end of a clean-up do not."""
    mine, over, lost = make(stage), make(stage, ttlSecondsAfterFinished=90), make(stage)
    stage.write_status({"metadata": {"namespace": "team", "name": over}}, {"phase": "Failed"})
    stage.stop_process("admission")
    try:
        answer = stage.call("alice", "DELETE", f"{JOBS}/{mine}")
        assert answer.status == 500
        assert 'failed calling webhook "mutate.hpc.goldcrest.dev"' in answer.message
        assert stage.call(OPERATOR, "DELETE", f"{JOBS}/{over}").status == 200
        assert stage.call("root", "DELETE", f"{JOBS}/{lost}").status == 200
        for user, name in ((OPERATOR, over), ("root", lost)):
            assert stage.patch_job(user, "team", name, {"metadata": {"finalizers": None}}).status == 200
            until(lambda name=name: stage.call("root", "GET", f"{JOBS}/{name}").status == 404, f"{name} is gone")
    finally:
        stage.start_admission()
    assert stage.call("alice", "DELETE", f"{JOBS}/{mine}").status == 200


def test_a_cluster_admin_who_is_no_master(stage: Stage) -> None:
    """The documented way out: whoever may impersonate the group system:masters has its rights for one command."""
    name = make(stage)
    headers = {"Impersonate-User": "gitops", "Impersonate-Group": "system:masters"}
    stage.bind("gitops", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], name="gitops", namespace=None)
    assert stage.call("gitops", "DELETE", f"{JOBS}/{name}").status == 403
    assert stage.call("gitops", "DELETE", f"{JOBS}/{name}", headers=headers).status == 200


def test_it_is_logged(stage: Stage, editor: str) -> None:
    """Who tried, whose job, which."""
    name = make(stage)
    stage.call(editor, "DELETE", f"{JOBS}/{name}")
    (line,) = [text for text in stage.log("admission").splitlines() if name in text and '"DELETE"' in text]
    for part in ('"admission.refused"', '"user":"bob"', '"run_as":"alice"', '"system":"cluster"', "may not manage"):
        assert part in line
    assert JOB["spec"]["runAs"] == "alice"
