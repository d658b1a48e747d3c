"""What is asked of the scheduler by REST (contract 5.4, 5.5, 5.7): the Task that is made, and every answer and refusal."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import ALICE, Gateway, running_gateway
from goldcrest.canonical import sha256_hex
from goldcrest.errors import CommandRefused, Denied, DeniedForNow, PolicyUnavailable, SystemUnreachable, Unauthenticated

pytestmark = pytest.mark.component

READ_AT = "hpc.goldcrest.dev/read-at"
ROUTES = {
    "/compute/jobs": "Failed to retrieve jobs information",
    "/compute/jobs/102": "Failed to retrieve job information",
    "/compute/acct": "Failed to retrieve account information",
    "/compute/nodes": "Failed to retrieve account information",
    "/compute/nodes/n1": "Failed to retrieve account information",
    "/compute/partitions": "Failed to retrieve account information",
    "/compute/reservations": "Failed to retrieve account information",
}
JOB = {
    "jobId": "102",
    "baseId": "102",
    "partition": "normal",
    "name": "job.sh",
    "user": "alice",
    "state": "RUNNING",
    "start": "2030-01-02T03:04:05",
    "elapsed": "0:07",
    "timeLeft": "59:53",
    "nodes": "1",
    "nodeList": "n1",
}
DETAIL = {
    "jobId": "102",
    "command": "/s/job.sh",
    "stdout": "/s/o",
    "stderr": "/s/e",
    "stdoutTail": "hello\n",
    "stderrTail": "",
}
RECORD = {
    "jobid": "102",
    "partition": "normal",
    "name": "job.sh",
    "user": "alice",
    "state": "RUNNING",
    "start_time": "2030-01-02T03:04:05",
    "time": "0:07",
    "time_left": "59:53",
    "nodes": "1",
    "nodelist": "n1",
    "job_file": "/s/job.sh",
    "job_file_out": "/s/o",
    "job_file_err": "/s/e",
    "job_data_out": "hello\n",
    "job_data_err": "",
    "job_info_extra": "Job info returned successfully",
}


def succeeded(value: Any, **more: Any) -> dict[str, Any]:
    """Status of a Task with this result."""
    text = json.dumps(value)
    result = {"inline": text, "sha256": sha256_hex(text.encode()), "size": len(text), "asOf": "2030-01-02T03:04:05Z"}
    return {"phase": "Succeeded", "message": "done", "endTime": "2030-01-02T03:04:06Z", "result": {**result, **more}}


async def asked(gateway: Gateway, path: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """The task's id, and the Task that was made for this request."""
    reply = await gateway.request("GET", path, **more)
    assert reply.status == 200, reply
    body = reply.json()
    task_id = body["task_id"]
    assert body == {"success": "Task created", "task_id": task_id, "task_url": f"/tasks/{task_id}"}
    (task,) = (task for task in gateway.kubernetes.tasks() if task["metadata"]["name"] == f"r-{task_id}")
    return task_id, task


