"""/reservations through the gateway, the real ssh-filter and a command of a site's (contract section 8)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from firecrest.v1 import Firecrest

from component.api.gateway import Gateway, running_gateway
from component.api.node_with_programs import RealNode, real_node
from goldcrest.errors import Denied, DeniedForNow, SystemUnreachable
from unit.ssh_filter.test_arguments import GOOD

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]

# Keeps reservations in a file, one a line; some names are refused.
TOOL = r"""#!/usr/bin/python3
import pathlib, sys, time
store = pathlib.Path(__file__).parent.parent / "reservations"
lines = store.read_text().splitlines() if store.exists() else []
arguments = sys.argv[1:]
(store.parent / "called").open("a").write(repr(arguments) + "\n")
name = arguments[-1] if arguments[0] == "-a" else arguments[1] if len(arguments) > 1 else ""
if name == "denied":
    sys.exit("rsvmgmt: Error: Access/Permission denied")
if name == "admins":
    sys.exit("timeout: rsvmgmt: only a SystemAdministrator may do this")
if name == "late":
    sys.exit(124)
if name == "hangs":
    time.sleep(60)
if name == "busy":
    sys.exit("rsvmgmt: Error: Requested nodes are busy")
if arguments[0] == "-l":
    print("Reservations", "------------", *lines, "%d in all" % len(lines), sep="\n")
elif arguments[0] == "-a":
    account, nodes, kind, start, end = arguments[1:6]
    lines.append("ReservationName=%s StartTime=%s EndTime=%s NodeCnt=%s Features=%s Accounts=%s TRES=cpu=2 alone"
                 % (name, start, end, nodes, kind, account))
    print("Reservation created: " + name)
elif arguments[0] == "-u":
    nodes, kind, start, end = arguments[2:]
    lines = [line if " %s " % name not in line.replace("=", " ") else
             "ReservationName=%s StartTime=%s EndTime=%s NodeCnt=%s Features=%s" % (name, start, end, nodes, kind) for line in lines]
    print("Reservation updated")
elif arguments[0] == "-d":
    lines = [line for line in lines if not line.startswith("ReservationName=%s " % name)]
