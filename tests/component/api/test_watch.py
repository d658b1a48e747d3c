"""The watch cache keeps up, whatever happens to the watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import ALICE, SYSTEM, Gateway, running_gateway

pytestmark = pytest.mark.component


async def fails_with(gateway: Gateway, task_id: str, words: str) -> None:
    async def told() -> bool:
        return bool((await gateway.task(task_id))["data"] == words)

    await gateway.eventually(told, seconds=10)


async def test_nothing_is_asked_because_somebody_polls(gateway: Gateway) -> None:
    """A hundred polls of a task cost Kubernetes no request; a list of all costs one look at each kind in the caller's namespace."""
    task_id = (await gateway.upload()).json()["task_id"]
    gateway.kubernetes.requests.clear()
    for _ in range(100):
        await gateway.task(task_id)
        await gateway.request("GET", f"/tasks?tasks={task_id}")
    assert gateway.kubernetes.requests == []
    await gateway.request("GET", "/tasks")
    place = f"GET /apis/hpc.goldcrest.dev/v1alpha1/namespaces/{ALICE}"
    assert sorted(gateway.kubernetes.requests) == [f"{place}/jobs", f"{place}/tasks"]


@pytest.mark.parametrize("watched", [True, False])
async def test_list_has_what_another_gateway_made_before(gateway: Gateway, watched: bool) -> None:
    """The first list after it shows the new Job and its cancelling, whether the watch has told of them, or is cut."""
    task_id = (await gateway.upload()).json()["task_id"]
    (ours,) = gateway.kubernetes.jobs()
    if not watched:
        gateway.kubernetes.refuse_watches = True
        await gateway.kubernetes.cut_watches()
        await gateway.kubernetes.start_again()
    other = {
        **ours,
        "metadata": {**ours["metadata"], "name": "r-" + "b" * 32, "uid": "00000000-0000-4000-8000-00000000000b"},
    }
    await gateway.kubernetes.put("jobs", other)
    cancelled = {**ours, "spec": {**ours["spec"], "cancel": True}, "status": {"jobId": "7", "phase": "Running"}}
    await gateway.kubernetes.put("jobs", cancelled)
    listed = (await gateway.request("GET", "/tasks")).json()["tasks"]
    assert {task_id, "b" * 32} < set(listed)
    assert len(listed) == 3


async def test_list_while_kubernetes_is_down(gateway: Gateway) -> None:
    """What is known is told."""
    task_id = (await gateway.upload()).json()["task_id"]
    gateway.kubernetes.down = True
    assert list((await gateway.request("GET", "/tasks")).json()["tasks"]) == [task_id]


async def test_watch_that_is_cut(gateway: Gateway) -> None:
    """It is opened anew, and what happened meanwhile is known."""
    task_id = (await gateway.upload()).json()["task_id"]
    await gateway.kubernetes.cut_watches()
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Failed", "message": "while away"})
    await gateway.kubernetes.start_again()
    await fails_with(gateway, task_id, "while away")


async def test_token_that_expired(gateway: Gateway) -> None:
    """A watch that is refused because our token was renewed is opened with the new one, though no other request is made."""
    task_id = (await gateway.upload()).json()["task_id"]
    await gateway.kubernetes.cut_watches()
    gateway.kubernetes.renew_token("renewed")
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


async def test_not_ready_without_news_for_long(tmp_path: Path) -> None:
    """A gateway that has learnt nothing for longer than the setting says so to the platform, until it learns again."""
    async with running_gateway(tmp_path, change={"limits": {"watch_stale_seconds": 1}}) as gateway:

        async def readiness() -> tuple[int, str]:
            reply = await gateway.request("GET", "/readyz", user=None)
            return reply.status, reply.json()["status"]

        async def stale() -> bool:
            return await readiness() == (503, "nothing has been learnt of the resources for too long")

        async def ready() -> bool:
            news = [
                {**SYSTEM, "kind": kind, "metadata": {"name": "news", "namespace": "n"}} for kind in ("Job", "Task")
            ]
            for system in (SYSTEM, *news):
                await gateway.kubernetes.put(system["kind"].lower() + "s", system)
            return await readiness() == (200, "ok")

        await gateway.kubernetes.cut_watches()
        await gateway.eventually(stale)
        await gateway.kubernetes.start_again()
        await gateway.eventually(ready, seconds=10)