async def outcome(gateway: Gateway, path: str, status: dict[str, Any]) -> dict[str, Any]:
    """The task's record when the operator has written this status."""
    task_id, task = await asked(gateway, path)
    await gateway.kubernetes.set_task_status(task["metadata"]["name"], status)

    async def ended() -> Any:
        record = await gateway.task(task_id)
        return record if record["status"] != "100" else None

    record: dict[str, Any] = await gateway.eventually(ended)
    return record


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/compute/jobs", {"listJobs": {"scope": "own", "details": True}}),
        ("/compute/jobs?userJobs=True", {"listJobs": {"scope": "own", "details": True}}),
        ("/compute/jobs?userJobs=false", {"listJobs": {"scope": "all"}}),
        ("/compute/jobs?jobs=1,2_3", {"listJobs": {"scope": "own", "details": True, "jobIds": ["1", "2_3"]}}),
        ("/compute/jobs?pageSize=5", {"listJobs": {"scope": "own", "details": True, "page": {"size": 5, "number": 0}}}),
        ("/compute/jobs?pageNumber=2", {"listJobs": {"scope": "own", "details": True, "page": {"size": 25, "number": 2}}}),
        ("/compute/jobs?pageSize=x&pageNumber=y", {"listJobs": {"scope": "own", "details": True, "page": {"size": 25, "number": 0}}}),
        ("/compute/jobs?pageSize=0", {"listJobs": {"scope": "own", "details": True, "page": {"size": 0, "number": 0}}}),
        ("/compute/jobs?pageNumber=-1", {"listJobs": {"scope": "own", "details": True, "page": {"size": 25, "number": -1}}}),
        ("/compute/jobs/102", {"jobDetail": {"jobId": "102"}}),
        ("/compute/jobs/102_[4-9]", {"jobDetail": {"jobId": "102_[4-9]"}}),
        ("/compute/acct", {"accounting": {}}),
        ("/compute/acct?jobs=7", {"accounting": {"jobIds": ["7"]}}),
        (
            "/compute/acct?starttime=2030-01-02&endtime=01/03/30-04:05",
            {"accounting": {"startTime": "2030-01-02T00:00:00", "endTime": "2030-01-03T04:05:00"}},
        ),
        ("/compute/nodes", {"nodes": {}}),
        ("/compute/nodes?nodes=n1,n2", {"nodes": {"names": ["n1", "n2"]}}),
        ("/compute/nodes/n1", {"nodes": {"names": ["n1"]}}),
        ("/compute/partitions", {"partitions": {}}),
        ("/compute/partitions?partitions=normal", {"partitions": {"names": ["normal"]}}),
        ("/compute/reservations?reservations=lab", {"reservations": {"names": ["lab"]}}),
    ],
)  # fmt: skip
async def test_the_task_that_is_made(gateway: Gateway, path: str, operation: dict[str, Any]) -> None:
    """In the caller's namespace, as the caller, for an hour, with delegation's grant; policy is told the route."""
    _, task = await asked(gateway, path)
    assert task["spec"]["operation"] == operation
    assert (task["spec"]["runAs"], task["spec"]["system"]) == ("alice", "cluster")
    assert task["spec"]["ttlSecondsAfterFinished"] == 3600
    assert task["metadata"]["namespace"] == ALICE
    assert task["metadata"]["annotations"]["hpc.goldcrest.dev/grant"] == f"grant-for-{task['metadata']['name']}"
    assert gateway.delegation.granted[-1]["route"].startswith("GET /compute/")


async def test_a_queued_task(gateway: Gateway) -> None:
    """Before the operator has answered."""
    task_id, _ = await asked(gateway, "/compute/jobs")
    record = await gateway.task(task_id)
    assert (record["status"], record["description"], record["data"]) == ("100", "Queued", "Queued")
    assert (record["service"], record["system"], record["user"]) == ("compute", "cluster", "alice")
    assert record["task_url"] == f"/tasks/{task_id}"


async def test_jobs(gateway: Gateway) -> None:
    """An object of records by index; the names mean what they say (D2); and of which moment it is."""
    record = await outcome(gateway, "/compute/jobs", succeeded({"jobs": [{**JOB, "detail": DETAIL}], "total": 1}))
    assert (record["status"], record["description"]) == ("200", "Finished successfully")
    assert record["data"] == {"0": RECORD}
    assert record["as_of"] == "2030-01-02T03:04:05"
    assert record["updated_at"] == record["last_modify"] == "2030-01-02T03:04:06"


async def test_jobs_of_others(gateway: Gateway) -> None:
    """Without files, with the contract's sentence."""
    record = await outcome(gateway, "/compute/jobs?userJobs=no", succeeded({"jobs": [JOB], "total": 1}))
    shown = record["data"]["0"]
    assert shown["job_info_extra"] == "Job files information is not available when `userJobs` is False"
    assert {shown[name] for name in shown if name.startswith(("job_file", "job_data"))} == {""}


async def test_one_job(gateway: Gateway) -> None:
    """D1: it ends, and its data is the record under "0"."""
    record = await outcome(gateway, "/compute/jobs/102", succeeded({"jobs": [{**JOB, "detail": DETAIL}], "total": 1}))
    assert (record["status"], record["data"]) == ("200", {"0": RECORD})


