"""Tasks in admission, with the real API server and OPA: as for Jobs, and what is theirs alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from component.admission.stage import API, JOB, Stage, service_account
from goldcrest.models.task import Operation, TaskSpec
from goldcrest.wellknown import MUTABLE_SPEC_FIELDS

pytestmark = pytest.mark.component

NODES: dict[str, Any] = {"nodes": {}}
READ_AT = "hpc.goldcrest.dev/read-at"
GATEWAY, OPERATOR = service_account("goldcrest-api"), service_account("goldcrest-operator")


@pytest.fixture
def name(stage: Stage) -> str:
    """A Task of alice."""
    answer = stage.create_task("alice", NODES)
    assert answer.status == 201, answer
    return str(answer.body["metadata"]["name"])


def test_a_task_is_stamped(stage: Stage) -> None:
    """Who asked, and the stamp; no finalizer, as it leaves nothing behind."""
    answer = stage.create_task("alice", {"listJobs": {"scope": "own"}})
    assert answer.status == 201, answer
    assert answer.body["spec"]["requestedBy"]["username"] == "alice"
    metadata = answer.body["metadata"]
    assert metadata["annotations"]["hpc.goldcrest.dev/stamp"].count(".") == 2
    assert "finalizers" not in metadata
    assert answer.body["status"] == {"observedGeneration": -1}


def test_somebody_elses_account(stage: Stage) -> None:
    """As for a Job; the refusal is logged with its kind."""
    answer = stage.create_task("alice", NODES, runAs="bob")
    assert answer.status == 403
    assert "alice may not use hpcaccounts.hpc.goldcrest.dev 'cluster:bob' in namespace team" in answer.message
    line = next(line for line in reversed(stage.log("admission").splitlines()) if "admission.refused" in line)
    assert '"kind":"Task"' in line.replace(" ", "")


def test_policy_sees_the_operation(stage: Stage) -> None:
    """The site's rules can tell cancelling from asking."""
    rules = 'package goldcrest.site\n\ndeny contains "nobody cancels here" if input.operation == "task.cancelJob"\n'
    with stage.site_rules(rules):
        answer = stage.create_task("alice", {"cancelJob": {"jobIds": ["1"]}})
        assert answer.status == 403, answer
        assert "nobody cancels here" in answer.message
        assert stage.create_task("alice", {"listJobs": {"scope": "own"}}).status == 201


@pytest.mark.parametrize(
    ("operation", "sentence"),
    [
        ({}, "spec.operation needs exactly one operation; none was given"),
        ({"nodes": {}, "partitions": {}}, "nodes and partitions was given"),
        ({"listJobs": {}}, "spec.operation.listJobs.scope is required"),
        ({"listJobs": {"scope": "mine"}}, "scope: it must be 'own' or 'all'"),
        ({"listJobs": {"scope": "own", "jobIds": ["x"]}}, "jobIds.0: 'x' is not of its form"),
        ({"listJobs": {"scope": "own", "jobIds": ["1"] * 1001}}, "1000"),
        ({"listJobs": {"scope": "own", "details": True, "tailBytes": 65_537}}, "tailBytes"),
        ({"listJobs": {"scope": "all", "details": True}}, "details are given of one's own jobs only"),
        ({"accounting": {"startTime": "yesterday"}}, "startTime: 'yesterday' is not of its form"),
        (
            {"accounting": {"startTime": "2030-01-02T00:00:00", "endTime": "2030-01-01T00:00:00"}},
            "the end 2030-01-01T00:00:00 is before the start",
        ),
        ({"jobDetail": {}}, "jobId is required"),
        ({"jobDetail": {"jobId": "1_[9-1]"}}, "does not name 1 to 1000 elements"),
        ({"cancelJob": {"jobIds": []}}, "jobIds"),
        ({"cancelJob": {"jobIds": ["1"] * 101}}, "jobIds"),
        ({"nodes": {"names": ["n1; reboot"]}}, "is not the name of a node"),
        ({"nodes": {"names": [7]}}, "names.0 must be text: write it in quotes"),
        ({"reboot": {}}, "reboot"),
    ],
)
def test_bad_input(stage: Stage, operation: dict[str, Any], sentence: str) -> None:
    """A sentence that says what to change, whoever of schema and webhook says it."""
    answer = stage.create_task("alice", operation)
    assert answer.status in (400, 422), answer
    assert sentence in answer.message, answer.message


