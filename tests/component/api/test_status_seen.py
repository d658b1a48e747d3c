"""``/status`` of file systems and services: what the operator wrote, or a bounded look of the caller's own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import SYSTEM, Gateway, running_gateway
from component.api.neighbours import os_error
from component.api.test_status import system
from goldcrest.commands import StatFile
from goldcrest.errors import SystemUnreachable
from goldcrest.ssh import Answer

pytestmark = pytest.mark.component

SCRATCH, HOME = {"name": "scratch", "path": "/scratch", "description": "Fast."}, {"name": "home", "path": "/home"}


def seen(name: str = "cluster", *, scratch: str | None, home: str | None, **more: Any) -> dict[str, Any]:
    """A System whose file systems the operator found so; None: it has not looked at them."""
    made = system("True", **more)
    found = [(SCRATCH, scratch), (HOME, home)]
    made["status"]["fileSystems"] = [
        {"name": one["name"], "path": one["path"], "state": state} for one, state in found if state is not None
    ]
    return made | {"metadata": {"name": name}, "spec": SYSTEM["spec"] | {"fileSystems": [SCRATCH, HOME]}}


def row(one: dict[str, str], *, up: bool) -> dict[str, Any]:
    word, code = ("available", 200) if up else ("not available", 400)
    return {"description": "", **one, "status": word, "status_code": code}


async def test_file_systems_as_the_operator_saw_them(tmp_path: Path) -> None:
    """No system is asked, and the answers are the contract's, in the list and for one system."""
    one, two = seen(scratch="Down", home="Up"), seen("other", scratch="Up", home="Up")
    async with running_gateway(tmp_path, systems=(one, two)) as gateway:
        rows = [row(SCRATCH, up=False), row(HOME, up=True)]
        reply = await gateway.request("GET", "/status/filesystems/cluster", machine=None)
        assert (reply.status, reply.json()) == (
            200,
            {"description": "Filesystem information for system cluster", "out": rows},
        )
        reply = await gateway.request("GET", "/status/filesystems", machine=None)
        assert (reply.status, reply.json()) == (
            200,
            {
                "description": "Filesystem information",
                "out": {"cluster": rows, "other": [row(SCRATCH, up=True), row(HOME, up=True)]},
            },
        )
        reply = await gateway.request("GET", "/status/systems/cluster", machine=None)
        shown = {"system": "cluster", "status": "available", "description": "Filesystem scratch is not available"}
        assert reply.json()["out"] == shown
        assert gateway.node.asked == []
        reply = await gateway.request("GET", "/status/filesystems/nowhere", machine=None)
        assert (reply.status, reply.json()) == (
            404,
            {"description": "Filesystem information for system nowhere", "out": "System 'nowhere' doesn't exist"},
        )


@pytest.mark.parametrize(
    "given",
    [
        seen(scratch="Unknown", home="Unknown"),
        seen(scratch=None, home=None),
        seen(scratch="Up", home="Up", checked=1000),
    ],
    ids=["no observer", "older operator", "operator away"],
)
async def test_caller_looks_where_nobody_else_does(tmp_path: Path, given: dict[str, Any]) -> None:
    """As the caller, remembered for the caller only."""
    async with running_gateway(tmp_path, systems=(given,)) as gateway:
        gateway.node.directories.add("/home")
        for _ in range(3):
            reply = await gateway.request("GET", "/status/filesystems/cluster")
            assert reply.json()["out"] == [row(SCRATCH, up=False), row(HOME, up=True)]
        assert gateway.node.asked == [("fs.stat", "alice")] * 2
        gateway.node.failures["fs.stat"] = os_error("EACCES", "/scratch")
        reply = await gateway.request("GET", "/status/filesystems/cluster", user="bob")
        assert reply.json()["out"] == [row(SCRATCH, up=True), row(HOME, up=True)]  # they answer, and keep bob out
        reply = await gateway.request("GET", "/status/filesystems/cluster")
        assert reply.json()["out"][0] == row(SCRATCH, up=False)


