"""Tasks: how far a submission is, as clients poll it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from component.api.gateway import ALICE, Gateway
from goldcrest.wellknown import namespace_of_user

pytestmark = pytest.mark.component

FILES = {
    "directory": "/scratch/alice/goldcrest/x",
    "script": "/scratch/alice/goldcrest/x/job.sh",
    "stdout": "/scratch/alice/goldcrest/x/slurm-102.out",
    "stderr": "/scratch/alice/goldcrest/x/slurm-102.out",
}


async def submitted(gateway: Gateway, **more: Any) -> str:
    reply = await gateway.upload(**more)
    assert reply.status == 201
    return str(reply.json()["task_id"])


async def has_status(gateway: Gateway, task_id: str, status: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any] | None:
        task = await gateway.task(task_id)
        return task if task["status"] == status else None

    found: dict[str, Any] = await gateway.eventually(ask)
    return found


async def test_new_task_is_queued(gateway: Gateway) -> None:
    """Readable at once after it was made, with all keys of the record."""
    task_id = await submitted(gateway)
    task = await gateway.task(task_id)
    created = gateway.kubernetes.jobs()[0]["metadata"]["creationTimestamp"].removesuffix("Z")
    assert task == {
        "created_at": created,
        "updated_at": created,
        "last_modify": created,
        "data": "Queued",
        "description": "Queued",
        "hash_id": task_id,
        "task_id": task_id,
        "service": "compute",
        "status": "100",
        "system": "cluster",
        "task_url": f"/tasks/{task_id}",
        "user": "alice",
    }


async def test_task_ends_well_with_the_job_id(gateway: Gateway) -> None:
    """As soon as the scheduler's id and the files are known, whatever becomes of the job later."""
    task_id = await submitted(gateway)
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Queued", "jobId": "102", "files": FILES})
    task = await has_status(gateway, task_id, "200")
    assert task["description"] == "Finished successfully"
    assert task["data"] == {
        "result": "Job submitted",
        "jobid": "102",
        "job_file": FILES["script"],
        "job_file_out": FILES["stdout"],
        "job_file_err": FILES["stderr"],
        "job_data_out": "",
        "job_data_err": "",
        "job_info_extra": "Job info returned successfully",
    }
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Failed", "message": "exit code 1", "exitCode": 1})
    marker = await submitted(gateway)
    await gateway.kubernetes.set_status(f"r-{marker}", {"phase": "Failed", "message": "x"})
    await has_status(gateway, marker, "400")  # the change before it has arrived too
    assert (await gateway.task(task_id))["status"] == "200"


async def test_task_ends_with_the_schedulers_own_words(gateway: Gateway) -> None:
    """A refused job: status 400, and data is the text."""
    task_id = await submitted(gateway)
    words = "sbatch: error: invalid partition specified: nope"
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Failed", "message": words})
    task = await has_status(gateway, task_id, "400")
    assert (task["description"], task["data"]) == ("Finished with errors", words)


async def test_list_of_tasks(gateway: Gateway) -> None:
    """An object keyed by id: all of the caller's, or those that are named; unknown ones and others' are left out."""
    gateway.kubernetes.namespaces.add(namespace_of_user("bob"))
    mine = [await submitted(gateway), await submitted(gateway)]
    others = await submitted(gateway, user="bob")
    reply = await gateway.request("GET", "/tasks")
    assert reply.status == 200
    assert set(reply.json()["tasks"]) == set(mine)
    reply = await gateway.request("GET", f"/tasks?tasks={mine[0]},{others},{'0' * 32},x")
    assert list(reply.json()["tasks"]) == [mine[0]]
    assert reply.json()["tasks"][mine[0]] == await gateway.task(mine[0])


@pytest.mark.parametrize(("value", "outcome"), [("", "is empty"), ("a;b", "has invalid char")])
async def test_list_with_a_bad_filter(gateway: Gateway, value: str, outcome: str) -> None:
    """400 with the contract's texts."""
    reply = await gateway.request("GET", "/tasks", params={"tasks": value})
    assert reply.status == 400
    assert reply.json() == {"description": "Failed to retrieve tasks information", "error": f"'tasks' {outcome}"}


async def test_task_of_somebody_else(gateway: Gateway) -> None:
    """403 with the contract's text."""
    task_id = await submitted(gateway)
    reply = await gateway.request("GET", f"/tasks/{task_id}", user="bob")
    assert reply.status == 403
    assert reply.json() == {"description": "Operation not permitted. Invalid task owner."}


@pytest.mark.parametrize("task_id", ["0" * 32, "nonsense"])
async def test_unknown_task(gateway: Gateway, task_id: str) -> None:
    """404 with the contract's text."""
    reply = await gateway.request("GET", f"/tasks/{task_id}")
    assert reply.status == 404
    assert reply.json() == {"error": f"Task {task_id} does not exist"}