store.write_text("\n".join(lines) + "\n" if lines else "")
"""


def at(**later: int) -> str:
    now = datetime.now()  # noqa: DTZ005  times of the contract have no zone
    return (now + timedelta(**later)).replace(microsecond=0).isoformat()


def form(**changes: str | None) -> dict[str, str]:
    good: dict[str, str | None] = {
        "reservation": "course_1",
        "account": "physics",
        "numberOfNodes": "2",
        "nodeType": "gpu",
        "starttime": at(hours=1),
        "endtime": at(hours=2),
    }
    return {name: text for name, text in (good | changes).items() if text is not None}


@pytest.fixture
async def node() -> AsyncIterator[RealNode]:
    async with real_node({"rsvmgmt": TOOL}, policy={"commandSeconds": 2}) as running:
        yield running


@pytest.fixture
async def site(node: RealNode, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path, systems=(node.system,), remote=node.pool) as gateway:
        yield gateway


async def ask(site: Gateway, method: str, path: str = "/reservations", **more: Any) -> Any:
    return await site.request(method, path, user="root", **more)


@pytest.mark.parametrize("path", ["/reservations", "/reservations/", "/v1/reservations"])
async def test_life_of_a_reservation(site: Gateway, path: str) -> None:
    """Made, seen with all its words, changed, given up; each answer as the contract has it."""
    base = path.rstrip("/")
    wanted = form()
    made = await ask(site, "POST", path, data=wanted)
    assert (made.status, made.json()) == (201, {"success": "Reservation created: course_1"})
    listed = await ask(site, "GET", path)
    assert listed.status == 200
    (found,) = listed.json()["success"]
    assert found == {
        "reservationname": "course_1",
        "starttime": wanted["starttime"],
        "endtime": wanted["endtime"],
        "nodecnt": "2",
        "features": "gpu",
        "accounts": "physics",
        "tres": "cpu=2",
    }
    changed = await ask(site, "PUT", f"{base}/course_1", data=form(numberOfNodes="3", reservation=None, account=None))
    assert (changed.status, changed.json()) == (200, {"success": "Reservation updated"})
    assert (await ask(site, "GET", path)).json()["success"][0]["nodecnt"] == "3"
    gone = await ask(site, "DELETE", f"{base}/course_1")
    assert (gone.status, gone.text) == (204, "")
    assert (await ask(site, "GET", path)).json() == {"success": []}


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"reservation": None}, "'reservation' form data input missing"),
        ({"account": None}, "'account' form data input missing"),
        ({"numberOfNodes": None}, "'numberOfNodes' form data input missing"),
        ({"nodeType": None}, "'nodeType' form data input missing"),
        ({"starttime": None}, "'starttime' form data input missing"),
        ({"endtime": None}, "'endtime' form data input missing"),
        ({"reservation": "Course"}, "'reservation' parameter format is not valid (value entered:'Course')"),
        ({"reservation": "-d"}, "'reservation' parameter format is not valid (value entered:'-d')"),
        ({"account": "a;b"}, "'account' parameter format is not valid (value entered:'a;b')"),
        ({"nodeType": "$(id)"}, "'nodeType' parameter format is not valid (value entered:'$(id)')"),
        ({"numberOfNodes": "0"}, "'numberOfNodes' parameter is not valid. It should be an integer > 0 (value entered:'0')"),
        ({"numberOfNodes": "-1"}, "'numberOfNodes' parameter is not valid. It should be an integer > 0 (value entered:'-1')"),
        ({"numberOfNodes": "two"}, "'numberOfNodes' parameter is not valid. It should be an integer > 0 (value entered:'two')"),
        ({"starttime": "tomorrow"}, "'starttime' parameter format is not valid. It should be YYYY-MM-DDTHH:MM:SS (value entered:'tomorrow')"),
        ({"endtime": "2030-02-30T00:00:00"}, "'endtime' parameter format is not valid. It should be YYYY-MM-DDTHH:MM:SS (value entered:'2030-02-30T00:00:00')"),
        ({"starttime": "2030-01-02T00:00:00", "endtime": "2030-01-01T00:00:00"}, "'endtime' occurs before 'starttime' (value entered:'2030-01-01T00:00:00')"),
        ({"starttime": "2020-01-01T00:00:00"}, "'starttime' is in the pass (value entered:'2020-01-01T00:00:00')"),
    ],
)  # fmt: skip
async def test_fields_that_are_refused(
    site: Gateway, node: RealNode, changes: dict[str, Any], description: str
) -> None:
    """400 with the contract's words, and nothing is run; for PUT likewise, of the fields that it has."""
    refused = await ask(site, "POST", data=form(**changes))
    assert (refused.status, refused.json()) == (
        400,
        {"error": "Error creating reservation", "description": description},
    )
    if not {"reservation", "account"} & set(changes):
        refused = await ask(site, "PUT", "/reservations/course_1", data=form(**changes))
        assert (refused.status, refused.json()) == (
            400,
            {"error": "Error updating reservation", "description": description},
        )
    assert not (node.folder / "called").exists()


@pytest.mark.parametrize(
    ("name", "status", "description", "header"),
    [
        ("denied", 404, "Access/Permission denied", "X-Permission-Denied"),
        ("admins", 404, "only a SystemAdministrator may do this", "X-Permission-Denied"),
        ("late", 400, "Command has finished with timeout signal", "X-Timeout"),
        ("hangs", 400, "Command has finished with timeout signal", "X-Timeout"),
        ("busy", 400, "Requested nodes are busy", None),
    ],
)
async def test_what_the_command_refuses(
    site: Gateway, name: str, status: int, description: str, header: str | None
) -> None:
    """Its words without their prefixes, with the header that clients look for."""
    for method, path, error in (("POST", "/reservations", "creating"), ("DELETE", f"/reservations/{name}", "deleting")):
        refused = await ask(site, method, path, data=form(reservation=name) if method == "POST" else None)
        assert (refused.status, refused.json()) == (
            status,
            {"error": f"Error {error} reservation", "description": description},
        )
        for known in ("X-Permission-Denied", "X-Timeout", "X-Error"):
            assert (known in refused.headers) == (known == header)


