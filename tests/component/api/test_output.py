"""GET /compute/jobs/{jobid}/output: what a job wrote, and what it writes until it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.api.gateway import Gateway, running_gateway
from component.api.neighbours import os_error
from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    Denied,
    DeniedForNow,
    GoldcrestError,
    LoginDenied,
    SystemUnreachable,
)

pytestmark = pytest.mark.component

OUT, ERR = "/scratch/alice/x/slurm-7.out", "/scratch/alice/x/slurm-7.err"
FILES = {"directory": "/scratch/alice/x", "script": "/scratch/alice/x/job.sh", "stdout": OUT, "stderr": ERR}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    change = {"streams": {"piece_bytes": 1024, "follow_bytes": 8192, "patience_seconds": 2}}
    async with running_gateway(tmp_path, change=change) as running:
        yield running


async def started(gateway: Gateway, **status: Any) -> str:
    """Task id of a job that runs."""
    task_id = str((await gateway.upload()).json()["task_id"])
    await gateway.kubernetes.set_status(
        f"r-{task_id}", {"phase": "Running", "jobId": "7", "files": FILES, "message": "runs", **status}
    )

    async def known() -> bool:
        return bool((await gateway.task(task_id))["status"] == "200")

    await gateway.eventually(known)
    return task_id


async def ended(gateway: Gateway, task_id: str) -> None:
    await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Succeeded"})


@asynccontextmanager
async def followed(gateway: Gateway, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Authorization": "Bearer token-alice", "X-Machine-Name": "cluster"}
    async with gateway.session.get(gateway.url + path, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield response


async def test_what_there_is(gateway: Gateway) -> None:
    """By task id and by job id, stdout and stderr, from an offset: plain bytes, and how many there are."""
    task_id = await started(gateway)
    gateway.node.files |= {OUT: "hellö\n".encode(), ERR: b"\xff\x00bad\n"}
    for job in (task_id, "7"):
        reply = await gateway.request("GET", f"/compute/jobs/{job}/output")
        assert (reply.status, reply.text) == (200, "hellö\n")
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert (reply.headers["X-Output-Offset"], reply.headers["X-Output-Size"]) == ("0", "7")
    reply = await gateway.request("GET", "/compute/jobs/7/output?offset=4")
    assert (reply.text, reply.headers["X-Output-Offset"]) == ("ö\n", "4")
    async with followed(gateway, "/compute/jobs/7/output?stream=stderr") as response:
        assert await response.read() == b"\xff\x00bad\n"
    assert (await gateway.request("GET", "/compute/jobs/7/output?offset=99")).text == ""
    assert gateway.node.routes[-1] == "GET /compute/jobs/{jobid}/output"  # policy is told
    reply = await gateway.request("GET", f"/compute/jobs/{task_id}/output", machine=None)
    assert reply.status == 200  # a task knows its machine


async def test_followed_to_its_end(gateway: Gateway) -> None:
    """From before the file is there until the job has ended: each byte once, and an answer that is complete."""
    task_id = await started(gateway, phase="Queued")
    async with followed(gateway, f"/compute/jobs/{task_id}/output?follow=true") as response:
        await asyncio.sleep(0.5)
        assert gateway.node.asked == [
            ("sys.whoami", "alice")
        ]  # of the submission: nothing is asked for a job that waits
        await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Running"})
        await asyncio.sleep(0.7)
        gateway.node.files[OUT] = b"one\n"
        assert await response.content.readline() == b"one\n"
        gateway.node.files[OUT] += b"x" * 3000 + b"\n"  # more than one command reads
        assert await response.content.readline() == b"x" * 3000 + b"\n"
        await ended(gateway, task_id)
        gateway.node.files[OUT] += b"last\n"
        assert await response.read() == b"last\n"


async def test_offset_of_what_is_not_yet_there(gateway: Gateway) -> None:
    """Going on where one was cut off, though nothing has come since."""
    task_id = await started(gateway)
    gateway.node.files[OUT] = b"12345"
    async with followed(gateway, "/compute/jobs/7/output?follow=true&offset=5") as response:
        await asyncio.sleep(0.3)
        gateway.node.files[OUT] += b"6"
        await ended(gateway, task_id)
        assert await response.read() == b"6"


async def test_job_that_never_started(gateway: Gateway) -> None:
    """Cancelled while it waited: an empty answer, complete."""
    task_id = await started(gateway, phase="Queued")
    async with followed(gateway, f"/compute/jobs/{task_id}/output?follow=true") as response:
        await gateway.kubernetes.set_status(f"r-{task_id}", {"phase": "Cancelled"})
        assert await response.read() == b""


@pytest.mark.parametrize(
    "trouble",
    [
        SystemUnreachable("gone"),
        LoginDenied("nologin"),
        DeniedForNow("maintenance"),
        CommandFailed("slow", kind="timeout"),
    ],
    ids=["away", "kept-out", "maintenance", "slow"],
)
async def test_system_that_is_away_meanwhile(gateway: Gateway, trouble: GoldcrestError) -> None:
    """Asked again until it answers: nothing twice, nothing left out."""
    task_id = await started(gateway)
    gateway.node.files[OUT] = b"before\n"
    async with followed(gateway, "/compute/jobs/7/output?follow=true") as response:
        assert await response.content.readline() == b"before\n"
        gateway.node.refusal = trouble
        gateway.node.files[OUT] += b"after\n"
        await asyncio.sleep(1.2)
        gateway.node.refusal = None
        assert await response.content.readline() == b"after\n"
        await ended(gateway, task_id)
        assert await response.read() == b""


@pytest.mark.parametrize(
    ("trouble", "seconds"),
    [
        (SystemUnreachable("gone"), 8),  # for longer than the patience
        (Denied("no more"), 4),
        (CommandRefused("no", reason="operation"), 4),
        (os_error("EACCES", OUT), 4),
    ],
)
async def test_cut_where_it_cannot_go_on(
    gateway: Gateway, trouble: GoldcrestError, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody takes what came for the whole: the connection is closed in the midst of the answer, and the log says why."""
    caplog.set_level("INFO")
    await started(gateway)
    gateway.node.files[OUT] = b"before\n"
    async with followed(gateway, "/compute/jobs/7/output?follow=true") as response:
        assert await response.content.readline() == b"before\n"
        gateway.node.refusal = trouble
        with pytest.raises(aiohttp.ClientPayloadError):
            async with asyncio.timeout(seconds):
                await response.read()
    assert [r.fields for r in caplog.records if r.getMessage() == "stream.cut"] == [  # type: ignore[attr-defined]
        {"user": "alice", "reason": trouble.message}
    ]