@pytest.mark.parametrize("path", ["/", "/tasks/tasklist", "/tasks/taskslist", "/v1/"])
async def test_what_was_never_public(gateway: Gateway, path: str) -> None:
    """400 Invalid, without looking at the token."""
    reply = await gateway.request("GET", path, user=None)
    assert (reply.status, reply.json()) == (400, {"message": "Invalid"})


async def test_job_made_with_kubectl_is_a_task_too(gateway: Gateway) -> None:
    """Its id is the resource's uid without hyphens, and its user sees it."""
    made = await gateway.kubernetes.put("jobs", job_of("alice", namespace="team"))
    task_id = made["metadata"]["uid"].replace("-", "")

    async def listed() -> bool:
        return task_id in (await gateway.request("GET", "/tasks")).json()["tasks"]

    await gateway.eventually(listed)
    assert (await gateway.request("GET", f"/tasks/{task_id}", user="bob")).status == 403


async def test_task_of_a_system_that_the_issuer_does_not_cover(gateway: Gateway) -> None:
    """Same user name, but the token's issuer does not count for the job's system: not visible."""
    task_id = await submitted(gateway)
    gateway.tokens.systems = frozenset({"other"})
    assert (await gateway.request("GET", f"/tasks/{task_id}")).status == 403
    assert (await gateway.request("GET", "/tasks")).json() == {"tasks": {}}


async def test_task_made_by_another_gateway_a_moment_ago(gateway: Gateway) -> None:
    """What the watch has not told yet is looked up live, alone and in a list."""
    task_id = "a" * 32
    job = job_of("alice", namespace=ALICE, name=f"r-{task_id}", via="Grant")
    await gateway.kubernetes.cut_watches()
    await gateway.kubernetes.put("jobs", job)
    gateway.kubernetes.requests.clear()
    await gateway.kubernetes.start_again()
    assert (await gateway.task(task_id))["status"] == "100"
    reply = await gateway.request("GET", f"/tasks?tasks={task_id}")
    assert list(reply.json()["tasks"]) == [task_id]


async def test_task_whose_name_was_taken_with_kubectl(gateway: Gateway) -> None:
    """A Job of that name that did not come through REST is not the task, looked up live either."""
    task_id = "a" * 32
    await gateway.kubernetes.put("jobs", job_of("alice", namespace=ALICE, name=f"r-{task_id}"))
    assert (await gateway.request("GET", f"/tasks/{task_id}")).status == 404


async def test_tasks_while_kubernetes_is_down(gateway: Gateway) -> None:
    """Known tasks are still told; about an unknown one the client is told to come back."""
    task_id = await submitted(gateway)
    gateway.kubernetes.down = True
    assert (await gateway.task(task_id))["status"] == "100"
    reply = await gateway.request("GET", f"/tasks/{'b' * 32}")
    assert (reply.status, reply.json()["description"]) == (503, "Failed to retrieve tasks information")
    assert reply.headers["Retry-After"]


def job_of(user: str, *, namespace: str, name: str = "made-by-kubectl", via: str = "Kubernetes") -> dict[str, Any]:
    return {
        "apiVersion": "hpc.goldcrest.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "system": "cluster",
            "runAs": user,
            "script": {"inline": "#!/bin/sh\n"},
            "requestedBy": {"via": via, "username": user},
        },
        "status": {"observedGeneration": -1},
    }


async def test_many_ids_in_one_question(gateway: Gateway) -> None:
    """As many as the setting says, whatever number of them is unknown here: Kubernetes is asked once for each kind. More: 400 with a sentence."""
    mine = await submitted(gateway)
    others = [f"{number:032x}" for number in range(999)]
    gateway.kubernetes.requests.clear()
    reply = await gateway.request("GET", f"/tasks?tasks={','.join([mine, *others])}")
    assert (reply.status, list(reply.json()["tasks"])) == (200, [mine])
    assert sorted(request.rpartition("/")[2] for request in gateway.kubernetes.requests) == ["jobs", "tasks"]
    reply = await gateway.request("GET", f"/tasks?tasks={','.join([mine, *others, mine])}")
    assert reply.status == 400
    assert reply.json() == {
        "description": "Failed to retrieve tasks information",
        "error": "'tasks' names 1001 tasks; 1000 are allowed in one question",
    }


async def test_many_who_poll_lists_share_a_look(gateway: Gateway) -> None:
    """Fifty lists at once cost Kubernetes a few requests, and each of them has what was made before it was asked."""
    await submitted(gateway)
    gateway.kubernetes.requests.clear()
    replies = await asyncio.gather(*(gateway.request("GET", "/tasks") for _ in range(50)))
    assert {len(reply.json()["tasks"]) for reply in replies} == {1}
    assert len(gateway.kubernetes.requests) <= 25