@pytest.mark.parametrize(
    ("path", "value", "data"),
    [
        ("/compute/jobs", {"jobs": [], "total": 0}, {}),
        ("/compute/acct", {"accounting": [], "total": 0}, {}),
        ("/compute/nodes", {"nodes": []}, []),
        ("/compute/reservations", {"reservations": []}, []),
        (
            "/compute/nodes",
            {"nodes": [{"name": "n1", "partitions": ["a", "b"], "state": ["IDLE", "DRAIN"]}]},
            [{"NodeName": "n1", "ActiveFeatures": None, "Partitions": ["a", "b"], "State": ["IDLE", "DRAIN"]}],
        ),
        (
            "/compute/partitions",
            {"partitions": [{"name": "a", "state": "UP", "totalCpus": "8", "totalNodes": "2", "default": "YES"}]},
            [{"PartitionName": "a", "State": "UP", "TotalCPUs": "8", "TotalNodes": "2", "Default": "YES"}],
        ),
    ],
)
async def test_shapes(gateway: Gateway, path: str, value: Any, data: Any) -> None:
    """Arrays and objects as the contract has them, also empty ones."""
    assert (await outcome(gateway, path, succeeded(value)))["data"] == data


@pytest.mark.parametrize(
    ("status", "data"),
    [
        ({"phase": "Failed", "message": "slurm_load_jobs error: Invalid job id specified"}, "slurm_load_jobs error: Invalid job id specified"),
        ({"phase": "Cancelled", "message": "Cancelled before it began."}, "Cancelled before it began."),
        (succeeded({"partitions": [{"name": "a", "state": "UP"}]}), "The scheduler does not say TotalCPUs of partition a"),
        (succeeded({"strange": 1}), "the result is not in a form that this release knows: KeyError"),
        (succeeded({"nodes": []}, sha256="0" * 64), "the result is not the one that the task had"),
    ],
)  # fmt: skip
async def test_failures(gateway: Gateway, status: dict[str, Any], data: str) -> None:
    """400 with the text."""
    record = await outcome(gateway, "/compute/partitions", status)
    assert (record["status"], record["description"], record["data"]) == ("400", "Finished with errors", data)


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("SystemUnreachable", "Machine is not available"),
        ("ConnectionRefused", "login1:2222: refused"),
        ("LoginDenied", "login1:2222: refused"),
    ],
)
async def test_machine_that_went_away_meanwhile(gateway: Gateway, reason: str, data: str) -> None:
    """The contract's words, not those of the connection; the words where it answers and refuses (3.6)."""
    condition = {
        "type": "Ready",
        "status": "False",
        "observedGeneration": 1,
        "lastTransitionTime": "2030-01-02T03:04:05Z",
        "reason": reason,
        "message": "login1:2222: refused",
    }
    failed = {"phase": "Failed", "message": condition["message"], "conditions": [condition]}
    record = await outcome(gateway, "/compute/jobs", failed)
    assert (record["status"], record["data"]) == ("400", data)


async def chunked(gateway: Gateway, value: Any) -> dict[str, Any]:
    """Status of a Task whose result is in two TaskResults."""
    content = json.dumps(value).encode()
    packed = gzip.compress(content)
    half = len(packed) // 2
    for number, part in enumerate((packed[:half], packed[half:])):
        raw = {"kind": "TaskResult", "metadata": {"name": f"part-{number}", "namespace": ALICE}}
        await gateway.kubernetes.put("taskresults", {**raw, "data": base64.b64encode(part).decode()})
    status = succeeded(value, names=["part-0", "part-1"])
    del status["result"]["inline"]
    return status


async def test_a_large_result(gateway: Gateway) -> None:
    """Put together, compared with its digest, and the same in both forms."""
    rows = [{"name": f"n{number}", "state": ["IDLE"]} for number in range(5000)]
    record = await outcome(gateway, "/compute/nodes", await chunked(gateway, {"nodes": rows}))
    assert [node["NodeName"] for node in record["data"]] == [f"n{number}" for number in range(5000)]
    listed = (await gateway.request("GET", f"/tasks?tasks={record['task_id']}")).json()["tasks"]
    assert listed == {record["task_id"]: record}


async def test_a_large_result_that_is_gone(gateway: Gateway) -> None:
    """The task says so."""
    status = await chunked(gateway, {"nodes": []})
    await gateway.kubernetes.remove("taskresults", "part-1")
    record = await outcome(gateway, "/compute/nodes", status)
    assert (record["status"], record["data"]) == ("400", "the result is gone")