async def test_caller_wants_a_look_anew(tmp_path: Path) -> None:
    """With ``Cache-Control: no-cache`` what was seen for this caller before does not count; what the operator saw does."""
    systems = (seen(scratch="Unknown", home="Unknown"), seen("good", scratch="Up", home="Down"))
    async with running_gateway(tmp_path, systems=systems) as gateway:
        gateway.node.directories.add("/home")
        path = "/status/filesystems/cluster"
        assert (await gateway.request("GET", path)).json()["out"][0] == row(SCRATCH, up=False)
        gateway.node.directories.add("/scratch")
        assert (await gateway.request("GET", path)).json()["out"][0] == row(SCRATCH, up=False)
        anew = {"Cache-Control": "no-cache"}
        assert (await gateway.request("GET", path, headers=anew)).json()["out"][0] == row(SCRATCH, up=True)
        assert (await gateway.request("GET", path)).json()["out"][0] == row(SCRATCH, up=True)
        gateway.node.directories.remove("/scratch")
        shown = (await gateway.request("GET", "/status/systems/cluster", headers=anew)).json()["out"]
        assert shown["description"] == "Filesystem scratch is not available"
        asked = len(gateway.node.asked)
        assert (await gateway.request("GET", "/status/filesystems/good", headers=anew)).status == 200
        assert len(gateway.node.asked) == asked


async def test_system_that_hangs_delays_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at it has an end, and the others are there in the answer."""
    monkeypatch.setattr("goldcrest_api.services.health._LOOK_SECONDS", 0.3)
    systems = (seen("slow", scratch=None, home=None), seen("good", scratch="Up", home="Up"))
    async with running_gateway(tmp_path, systems=systems) as gateway:

        async def hang(command: Any, *, system: str, **_: Any) -> Answer:
            assert (system, type(command)) == ("slow", StatFile)
            await asyncio.sleep(60)
            raise AssertionError

        monkeypatch.setattr(gateway.node, "run", hang)
        began = time.monotonic()
        reply = await gateway.request("GET", "/status/filesystems")
        assert time.monotonic() - began < 5
        assert [one["status"] for one in reply.json()["out"]["slow"]] == ["not available"] * 2
        assert [one["status"] for one in reply.json()["out"]["good"]] == ["available"] * 2


async def test_services(gateway: Gateway, tmp_path: Path) -> None:
    """Each as the contract words it, flat for a single one; without a token 401."""
    names = ["certificator", "compute", "reservations", "tasks", "utilities"]
    rows = [
        {"service": name, "status": "available", "status_code": 200, "description": "server up & flask running"}
        for name in names
    ]
    reply = await gateway.request("GET", "/status/services", machine=None)
    expected = {"description": "List of services with status and description.", "out": rows}
    assert (reply.status, reply.json()) == (200, expected)
    for name, expected_row in zip(names, rows, strict=True):
        reply = await gateway.request("GET", f"/status/services/{name}", machine=None)
        assert (reply.status, reply.json()) == (200, expected_row)
    reply = await gateway.request("GET", "/status/services/storage", machine=None)
    assert (reply.status, reply.json()) == (404, {"description": "Service does not exists", "status_code": 404})
    assert (await gateway.request("GET", "/status/services", user=None)).status == 401


async def test_services_without_delegation(tmp_path: Path) -> None:
    """What needs a signature is not available; tasks are still shown."""
    async with running_gateway(tmp_path, delegation_silent=7.0) as gateway:
        rows = (await gateway.request("GET", "/status/services")).json()["out"]
        assert {row["service"]: (row["status"], row["status_code"], row["description"]) for row in rows} == {
            "certificator": ("not available", 400, "server down"),
            "compute": ("not available", 503, "server up, flask down"),
            "reservations": ("not available", 503, "server up, flask down"),
            "tasks": ("available", 200, "server up & flask running"),
            "utilities": ("not available", 503, "server up, flask down"),
        }
        single = (await gateway.request("GET", "/status/services/compute")).json()
        assert (single["status_code"], single["description"]) == (400, "server up, flask down")
        ready = await gateway.request("GET", "/readyz", user=None)
        assert (ready.status, ready.json()["delegation_silent_seconds"]) == (200, 7)


async def test_system_that_is_down_is_not_looked_at(tmp_path: Path) -> None:
    """None of its file systems answers, and nobody waits to see that."""
    given = seen(scratch="Unknown", home="Unknown")
    given["status"]["conditions"][0] |= {"status": "False", "reason": "SystemUnreachable"}
    async with running_gateway(tmp_path, systems=(given,)) as gateway:
        gateway.node.refusal = SystemUnreachable("gone")
        reply = await gateway.request("GET", "/status/filesystems/cluster")
        assert reply.json()["out"] == [row(SCRATCH, up=False), row(HOME, up=False)]
        assert gateway.node.asked == []