def test_exactly_one_operation_without_admission(stage: Stage) -> None:
    """The schema keeps it too."""
    with stage.without_admission():
        answer = stage.create_task("root", {"nodes": {}, "partitions": {}})
        assert answer.status == 422
        assert "operation needs exactly one of listJobs, accounting, nodes" in answer.message


OTHERS: dict[str, Any] = {
    "system": "other",
    "runAs": "bob",
    "requestedBy": None,
    "operation": {"nodes": None, "partitions": {}},
}


@pytest.mark.parametrize("field", [f.alias or n for n, f in TaskSpec.model_fields.items()])
def test_frozen_fields(stage: Stage, name: str, field: str) -> None:
    """Every field of the model is frozen, also for administrators, or listed as one that may change; generated from it."""
    if field in MUTABLE_SPEC_FIELDS:
        value = 5 if field == "ttlSecondsAfterFinished" else True
        assert stage.patch_task("alice", name, {"spec": {field: value}}).status == 200
        return
    for value in (OTHERS[field], None):
        answer = stage.patch_task("root", name, {"spec": {field: value}})
        assert answer.status == 422, answer
        assert "immutable" in answer.message or "Required value" in answer.message or "is required" in answer.message


@pytest.mark.parametrize("operation", [f.alias or n for n, f in Operation.model_fields.items()])
def test_every_operation_is_kept_as_it_was(stage: Stage, operation: str) -> None:
    """Whatever is asked stays what was signed, in the schema alone as well."""
    asked: dict[str, Any] = {
        "listJobs": {"scope": "own"},
        "jobDetail": {"jobId": "7"},
        "cancelJob": {"jobIds": ["7"]},
    }
    answer = stage.create_task("alice", {operation: asked.get(operation, {})})
    assert answer.status == 201, answer
    made = answer.body["metadata"]["name"]
    with stage.without_admission():
        other = {"jobDetail": {"jobId": "8"}} if operation != "jobDetail" else {"nodes": {}}
        answer = stage.patch_task("root", made, {"spec": {"operation": {operation: None, **other}}})
    assert answer.status == 422
    assert "operation: field is immutable" in answer.message


def test_deleting(stage: Stage, name: str) -> None:
    """Who may manage the account; never the gateway; the operator only what has ended and only asked."""
    path = f"{API}/namespaces/team/tasks/{name}"
    everything = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["tasks"], "verbs": ["*"]}]
    stage.bind("bob", everything, name="editor-of-tasks", namespace="team")
    answer = stage.call("bob", "DELETE", path)
    assert (answer.status, "bob may not manage" in answer.message) == (403, True)
    answer = stage.call(GATEWAY, "DELETE", path)
    assert (answer.status, "the gateway deletes nothing" in answer.message) == (403, True)
    answer = stage.call(OPERATOR, "DELETE", path)
    assert (answer.status, "only what has ended" in answer.message) == (403, True)
    stage.write_status(stage.must("GET", path), {"phase": "Succeeded"})
    assert stage.call(OPERATOR, "DELETE", path).status == 200


def test_a_cancelling_stays_for_the_operator(stage: Stage) -> None:
    """Without a TTL the operator may not take it away."""
    made = stage.create_task("alice", {"cancelJob": {"jobIds": ["7"]}}).body
    stage.write_status(made, {"phase": "Succeeded"})
    path = f"{API}/namespaces/team/tasks/{made['metadata']['name']}"
    assert stage.call(OPERATOR, "DELETE", path).status == 403
    assert stage.call("alice", "DELETE", path).status == 200


