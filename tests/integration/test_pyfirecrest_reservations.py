"""The unmodified pyfirecrest v1 client, sync and async, through all methods of /reservations (contract section 8).

Its command line has no commands for them: what it shows is what Slurm has, by ``get-reservations`` (test_pyfirecrest_compute).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from firecrest.FirecrestException import FirecrestException, HeaderException

from bed import Bed
from integration.pyfirecrest_clients import NOBODYS_SYSTEM, Client
from integration.slurms_side import local_time

pytestmark = pytest.mark.integration

AREA = "reservations"

CLIENT = "oscar-client"  # of Slurm
NO_PERMISSION = "User does not have permissions to access machine or path"


@pytest.fixture
def name(bed: Bed) -> Iterator[str]:
    """Of a reservation that is gone afterwards."""
    fresh = bed.name("course")
    yield fresh
    bed.node("scontrol", "delete", f"ReservationName={fresh}", check=False)


def wanted(**changes: str) -> dict[str, str]:
    fields = {
        "account": "physics",
        "number_of_nodes": "1",
        "node_type": "any",
        "start_time": local_time(hours=40),
        "end_time": local_time(hours=41),
    }
    return fields | changes


def on_the_system(bed: Bed, name: str) -> dict[str, str]:
    """What Slurm has under this name."""
    shown = bed.node("scontrol", "-o", "show", "reservation", name)
    return dict(field.partition("=")[::2] for field in shown.split())


def test_life_of_a_reservation(bed: Bed, client: Client, name: str) -> None:
    """create_reservation, all_reservations, update_reservation, delete_reservation: Slurm has it as it was asked for, changed, and no more."""
    first = wanted()
    assert client("create_reservation", name, **first) is None
    made = on_the_system(bed, name)
    assert (made["NodeCnt"], made["Accounts"]) == ("1", "physics")
    assert (made["StartTime"], made["EndTime"]) == (first["start_time"], first["end_time"])

    (listed,) = (one for one in client("all_reservations") if one["reservationname"] == name)
    assert listed == {key.lower(): value for key, value in made.items()}
    assert listed["tres"].startswith("cpu="), "the value has a = of its own"

    second = wanted(number_of_nodes="2", end_time=local_time(hours=43))
    assert client("update_reservation", name, **second) is None
    changed = on_the_system(bed, name)
    assert (changed["NodeCnt"], changed["EndTime"]) == ("2", second["end_time"])

    assert client("delete_reservation", name) is None
    assert name not in bed.node("scontrol", "-o", "show", "reservation")
    assert name not in [one["reservationname"] for one in client("all_reservations")]


def test_what_one_may_not(bed: Bed, client: Client, name: str) -> None:
    """A user without the right: HeaderException with 404 (D9) and Slurm's words. All may list."""
    client("create_reservation", name, **wanted())
    before = on_the_system(bed, name)
    other = bed.name("course")
    with Client.of(bed, client.kind, client="alice-client") as alice:
        assert name in [one["reservationname"] for one in alice("all_reservations")]
        for doing, method, args, more in (
            ("creating", "create_reservation", (other,), wanted()),
            ("updating", "update_reservation", (name,), wanted(number_of_nodes="2")),
            ("deleting", "delete_reservation", (name,), {}),
        ):
            refused = alice.refusal(HeaderException, method, bed.system, *args, **more)
            assert refused.status_code == 404, method
            assert refused.headers["X-Permission-Denied"] == NO_PERMISSION
            assert set(refused.json()) == {"description", "error"}
            assert refused.json()["error"] == f"Error {doing} reservation"
            assert refused.json()["description"].startswith("Permission denied: ")
    assert on_the_system(bed, name) == before
    assert other not in bed.node("scontrol", "-o", "show", "reservation")


