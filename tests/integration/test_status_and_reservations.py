"""``/status`` and ``/reservations`` on the bed: what the operator sees with real Slurm, and reservations that Slurm has."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from bed import Answer, Bed
from integration.slurms_side import local_time

pytestmark = pytest.mark.integration

OPERATOR = "oscar-client"  # of Slurm
NAME = "goldcrest_course"


def form(**changes: str) -> bytes:
    start, end = local_time(hours=20), local_time(hours=21)
    fields = {
        "reservation": NAME,
        "account": "physics",
        "numberOfNodes": "1",
        "nodeType": "any",
        "starttime": start,
        "endtime": end,
    }
    return urllib.parse.urlencode(fields | changes).encode()


def reserve(bed: Bed, method: str, path: str = "", *, client: str = OPERATOR, body: bytes | None = None) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    return bed.call(method, f"/reservations{path}", client=client, headers=headers, body=body)


@pytest.fixture
def _no_reservation(bed: Bed) -> Iterator[None]:
    yield
    bed.node("scontrol", "delete", f"ReservationName={NAME}", check=False)


@pytest.mark.usefixtures("_no_reservation")
def test_life_of_a_reservation(bed: Bed) -> None:
    """Slurm has it as it was asked for, changed, and no more; a user without the right is told so by Slurm."""
    made = reserve(bed, "POST", body=form())
    assert (made.status, made.json) == (201, {"success": f"Reservation created: {NAME}"})
    shown = bed.node("scontrol", "-o", "show", "reservation", NAME)
    assert "NodeCnt=1 " in shown
    assert "Accounts=physics" in shown
    listed = {one["reservationname"]: one for one in reserve(bed, "GET", client="alice-client").json["success"]}
    assert listed[NAME]["nodecnt"] == "1"
    assert listed[NAME]["tres"].startswith("cpu=")
    changed = reserve(bed, "PUT", f"/{NAME}", body=form(numberOfNodes="2"))
    assert (changed.status, changed.json) == (200, {"success": f"Reservation {NAME} updated"})
    assert "NodeCnt=2 " in bed.node("scontrol", "-o", "show", "reservation", NAME)
    denied = reserve(bed, "DELETE", f"/{NAME}", client="alice-client")
    assert denied.status == 404
    assert denied.headers["X-Permission-Denied"]
    assert "ermission denied" in denied.json["description"]
    assert reserve(bed, "DELETE", f"/{NAME}").status == 204
    again = reserve(bed, "DELETE", f"/{NAME}")
    assert (again.status, again.json["error"]) == (400, "Error deleting reservation")
    assert NAME in again.json["description"]  # in Slurm's words


def _system(bed: Bed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bed.kubectl("get", "gsys", bed.system, "-o", "json").stdout)
    return found


@pytest.fixture
def observer(bed: Bed) -> Iterator[str]:
    """The System names an observer for a while."""

    def patch(name: str | None) -> None:
        change = json.dumps({"spec": {"scheduler": {"observer": name}}})
        bed.kubectl("patch", "gsys", bed.system, "--type=merge", "-p", change)

    patch("bob")
    yield "bob"
    patch(None)


def _states(system: dict[str, Any]) -> dict[str, str]:
    status = system.get("status", {})
    seen = [*status.get("services", []), *status.get("fileSystems", [])]
    return {one["name"]: one["state"] for one in seen}


def test_status_without_an_observer(bed: Bed) -> None:
    """The host is seen by its key; file systems as the caller."""
    system = bed.until(lambda: _system(bed), lambda found: _states(found).get("ssh") == "Up", seconds=90)
    assert _states(system)["scheduler"] == "Unknown"
    assert _states(system)["object-store"] == "Up"
    answer = bed.call("GET", "/status/filesystems")
    assert answer.status == 200
    rows = answer.json["out"][bed.system]
    assert {row["path"]: row["status"] for row in rows} == {
        one["path"]: "available" for one in system["spec"]["fileSystems"]
    }
    assert bed.call("GET", f"/status/systems/{bed.system}").json["out"]["description"] == "System ready"
    services = {row["service"]: row["status"] for row in bed.call("GET", "/status/services").json["out"]}
    assert set(services.values()) == {"available"}


def test_status_with_an_observer(bed: Bed, observer: str) -> None:
    """The operator sees real Slurm and each file system, through delegation's closed list of queries."""
    names = {one["name"] for one in _system(bed)["spec"]["fileSystems"]}
    system = bed.until(lambda: _system(bed), lambda found: _states(found).get("scheduler") == "Up", seconds=90)
    assert {name: state for name, state in _states(system).items() if name in names} == dict.fromkeys(names, "Up")
    for one in (*system["status"]["services"], *system["status"]["fileSystems"]):
        assert one["latencyMilliseconds"] >= 0
        assert one["lastCheck"]