async def test_cut_for_other_reasons(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """As many bytes as one answer may have; a file that became shorter; a token that ends; a deleted Job; a blocked user."""
    caplog.set_level("INFO")

    async def cut_by(act: Any) -> str:
        task_id = await started(gateway)
        gateway.node.files[OUT] = b"before\n"
        caplog.clear()
        async with followed(gateway, f"/compute/jobs/{task_id}/output?follow=true") as response:
            assert await response.content.readline() == b"before\n"
            await act(task_id)
            with pytest.raises(aiohttp.ClientPayloadError):
                async with asyncio.timeout(6):
                    await response.read()
        (record,) = (r for r in caplog.records if r.getMessage() == "stream.cut")
        return str(record.fields["reason"])  # type: ignore[attr-defined]

    async def much(_: str) -> None:
        gateway.node.files[OUT] += b"x" * 20_000

    async def shorter(_: str) -> None:
        gateway.node.files[OUT] = b"b"

    async def deleted(task_id: str) -> None:
        await gateway.kubernetes.remove("jobs", f"r-{task_id}")

    async def blocked(_: str) -> None:
        gateway.context.streams.end_of({"alice"}, reason="the site blocked this user")

    assert await cut_by(much) == "8199 bytes were read"
    assert await cut_by(shorter) == f"{OUT} has become shorter than what was read"
    assert await cut_by(deleted) == "the job's resource was deleted"
    assert await cut_by(blocked) == "the site blocked this user"
    gateway.tokens.expires = int(time.time()) + 3

    async def nothing(_: str) -> None:
        pass

    assert await cut_by(nothing) == "the token has expired"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("stream=both", "'stream' must be stdout or stderr"),
        ("offset=-1", "'offset' must be a number of bytes, 0 or more"),
        ("offset=x", "'offset' must be a number of bytes, 0 or more"),
        ("offset=٣", "'offset' must be a number of bytes, 0 or more"),
        ("offset=99999999999999999999", "'offset' must be a number of bytes, 0 or more"),
    ],
)
async def test_bad_questions(gateway: Gateway, query: str, error: str) -> None:
    """400 with a sentence, before anything is asked of the system."""
    task_id = await started(gateway)
    gateway.node.asked.clear()
    reply = await gateway.request("GET", f"/compute/jobs/{task_id}/output?{query}")
    assert (reply.status, reply.json()) == (400, {"description": "Failed to read output", "error": error})
    assert gateway.node.asked == []