async def test_machine_and_name(site: Gateway) -> None:
    """Section 3.4 for this service: what is said about a machine that is missing or unknown; names in the path are looked at."""
    for method, path, doing in (
        ("GET", "", "listing"),
        ("POST", "", "creating"),
        ("PUT", "/a", "updating"),
        ("DELETE", "/a", "deleting"),
    ):
        error = f"Error {doing} reservation"
        missing = await ask(site, method, f"/reservations{path}", machine=None)
        assert (missing.status, missing.json()) == (400, {"description": "No machine name given", "error": error})
        unknown = await ask(site, method, f"/reservations{path}", machine="other")
        assert (unknown.status, unknown.json()) == (400, {"error": error})
        assert unknown.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
    wrong = await ask(site, "DELETE", "/reservations/-l")
    assert wrong.json()["description"] == "'reservation' parameter format is not valid (value entered:'-l')"
    assert (await ask(site, "GET", "/reservations/status")).json() == {"success": "ack"}
    assert (await site.request("GET", "/reservations", user=None)).status == 401


@pytest.mark.parametrize(
    ("cause", "status", "description", "header"),
    [
        (Denied("policy says no to rsv.list"), 404, "policy says no to rsv.list", "X-Permission-Denied"),
        (SystemUnreachable("no host answers"), 400, "Machine is not available", "X-Machine-Not-Available"),
        (DeniedForNow("maintenance until noon"), 400, "maintenance until noon", "X-Machine-Not-Available"),
    ],
)
async def test_what_keeps_it_from_running(
    gateway: Gateway, cause: Any, status: int, description: str, header: str
) -> None:
    """Policy, a system that is away, a maintenance window."""
    gateway.node.refusal = cause
    refused = await gateway.request("GET", "/reservations")
    assert (refused.status, refused.json()) == (
        status,
        {"error": "Error listing reservation", "description": description},
    )
    assert header in refused.headers


async def test_another_command_than_the_nodes(node: RealNode, tmp_path: Path) -> None:
    """The System names another one than the node's policy file: an error that says so, and nothing is run."""
    system = {**node.system, "spec": {**node.system["spec"], "reservationCommand": "sbatch"}}
    async with running_gateway(tmp_path, systems=(system,), remote=node.pool) as gateway:
        refused = await ask(gateway, "GET")
        assert refused.status == 400
        assert refused.json()["description"] == "the command for reservations is rsvmgmt here, not sbatch"
    assert not (node.folder / "called").exists()


async def test_node_without_such_a_command(tmp_path: Path) -> None:
    """Most nodes: 400 with a sentence."""
    async with (
        real_node({}) as node,
        running_gateway(tmp_path, systems=(node.system,), remote=node.pool) as gateway,
    ):
        refused = await ask(gateway, "GET")
        assert (refused.status, refused.json()["description"]) == (400, "cluster has no command for reservations")


async def test_program_in_the_users_path_is_not_taken(node: RealNode, site: Gateway) -> None:
    """Arguments come as they were signed, one by one, to the program of the node's own PATH."""
    await ask(site, "POST", data=form(starttime="2099-01-01T00:00:00", endtime="2099-01-02T00:00:00"))
    called = (node.folder / "called").read_text()
    assert called == "['-a', 'physics', '2', 'gpu', '2099-01-01T00:00:00', '2099-01-02T00:00:00', 'course_1']\n"
    assert set(GOOD["rsv.create"]) == {"command", "name", "account", "nodes", "nodeType", "startTime", "endTime"}


async def test_pyfirecrest(site: Gateway) -> None:
    """The unmodified client: all four calls."""

    class Token:
        def get_access_token(self) -> str:
            return "token-root"

    client = Firecrest(firecrest_url=site.url, authorization=Token())
    start, end = at(hours=1), at(hours=2)
    await asyncio.to_thread(client.create_reservation, "cluster", "course", "physics", "1", "mc", start, end)
    listed = await asyncio.to_thread(client.all_reservations, "cluster")
    assert [entry["reservationname"] for entry in listed] == ["course"]
    await asyncio.to_thread(client.update_reservation, "cluster", "course", "physics", "3", "mc", start, end)
    await asyncio.to_thread(client.delete_reservation, "cluster", "course")
    assert await asyncio.to_thread(client.all_reservations, "cluster") == []