def test_the_note_of_reading(stage: Stage, name: str) -> None:
    """The gateway's alone, once, with a time; and nothing else beside it."""
    note = {"metadata": {"annotations": {READ_AT: "2030-01-02T03:04:05Z"}}}
    for user in ("alice", "root"):
        answer = stage.patch_task(user, name, note)
        assert (answer.status, f"annotation {READ_AT} is the gateway's alone" in answer.message) == (403, True)
        assert 'webhook "mutate.hpc.goldcrest.dev" denied' in answer.message, "with a line in our log"
    for wrong in ({READ_AT: "soon"}, {READ_AT: "2030-01-02T03:04:05Z", "other": "x"}):
        assert stage.patch_task(GATEWAY, name, {"metadata": {"annotations": wrong}}).status == 403
    assert stage.patch_task(GATEWAY, name, note).status == 200
    again = {"metadata": {"annotations": {READ_AT: "2031-01-02T03:04:05Z"}}}
    assert stage.patch_task(GATEWAY, name, again).status == 403
    assert stage.patch_task(GATEWAY, name, {"spec": {"cancel": True}}).status == 403


def test_the_note_is_not_for_jobs(stage: Stage) -> None:
    """A Job is nobody's query."""
    job = stage.create_job("alice", JOB, namespace="team").body["metadata"]["name"]
    answer = stage.patch_job(GATEWAY, "team", job, {"metadata": {"annotations": {READ_AT: "2030-01-02T03:04:05Z"}}})
    assert (answer.status, "of a Task once" in answer.message) == (403, True)


def test_while_the_webhooks_are_away(stage: Stage, name: str) -> None:
    """The API server's own policies keep stamps, statuses, results, the note of reading and deletion."""
    with stage.without_webhooks():
        answer = stage.create_task("alice", NODES)
        assert (answer.status, "the stamp of Goldcrest's admission is missing" in answer.message) == (403, True)
        note = {"metadata": {"annotations": {READ_AT: "2030-01-02T03:04:05Z"}}}
        assert stage.patch_task("alice", name, note).status == 403
        path = f"{API}/namespaces/team/tasks/{name}"
        merge = "application/merge-patch+json"
        answer = stage.call("root", "PATCH", f"{path}/status", {"status": {"phase": "Failed"}}, content_type=merge)
        assert (answer.status, "by Goldcrest's operator alone" in answer.message) == (403, True)
        assert stage.call(OPERATOR, "DELETE", path).status == 403
        result = {
            "apiVersion": "hpc.goldcrest.dev/v1alpha1",
            "kind": "TaskResult",
            "metadata": {"name": "forged"},
            "data": "H4sI",
        }
        results = f"{API}/namespaces/team/taskresults"
        for user in ("root", "alice", OPERATOR):  # the operator's has no owner
            answer = stage.call(user, "POST", results, result)
            assert answer.status == 403, answer
        owner = {"apiVersion": "hpc.goldcrest.dev/v1alpha1", "kind": "Task", "name": name, "uid": "x"}
        owned = {**result, "metadata": {"name": "genuine", "ownerReferences": [owner]}}
        assert stage.call("root", "POST", results, owned).status == 403
        assert stage.call(OPERATOR, "POST", results, owned).status == 201
        answer = stage.call("root", "PATCH", f"{results}/genuine", {"data": "H4sJ"}, content_type=merge)
        assert (answer.status, "data: field is immutable" in answer.message) == (422, True)


def test_two_hundred_are_enough(stage: Stage) -> None:
    """The 201st Task of a user in a namespace: 429 for kubectl too; other users there are not held up."""
    namespace = stage.namespace("many")
    stage.may("alice", namespace, accounts=["cluster:alice"])
    stage.may("bob", namespace, accounts=["cluster:bob"])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: stage.create_task("alice", NODES, namespace=namespace), range(200)))
    assert {answer.status for answer in answers} == {201}
    answer = stage.create_task("alice", NODES, namespace=namespace)
    assert answer.status == 429
    assert "alice has 200 Tasks in namespace many" in answer.message
    assert "delete some (kubectl delete gtask)" in answer.message
    assert stage.create_task("bob", NODES, namespace=namespace, runAs="bob").status == 201
    gone = answers[0].body["metadata"]["name"]
    assert stage.call("alice", "DELETE", f"{API}/namespaces/{namespace}/tasks/{gone}").status == 200
    assert stage.create_task("alice", NODES, namespace=namespace).status == 201