@pytest.mark.parametrize("job_id", ["x", "7;8", "7_", "a" * 33])
async def test_no_id(gateway: Gateway, job_id: str) -> None:
    """400: neither a job id nor a task id."""
    reply = await gateway.request("GET", f"/compute/jobs/{job_id}/output")
    assert (reply.status, reply.json()["error"]) == (400, f"'{job_id}' is neither a job id nor a task id")


async def test_jobs_that_one_may_not_see(gateway: Gateway) -> None:
    """Somebody else's by task id: 403; by job id, or unknown: 404. Nothing is read."""
    task_id = await started(gateway)
    gateway.node.files[OUT] = b"alice's\n"
    gateway.node.asked.clear()
    for follow in ("", "?follow=true"):
        reply = await gateway.request("GET", f"/compute/jobs/{task_id}/output{follow}", user="bob")
        assert (reply.status, reply.json()) == (403, {"description": "Operation not permitted. Invalid task owner."})
        reply = await gateway.request("GET", f"/compute/jobs/7/output{follow}", user="bob")
        assert reply.status == 404
        assert reply.json()["error"] == "no job 7 of bob on cluster was submitted through this service"
        assert (await gateway.request("GET", f"/compute/jobs/{'b' * 32}/output{follow}")).status == 404
        assert (await gateway.request("GET", f"/compute/jobs/7/output{follow}", user=None)).status == 401
    assert gateway.node.asked == []


async def test_machine_that_is_not_named_or_not_there(gateway: Gateway) -> None:
    """A number alone is no job: the contract's texts."""
    reply = await gateway.request("GET", "/compute/jobs/7/output", machine=None)
    assert (reply.status, reply.json()) == (400, {"description": "No machine name given"})
    reply = await gateway.request("GET", "/compute/jobs/7/output", machine="nowhere")
    assert reply.headers["X-Machine-Does-Not-Exist"]


async def test_output_that_is_not_there(gateway: Gateway) -> None:
    """Not yet known: 404 and in which phase it is. Known, but not on the system: what head would say."""
    task_id = await started(gateway, files=None, phase="Queued")
    reply = await gateway.request("GET", f"/compute/jobs/{task_id}/output")
    assert (reply.status, reply.json()["error"]) == (404, "the job has no stdout file yet: it is Queued")
    task_id = await started(gateway)
    reply = await gateway.request("GET", f"/compute/jobs/{task_id}/output")
    assert reply.status == 400
    assert reply.json() == {
        "description": "Failed to read output",
        "error": f"head: cannot open '{OUT}' for reading: No such file or directory",
    }
    assert reply.headers["X-Invalid-Path"] == "path is an invalid path"


async def test_elements_of_an_array(gateway: Gateway) -> None:
    """Each has a file of its own: one is asked for by its id."""
    task_id = await started(gateway, files={**FILES, "stdout": "/o/slurm-%A_%a.out"})
    gateway.node.files["/o/slurm-7_3.out"] = b"three\n"
    assert (await gateway.request("GET", "/compute/jobs/7_3/output")).text == "three\n"
    for job in ("7", task_id):
        reply = await gateway.request("GET", f"/compute/jobs/{job}/output")
        assert reply.status == 400
        assert reply.json()["error"] == "each element of the array has its own stdout: ask for 7_<index>"


async def test_place_is_given_back(gateway: Gateway) -> None:
    """A client that goes away holds no place, and the login node is asked no more."""
    await started(gateway)
    gateway.node.files[OUT] = b"before\n"
    async with followed(gateway, "/compute/jobs/7/output?follow=true") as response:
        assert await response.content.readline() == b"before\n"
        assert len(gateway.context.streams) == 1

    async def free() -> bool:
        return len(gateway.context.streams) == 0

    await gateway.eventually(free)
    gateway.node.asked.clear()
    await asyncio.sleep(1)
    assert gateway.node.asked == []
