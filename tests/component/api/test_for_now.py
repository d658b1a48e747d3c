"""Policy's no that passes by itself (a maintenance window), and the route that delegation is told."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from component.api.gateway import Gateway
from component.api.neighbours import os_error
from goldcrest.errors import DeniedForNow

pytestmark = pytest.mark.component

WINDOW = DeniedForNow("maintenance of cluster until 2030-01-01T18:00:00Z: new file system")
AWAY = "Machine is not available"


def refused(reply: Any) -> None:
    """The site's message, and the headers of a machine that is away; a client that waits knows how long."""
    assert reply.status == 400, reply.text
    assert reply.json()["error"] == WINDOW.message
    assert reply.headers["X-Machine-Not-Available"] == AWAY
    assert reply.headers["Retry-After"] == "60"


async def test_a_job_that_needs_nothing_of_the_system_is_taken(gateway: Gateway) -> None:
    """Who uploads a script during a maintenance has submitted: the Job is there, and waits for its end."""
    gateway.node.refusal = WINDOW
    reply = await gateway.upload()
    assert reply.status == 201, reply.text
    assert len(gateway.kubernetes.jobs()) == 1


async def test_a_job_that_needs_the_system_is_not(gateway: Gateway) -> None:
    """A script that lies there, or has to be put there, cannot be taken; the client is told the site's message."""
    gateway.node.refusal = WINDOW
    refused(await gateway.upload(b"#!/bin/sh\n#" + b"x" * 100_000))
    refused(await gateway.request("POST", "/compute/jobs/path", data={"targetPath": "/home/alice/run.sh"}))
    refused(await gateway.request("GET", "/utilities/view", params={"targetPath": "/home/alice/x"}))
    assert gateway.kubernetes.jobs() == []


async def test_a_site_that_takes_no_jobs_meanwhile(gateway: Gateway) -> None:
    """A window that names job.create: delegation grants nothing, and nothing is made."""
    gateway.delegation.refusal = WINDOW
    refused(await gateway.upload())
    assert gateway.kubernetes.jobs() == []


async def test_delegation_is_told_the_route(gateway: Gateway) -> None:
    """For grants and for commands, as the dialect's table has it, wherever the dialect is mounted."""
    await gateway.upload()
    form = aiohttp.FormData()
    form.add_field("file", b"#!/bin/sh\n", filename="a")
    await gateway.request("POST", "/v1/compute/jobs/upload", data=form)
    assert [asked["route"] for asked in gateway.delegation.granted] == ["POST /compute/jobs/upload"] * 2
    gateway.node.routes.clear()
    gateway.node.failures["fs.stat"] = os_error("ENOENT", "/home/alice/x")
    await gateway.request("GET", "/v1/utilities/view", params={"targetPath": "/home/alice/x"})
    assert set(gateway.node.routes) == {"GET /utilities/view"}