async def test_reading_is_noted_once(gateway: Gateway) -> None:
    """So that the operator lets it go; not for one that has not ended."""
    task_id, task = await asked(gateway, "/compute/nodes")
    name = task["metadata"]["name"]
    await gateway.task(task_id)
    assert READ_AT not in gateway.kubernetes.tasks()[0]["metadata"]["annotations"]
    await gateway.kubernetes.set_task_status(name, succeeded({"nodes": []}))

    async def noted() -> bool:
        await gateway.task(task_id)
        return READ_AT in gateway.kubernetes.tasks()[0]["metadata"]["annotations"]

    await gateway.eventually(noted)
    gateway.kubernetes.requests.clear()
    for _ in range(5):
        await gateway.task(task_id)
    assert not [request for request in gateway.kubernetes.requests if request.startswith("PATCH")]


async def test_only_for_its_owner(gateway: Gateway) -> None:
    """403 for somebody else, and not in their list."""
    task_id, _ = await asked(gateway, "/compute/jobs")
    reply = await gateway.request("GET", f"/tasks/{task_id}", user="bob")
    assert (reply.status, reply.json()) == (403, {"description": "Operation not permitted. Invalid task owner."})
    assert (await gateway.request("GET", f"/tasks?tasks={task_id}", user="bob")).json() == {"tasks": {}}


async def test_the_same_from_every_replica(gateway: Gateway, tmp_path: Path) -> None:
    """Made through one gateway, read through another a moment later, alone and in the lists."""
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    async with running_gateway(other_directory, kubernetes=gateway.kubernetes) as other:
        for _ in range(5):
            task_id, _task = await asked(gateway, "/compute/jobs")
            assert (await other.task(task_id))["status"] == "100"
            task_id, _task = await asked(gateway, "/compute/nodes")
            assert task_id in (await other.request("GET", f"/tasks?tasks={task_id}")).json()["tasks"]
            task_id, _task = await asked(gateway, "/compute/acct")
            assert task_id in (await other.request("GET", "/tasks")).json()["tasks"]


@pytest.mark.parametrize(("path", "description"), ROUTES.items())
async def test_machines(gateway: Gateway, path: str, description: str) -> None:
    """No header, and an unknown machine: both spellings (D6)."""
    reply = await gateway.request("GET", path, machine=None)
    assert (reply.status, reply.json()) == (400, {"description": "No machine name given"})
    reply = await gateway.request("GET", path, machine="nowhere")
    assert (reply.status, reply.json()) == (400, {"description": description, "error": "Machine does not exists"})
    assert reply.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
    assert reply.headers["X-Machine-Does-Not-Exists"] == "Machine does not exists"


@pytest.mark.parametrize("path", ROUTES)
async def test_nobody(gateway: Gateway, path: str) -> None:
    """401 before anything else."""
    reply = await gateway.request("GET", path, user=None, machine=None)
    assert (reply.status, reply.json()) == (401, {"description": "No Auth Header given"})


@pytest.mark.parametrize(
    ("path", "description", "error"),
    [
        ("/compute/jobs?jobs=", "Failed to retrieve job information", "'jobs' is empty"),
        ("/compute/jobs?jobs=1;2", "Failed to retrieve job information", "'jobs' has invalid char"),
        ("/compute/jobs?jobs=1,,2", "Failed to retrieve job information", "Jobs list wrong format"),
        ("/compute/jobs?jobs=1.0", "Failed to retrieve job information", "1.0 is not a valid job ID"),
        ("/compute/jobs?jobs=1_[1,3]", "Failed to retrieve job information", "1_[1 is not a valid job ID"),
        ("/compute/acct?jobs=x", "Failed to retrieve account information", "x is not a valid job ID"),
        ("/compute/acct?jobs=", "Failed to retrieve account information", "'jobs' is empty"),
        ("/compute/jobs/x", "Failed to retrieve job information", "x is not a valid job ID"),
        ("/compute/nodes?nodes=a%26b", "Failed to retrieve account information", "node 'a&b' has invalid char"),
        ("/compute/nodes/a%26b", "Failed to retrieve node", "nodeName 'a&b' has invalid char"),
        ("/compute/partitions?partitions=a%26b", "Failed to retrieve account information", "partition 'a&b' has invalid char"),
        ("/compute/reservations?reservations=a%26b", "Failed to retrieve account information", "reservations 'a&b' has invalid char"),
        (
            "/compute/acct?starttime=yesterday",
            "Failed to retrieve account information",
            "starttime 'yesterday' is not a valid time: HH:MM[:SS] [AM|PM], MMDD[YY], MM/DD[/YY], MM.DD[.YY], "
            "MM/DD[/YY]-HH:MM[:SS], YYYY-MM-DD[THH:MM[:SS]]",
        ),
        (
            "/compute/acct?starttime=2030-01-03&endtime=2030-01-02",
            "Failed to retrieve account information",
            "the end 2030-01-02T00:00:00 is before the start 2030-01-03T00:00:00",
        ),
    ],
)  # fmt: skip
async def test_bad_input(gateway: Gateway, path: str, description: str, error: str) -> None:
    """400 with the contract's texts; nothing is made and the system is not asked."""
    reply = await gateway.request("GET", path)
    assert (reply.status, reply.json()) == (400, {"description": description, "error": error})
    assert not gateway.kubernetes.tasks()


