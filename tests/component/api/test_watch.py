"""The watch cache keeps up, whatever happens to the watch."""

from __future__ import annotations

from typing import Any

import pytest

from component.api.gateway import Gateway

pytestmark = pytest.mark.component


async def fails_with(gateway: Gateway, task_id: str, words: str) -> None:
    async def told() -> bool:
        return bool((await gateway.task(task_id))["data"] == words)

    await gateway.eventually(told, seconds=10)


async def test_nothing_is_asked_because_somebody_polls(gateway: Gateway) -> None:
    """A hundred polls cost Kubernetes no request."""
    task_id = (await gateway.upload()).json()["task_id"]
    gateway.kubernetes.requests.clear()
    for _ in range(100):
        await gateway.task(task_id)
        await gateway.request("GET", "/tasks")
    assert gateway.kubernetes.requests == []


async def test_watch_that_is_cut(gateway: Gateway) -> None:
    """It is opened anew, and what happened meanwhile is known."""
    task_id = (await gateway.upload()).json()["task_id"]
    await gateway.kubernetes.cut_watches()
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Failed", "message": "while away"})
    await gateway.kubernetes.start_again()
    await fails_with(gateway, task_id, "while away")


async def test_history_that_is_gone(gateway: Gateway) -> None:
    """410 Gone: everything is listed again, deleted objects are forgotten."""
    kept, removed = [(await gateway.upload()).json()["task_id"] for _ in range(2)]
    await gateway.kubernetes.cut_watches()
    await gateway.kubernetes.set_status(f"r-{kept}", {"phase": "Failed", "message": "while away"})
    await gateway.kubernetes.remove("jobs", f"r-{removed}")
    gateway.kubernetes.compact()
    await gateway.kubernetes.start_again()
    await fails_with(gateway, kept, "while away")
    assert (await gateway.request("GET", f"/tasks/{removed}")).status == 404


async def test_deleted_job_is_gone(gateway: Gateway) -> None:
    """After its time to live the task is unknown, and not made up from our own write."""
    task_id = (await gateway.upload()).json()["task_id"]
    await gateway.kubernetes.remove("jobs", f"r-{task_id}")

    async def gone() -> bool:
        return (await gateway.request("GET", f"/tasks/{task_id}")).status == 404

    await gateway.eventually(gone)


async def test_object_that_cannot_be_read_hides_no_others(gateway: Gateway) -> None:
    """A Job of another release, with a status we do not understand, is left out; the rest is served."""
    strange: dict[str, Any] = {
        "kind": "Job",
        "metadata": {"name": "strange", "namespace": "team"},
        "spec": {"system": "cluster", "runAs": "alice"},
        "status": {"phase": "Dreaming"},
    }
    await gateway.kubernetes.put("jobs", strange)
    task_id = (await gateway.upload()).json()["task_id"]
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Failed", "message": "seen"})
    await fails_with(gateway, task_id, "seen")
