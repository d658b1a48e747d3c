"""Cancelling a job by the scheduler's id."""

from __future__ import annotations

from typing import Any

import pytest

from component.api.gateway import Gateway
from goldcrest.errors import Denied, Unauthenticated
from goldcrest.wellknown import namespace_of_user

pytestmark = pytest.mark.component

FILES = {"script": "/s", "stdout": "/o", "stderr": "/e"}


async def running_job(gateway: Gateway, job_id: str = "102", **status: Any) -> str:
    """Name of a submitted job that the gateway knows with this id."""
    task_id = (await gateway.upload()).json()["task_id"]
    given = {"phase": "Running", "jobId": job_id, "files": FILES, **status}
    await gateway.kubernetes.set_status(f"r-{task_id}", given)

    async def known() -> bool:
        return (await gateway.task(task_id))["status"] == "200"

    await gateway.eventually(known)
    return f"r-{task_id}"


async def cancel(gateway: Gateway, job_id: str = "102", **more: Any) -> Any:
    return await gateway.request("DELETE", f"/compute/jobs/{job_id}", **more)


async def test_cancel_sets_the_field_and_gives_a_task(gateway: Gateway) -> None:
    """The Job carries the request and delegation's word for it; the task follows the job to its end."""
    name = await running_job(gateway)
    reply = await cancel(gateway)
    assert reply.status == 200
    body = reply.json()
    task_id = body["task_id"]
    assert body == {"success": "Task created", "task_id": task_id, "task_url": f"/tasks/{task_id}"}
    (job,) = gateway.kubernetes.jobs()
    assert job["spec"]["cancel"] is True
    uid = job["metadata"]["uid"]
    assert job["metadata"]["annotations"]["hpc.goldcrest.dev/action-grant"] == f"action-grant-for-{uid}-cancel-True"
    assert f"r-{task_id}" != name
    assert (await gateway.task(task_id))["status"] == "100"
    await gateway.kubernetes.set_status(name, {"phase": "Cancelled", "cancelRequestedAt": "2030-01-02T03:04:05Z"})

    async def ended() -> Any:
        task = await gateway.task(task_id)
        return task if task["status"] != "100" else None

    task = await gateway.eventually(ended)
    assert (task["status"], task["data"]) == ("200", "scancel: Terminating job 102")
    assert task["created_at"] == "2030-01-02T03:04:05"
    listed = (await gateway.request("GET", "/tasks")).json()["tasks"]
    assert set(listed) == {task_id, name.removeprefix("r-")}


async def test_cancelling_twice_is_the_same_task(gateway: Gateway) -> None:
    """The second request changes nothing and gets the same id."""
    await running_job(gateway)
    assert (await cancel(gateway)).json() == (await cancel(gateway)).json()


async def test_job_that_had_already_ended(gateway: Gateway) -> None:
    """The task says so, as an error."""
    name = await running_job(gateway)
    task_id = (await cancel(gateway)).json()["task_id"]
    await gateway.kubernetes.set_status(name, {"phase": "Succeeded"})

    async def ended() -> Any:
        task = await gateway.task(task_id)
        return task if task["status"] != "100" else None

    task = await gateway.eventually(ended)
    assert task["status"] == "400"
    assert "already ended" in task["data"]


async def test_cancel_meets_the_operators_writes(gateway: Gateway) -> None:
    """The operator changed the resource in between: it is read again, and the request holds."""
    await running_job(gateway)
    gateway.kubernetes.conflicts = 2
    assert (await cancel(gateway)).status == 200
    assert gateway.kubernetes.jobs()[0]["spec"]["cancel"] is True


async def test_newest_job_with_a_reused_id(gateway: Gateway) -> None:
    """A scheduler that counts anew: the newer job is meant."""
    await running_job(gateway, "7", phase="Succeeded")
    old = gateway.kubernetes.jobs()[0]
    old["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    await gateway.kubernetes.put("jobs", old)
    new = await running_job(gateway, "7")
    assert (await cancel(gateway, "7")).status == 200
    cancelled = [job["metadata"]["name"] for job in gateway.kubernetes.jobs() if job["spec"].get("cancel")]
    assert cancelled == [new]


async def test_job_whose_id_another_gateway_told(gateway: Gateway) -> None:
    """The client learnt the id a moment ago, elsewhere; here the watch is cut: it is looked up before no is said."""
    task_id = (await gateway.upload()).json()["task_id"]
    gateway.kubernetes.refuse_watches = True
    await gateway.kubernetes.cut_watches()
    await gateway.kubernetes.start_again()
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Running", "jobId": "103", "files": FILES})
    assert (await cancel(gateway, "103")).status == 200
    assert gateway.kubernetes.jobs()[0]["spec"]["cancel"] is True


@pytest.mark.parametrize("user", ["alice", "bob"])
async def test_job_that_is_not_known_here(gateway: Gateway, user: str) -> None:
    """An unknown id, and somebody else's: a Task asks the scheduler, as the caller; nobody's Job is changed."""
    await running_job(gateway)
    gateway.kubernetes.namespaces.add(namespace_of_user("bob"))
    job_id = "999" if user == "alice" else "102"
    reply = await cancel(gateway, job_id, user=user)
    assert reply.status == 200
    (task,) = gateway.kubernetes.tasks()
    assert task["spec"]["operation"] == {"cancelJob": {"jobIds": [job_id]}}
    assert (task["spec"]["runAs"], task["spec"]["ttlSecondsAfterFinished"]) == (user, 86_400)
    assert not gateway.kubernetes.jobs()[0]["spec"].get("cancel")


@pytest.mark.parametrize(("given", "ids"), [("102_3", ["102_3"]), ("102,103", ["102", "103"]), ("abc", ["abc"])])
async def test_elements_lists_and_what_is_no_id(gateway: Gateway, given: str, ids: list[str]) -> None:
    """The scheduler is asked; it says what is no id (there is no check of the syntax on this route)."""
    await running_job(gateway)
    reply = await cancel(gateway, given)
    assert reply.status == 200
    (task,) = gateway.kubernetes.tasks()
    assert task["spec"]["operation"]["cancelJob"]["jobIds"] == ids


async def test_more_ids_than_one_cancelling_takes(gateway: Gateway) -> None:
    """400, and nothing is made."""
    reply = await cancel(gateway, ",".join(map(str, range(101))))
    assert (reply.status, reply.json()["description"]) == (400, "Failed to delete job")
    assert "101 ids; 1 to 100 are allowed" in reply.json()["error"]
    assert not gateway.kubernetes.tasks()


async def test_job_id_with_bad_characters(gateway: Gateway) -> None:
    """The contract's text."""
    reply = await cancel(gateway, "1;2")
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to delete job", "error": "'jobid' has invalid char"}


async def test_policy_denies_cancelling(gateway: Gateway) -> None:
    """404 with the header, and the reason."""
    await running_job(gateway)
    gateway.delegation.refusal = Denied("not now")
    reply = await cancel(gateway)
    assert reply.status == 404
    assert reply.json() == {"description": "Failed to delete job", "error": "not now"}
    assert reply.headers["X-Permission-Denied"] == "User does not have permissions to access machine or path"
    gateway.delegation.refusal = Unauthenticated("expired")
    assert (await cancel(gateway)).status == 401


async def test_kubernetes_is_down(gateway: Gateway) -> None:
    """The client is told to try again."""
    await running_job(gateway)
    gateway.kubernetes.down = True
    reply = await cancel(gateway)
    assert (reply.status, reply.json()["error"]) == (400, "Error creating task")
    assert reply.headers["Retry-After"]