@pytest.mark.parametrize("path", ROUTES)
async def test_the_system_does_not_let_in(gateway: Gateway, path: str) -> None:
    """404 with the header (D9), also for partitions and reservations (contract 15.18)."""
    probed = ROUTES[path] if path.endswith(("partitions", "reservations")) else "Failed to retrieve jobs information"
    for refusal in (Denied("not for you"), CommandRefused("no", reason="group")):
        gateway.node.refusal = refusal
        reply = await gateway.request("GET", path)
        assert (reply.status, reply.json()["description"]) == (404, probed)
        assert reply.headers["X-Permission-Denied"] == "User does not have permissions to access machine or path"
    for away in (SystemUnreachable("refused"), DeniedForNow("maintenance until tonight")):
        gateway.node.refusal = away
        reply = await gateway.request("GET", path)
        assert (reply.status, reply.json()["description"]) == (400, probed)
        assert reply.headers["X-Machine-Not-Available"] == "Machine is not available"
        assert reply.headers["Retry-After"]
    assert not gateway.kubernetes.tasks()


async def test_policy_says_no(gateway: Gateway) -> None:
    """Delegation gives no grant: 404 with the header, the reason in the body; 401 where the token does not do."""
    gateway.delegation.refusal = Denied("listing is switched off")
    reply = await gateway.request("GET", "/compute/jobs")
    assert (reply.status, reply.json()) == (
        404,
        {"description": "Failed to retrieve jobs information", "error": "listing is switched off"},
    )
    assert "X-Permission-Denied" in reply.headers
    gateway.delegation.refusal = Unauthenticated("expired", code="TokenExpired")
    assert (await gateway.request("GET", "/compute/jobs")).status == 401
    gateway.delegation.refusal = PolicyUnavailable("OPA is away")
    reply = await gateway.request("GET", "/compute/jobs")
    assert (reply.status, reply.json()["error"]) == (400, "Error creating task")
    assert reply.headers["Retry-After"] == "2"


async def test_too_many_tasks(gateway: Gateway) -> None:
    """429 with Retry-After: by the gateway's own count, without asking delegation; and when admission counts more."""
    raw = {"kind": "Task", "spec": {"system": "cluster", "runAs": "alice", "operation": {"nodes": {}}}}
    for number in range(200):
        await gateway.kubernetes.put("tasks", {**raw, "metadata": {"name": f"t-{number}", "namespace": ALICE}})

    async def refused() -> Any:
        reply = await gateway.request("GET", "/compute/nodes")
        return reply if reply.status == 429 else None

    reply = await gateway.eventually(refused)
    assert reply.headers["Retry-After"] == "10"
    assert reply.json()["description"] == "Failed to retrieve account information"
    assert "no more than 200" in reply.json()["error"]
    granted = len(gateway.delegation.granted)
    assert (await gateway.request("GET", "/compute/jobs")).status == 429
    assert len(gateway.delegation.granted) == granted


async def test_admission_counts_more(gateway: Gateway) -> None:
    """What another gateway made a moment ago counts."""
    gateway.kubernetes.quota_reached = True
    reply = await gateway.request("GET", "/compute/jobs")
    assert (reply.status, reply.headers["Retry-After"]) == (429, "10")


async def test_an_answer_that_was_lost(gateway: Gateway) -> None:
    """The Task was made: the client gets it, and does not ask twice."""
    gateway.kubernetes.lose_answers = True
    task_id, _ = await asked(gateway, "/compute/jobs")
    assert len(gateway.kubernetes.tasks()) == 1
    assert task_id


async def test_status(gateway: Gateway) -> None:
    """The service is there; with a token only."""
    assert (await gateway.request("GET", "/compute/status")).json() == {"success": "ack"}
    assert (await gateway.request("GET", "/compute/status", user=None)).status == 401
