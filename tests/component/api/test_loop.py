"""Nothing keeps the gateway's event loop from others for long, with 10 000 Jobs in the cache."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from component.api.event_source import events
from component.api.gateway import SYSTEM, Gateway, running_gateway
from component.api.kubernetes import Kubernetes
from goldcrest.garbage import look_seldom
from goldcrest.wellknown import namespace_of_user
from loop_time import measured_loop

pytestmark = pytest.mark.component

JOBS = 10_000
ALICES = 1_000
MOST_SECONDS = 0.05


def job(number: int, user: str) -> dict[str, Any]:
    """As a job that runs is stored, with a script of 5 KB."""
    files = {
        name: f"/scratch/{user}/goldcrest/{number:032x}/{name}" for name in ("directory", "script", "stdout", "stderr")
    }
    condition = {"status": "True", "reason": "Running", "message": "The job runs", "observedGeneration": 1, "lastTransitionTime": "2030-01-02T03:04:05Z"}  # fmt: skip
    return {
        "apiVersion": "hpc.goldcrest.dev/v1alpha1",
        "kind": "Job",
        "metadata": {
            "name": f"r-{number:032x}",
            "namespace": namespace_of_user(user),
            "uid": str(uuid.UUID(int=number)),
            "resourceVersion": str(1000 + number),
            "creationTimestamp": "2030-01-02T03:04:05Z",
            "generation": 1,
            "annotations": {"hpc.goldcrest.dev/grant": "x" * 1200},
            "labels": {"label.hpc.goldcrest.dev/run": str(number % 7)},
        },
        "spec": {
            "system": "cluster",
            "runAs": user,
            "requestedBy": {"via": "Grant", "username": user},
            "script": {"inline": "#" * 5000},
        },
        "status": {
            "observedGeneration": 1,
            "phase": "Running",
            "message": "Running on n1",
            "jobId": str(number),
            "scheduler": {"state": "RUNNING", "reason": "None"},
            "submission": {
                "token": f"goldcrest:00000000:{number:032x}",
                "time": "2030-01-02T03:04:05Z",
                "released": True,
            },
            "submitTime": "2030-01-02T03:04:05Z",
            "startTime": "2030-01-02T03:04:06Z",
            "files": files,
            "conditions": [{"type": kind, **condition} for kind in ("Ready", "Reconciling", "Finished", "Complete")],
        },
    }


async def filled(directory: Path, number: int, *, alices: int) -> Kubernetes:
    """A stand-in for Kubernetes with so many Jobs, of which the first are alice's."""
    kubernetes = Kubernetes()
    await kubernetes.start(directory)
    await kubernetes.put("systems", SYSTEM)
    users = ["alice"] * alices + [f"user{n % 50}" for n in range(number - alices)]
    for index, user in enumerate(users):
        raw = job(index, user)
        kubernetes.objects["jobs", raw["metadata"]["namespace"], raw["metadata"]["name"]] = raw
    kubernetes.namespaces |= {namespace_of_user(user) for user in set(users)}
    kubernetes.version = 1000 + number
    return kubernetes


@pytest.fixture
async def kubernetes(tmp_path: Path) -> AsyncIterator[Kubernetes]:
    kubernetes = await filled(tmp_path, JOBS, alices=ALICES)
    thresholds = gc.get_threshold()
    look_seldom()  # as the process of a gateway does; half a million objects of the stand-in are not looked at either
    yield kubernetes
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    await kubernetes.stop()


def _not_ours(what: str) -> bool:
    """Kubernetes of the test and its clients run on the same loop, and what uvicorn does before it serves: they are not what is measured."""
    return any(
        name in what for name in ("aiohttp", "RequestHandler", "load.<locals>", "test_", "Kubernetes.", "Server.serve")
    )


async def changes(kubernetes: Kubernetes, number: int) -> None:
    """So many statuses are written, some at a time."""
    jobs = [key for key in kubernetes.objects if key[0] == "jobs"][:: JOBS // number]
    for count, (_, namespace, name) in enumerate(jobs):
        kubernetes.put_quietly(namespace, name, {"message": f"changed {count}"})
        if count % 20 == 0:
            await kubernetes.tell_all()
            await asyncio.sleep(0.01)
    await kubernetes.tell_all()


async def load(gateway: Gateway) -> None:
    """What clients do at once: poll single tasks, list all of a thousand, name a thousand, listen, submit."""
    ids = [f"{number:032x}" for number in range(ALICES)]

    async def listen() -> None:
        async with events(gateway) as source:
            assert len(await source.whole()) >= ALICES

    async def poll() -> None:
        for task_id in ids[:200]:
            await gateway.task(task_id)

    async def lists() -> None:
        for _ in range(5):
            assert len((await gateway.request("GET", "/tasks")).json()["tasks"]) >= ALICES
            named = await gateway.request("GET", f"/tasks?tasks={','.join(ids)}&labels=run=1")
            assert 100 < len(named.json()["tasks"]) < 200

    async def submit() -> None:
        for _ in range(10):
            assert (await gateway.upload()).status == 201

    await asyncio.gather(listen(), listen(), poll(), lists(), submit())


async def test_no_long_steps(kubernetes: Kubernetes, tmp_path: Path) -> None:
    """At the start, under load with changes, and when all is listed again: no step of the loop takes more than 50 ms of CPU."""
    with measured_loop(leave_out=_not_ours) as loop:
        async with running_gateway(tmp_path, kubernetes=kubernetes) as gateway:
            await asyncio.gather(load(gateway), changes(kubernetes, 500))
            await kubernetes.cut_watches()
            kubernetes.compact()
            listed = asyncio.create_task(gateway.eventually(lambda: _listed_again(gateway), seconds=60))
            await kubernetes.start_again()
            await load(gateway)
            await listed
    assert loop.steps > 1000
    assert loop.worst < MOST_SECONDS, str(loop)


async def _listed_again(gateway: Gateway) -> bool:
    return bool(gateway.context.reflectors[0].stale_seconds == 0)


def test_the_measure_sees_what_blocks() -> None:
    """A step that computes for long is noted; one that waits is not."""

    async def compute() -> None:
        await asyncio.sleep(0.2)
        sum(range(10_000_000))

    with measured_loop() as loop:
        asyncio.run(compute())
    assert loop.worst > MOST_SECONDS
    assert "compute" in str(loop)