def test_what_makes_no_sense(bed: Bed, client: Client, name: str) -> None:
    """FirecrestException with the contract's sentence, and nothing is made or changed."""
    past, start = local_time(hours=-1), local_time(hours=40)
    cases: list[tuple[dict[str, str], str]] = [
        ({"number_of_nodes": "0"}, "'numberOfNodes' parameter is not valid. It should be an integer > 0 (value entered:'0')"),
        ({"number_of_nodes": "two"}, "'numberOfNodes' parameter is not valid. It should be an integer > 0 (value entered:'two')"),
        ({"node_type": "a b"}, "'nodeType' parameter format is not valid (value entered:'a b')"),
        ({"start_time": "tomorrow"}, "'starttime' parameter format is not valid. It should be YYYY-MM-DDTHH:MM:SS (value entered:'tomorrow')"),
        ({"end_time": "21:00"}, "'endtime' parameter format is not valid. It should be YYYY-MM-DDTHH:MM:SS (value entered:'21:00')"),
        ({"start_time": start, "end_time": past}, f"'endtime' occurs before 'starttime' (value entered:'{past}')"),
        ({"start_time": past, "end_time": start}, f"'starttime' is in the pass (value entered:'{past}')"),
    ]  # fmt: skip
    for method, doing in (("create_reservation", "creating"), ("update_reservation", "updating")):
        for changes, sentence in cases:
            refused = client.refusal(FirecrestException, method, bed.system, name, **wanted(**changes))
            assert (refused.status_code, refused.json()) == (
                400,
                {"error": f"Error {doing} reservation", "description": sentence},
            )
            assert refused.headers["X-Goldcrest-Code"] == "InvalidInput"
    account = client.refusal(FirecrestException, "create_reservation", bed.system, name, **wanted(account=""))
    assert account.json()["description"] == "'account' parameter format is not valid (value entered:'')"
    assert name not in bed.node("scontrol", "-o", "show", "reservation")


def test_names_that_are_none(bed: Bed, client: Client) -> None:
    """By each method that takes a name."""
    for method, doing, more in (
        ("create_reservation", "creating", wanted()),
        ("update_reservation", "updating", wanted()),
        ("delete_reservation", "deleting", {}),
    ):
        refused = client.refusal(FirecrestException, method, bed.system, "Course", **more)
        sentence = "'reservation' parameter format is not valid (value entered:'Course')"
        assert (refused.status_code, refused.json()) == (
            400,
            {"error": f"Error {doing} reservation", "description": sentence},
        )


def test_what_slurm_refuses(bed: Bed, client: Client, name: str) -> None:
    """FirecrestException with Slurm's words: a name that is taken, an account and names that there are not."""
    client("create_reservation", name, **wanted())
    other = bed.name("course")
    account = "Invalid account or account/partition combination specified"
    cases: list[tuple[str, str, dict[str, Any], str, str]] = [
        ("create_reservation", name, wanted(), "creating", "Duplicate reservation name"),
        ("create_reservation", other, wanted(account="nosuch"), "creating", account),
        ("update_reservation", other, wanted(), "updating", "Requested reservation is invalid"),
        ("delete_reservation", other, {}, "deleting", f"{other}: Requested reservation is invalid"),
    ]
    for method, named, more, doing, words in cases:
        refused = client.refusal(FirecrestException, method, bed.system, named, **more)
        assert (refused.status_code, refused.json()["error"]) == (400, f"Error {doing} reservation")
        assert words in refused.json()["description"]
        assert not refused.json()["description"].startswith(("timeout:", "rsvmgmt:", "Error:")), (
            "left out by the contract"
        )
    assert other not in bed.node("scontrol", "-o", "show", "reservation")


def test_unknown_machine(client: Client) -> None:
    """HeaderException; the body has ``error`` alone (3.4)."""
    for method, doing, args, more in (
        ("all_reservations", "listing", (), {}),
        ("create_reservation", "creating", ("course",), wanted()),
        ("update_reservation", "updating", ("course",), wanted()),
        ("delete_reservation", "deleting", ("course",), {}),
    ):
        refused = client.refusal(HeaderException, method, NOBODYS_SYSTEM, *args, **more)
        assert (refused.status_code, refused.json()) == (400, {"error": f"Error {doing} reservation"})
        assert refused.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
        assert refused.headers["X-Machine-Does-Not-Exists"] == "Machine does not exists"
        assert refused.headers["X-Goldcrest-Code"] == "UnknownSystem"
