"""Kubernetes' own controllers beside us: kube-controller-manager checks the policies' types, ends namespaces, collects garbage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from component.admission.binaries import binary
from component.admission.stage import API, JOB, REGISTRATION, Stage, free_port, policies, service_account, until

pytestmark = pytest.mark.component

OPERATOR = service_account("goldcrest-operator")
CONTROLLERS = ("validatingadmissionpolicy-status-controller", "garbage-collector-controller", "namespace-controller")
POLICIES = f"{REGISTRATION}/validatingadmissionpolicies"


@pytest.fixture(scope="module")
def controllers(stage: Stage) -> Iterator[Stage]:
    """A real kube-controller-manager, each controller with its own service account, as clusters run it."""
    port = free_port()
    argv = [
        str(binary("kube-controller-manager")),
        f"--kubeconfig={stage.kubeconfig('root')}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={stage.folder}",
    ]
    with stage.running("kube-controller-manager", argv, port=port):
        yield stage


def owned(stage: Stage, namespace: str, owner: dict[str, Any]) -> str:
    """A Job of alice's, with an owner."""
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["name"], "uid": owner["uid"]}
    metadata = {"generateName": "owned-", "ownerReferences": [reference]}
    answer = stage.create_job("alice", {**JOB, "metadata": metadata}, namespace=namespace)
    assert answer.status == 201, answer
    return f"{API}/namespaces/{namespace}/jobs/{answer.body['metadata']['name']}"


def is_deleting(stage: Stage, path: str) -> bool:
    return "deletionTimestamp" in stage.must("GET", path)["metadata"]


def clean_up(stage: Stage, path: str) -> None:
    """As the operator does when the job is cancelled."""
    patch = {"metadata": {"finalizers": None}}
    answer = stage.call(OPERATOR, "PATCH", path, patch, content_type="application/merge-patch+json")
    assert answer.status == 200, answer


def test_types_of_the_policies(controllers: Stage) -> None:
    """The API server finds nothing to warn of in the types of any expression; a wrong one it would find."""
    wrong = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "wrong-type"},
        "spec": {
            "matchConstraints": policies()[0]["spec"]["matchConstraints"],
            "validations": [{"expression": "object.spec.runAs == 1"}],
        },
    }
    controllers.must("POST", POLICIES, wrong)

    def checked(name: str) -> Any:
        policy = controllers.must("GET", f"{POLICIES}/{name}")
        status = policy.get("status", {})
        seen = status.get("observedGeneration") == policy["metadata"]["generation"] and "typeChecking" in status
        return status["typeChecking"] if seen else None

    names = [item["metadata"]["name"] for item in policies() if item["kind"] == "ValidatingAdmissionPolicy"]
    try:
        for name in (*names, "wrong-type"):
            until(lambda name=name: checked(name) is not None, f"the types of {name} are checked")
        assert {name: checked(name) for name in names} == {name: {} for name in names}
        (warning,) = checked("wrong-type")["expressionWarnings"]
        assert "found no matching overload for '_==_'" in warning["warning"]
    finally:
        controllers.must("DELETE", f"{POLICIES}/wrong-type")


@pytest.mark.parametrize("admission_is_down", [False, True])
def test_the_end_of_a_namespace(controllers: Stage, admission_is_down: bool) -> None:
    """The namespace controller deletes the Jobs in it, whoever may manage them; when they are cleaned up, it is gone."""
    place = controllers.namespace(f"ending-{admission_is_down}".lower())
    controllers.may("alice", place, accounts=["cluster:alice"])
    made = controllers.create_job("alice", JOB, namespace=place)
    assert made.status == 201, made
    path = f"{API}/namespaces/{place}/jobs/{made.body['metadata']['name']}"
    if admission_is_down:
        controllers.stop_process("admission")
    try:
        controllers.must("DELETE", f"/api/v1/namespaces/{place}")
        until(lambda: is_deleting(controllers, path), "the namespace controller deletes the Job")
        clean_up(controllers, path)
        until(
            lambda: controllers.call("root", "GET", f"/api/v1/namespaces/{place}").status == 404,
            "the namespace is gone",
            seconds=60,
        )
    finally:
        if admission_is_down:
            controllers.start_admission()


@pytest.mark.parametrize("admission_is_down", [False, True])
def test_an_owner_that_is_gone(controllers: Stage, admission_is_down: bool) -> None:
    """The garbage collector deletes a Job with its owner, as who made it with that owner has asked for."""
    path_of_owner = "/api/v1/namespaces/team/configmaps"
    owner = controllers.must("POST", path_of_owner, {"metadata": {"generateName": "owner-"}})["metadata"]
    path = owned(controllers, "team", owner)
    if admission_is_down:
        controllers.stop_process("admission")
    try:
        controllers.must("DELETE", f"{path_of_owner}/{owner['name']}")
        until(lambda: is_deleting(controllers, path), "the garbage collector deletes the Job", seconds=60)
        clean_up(controllers, path)
        until(lambda: controllers.call("root", "GET", path).status == 404, "the Job is gone")
    finally:
        if admission_is_down:
            controllers.start_admission()
