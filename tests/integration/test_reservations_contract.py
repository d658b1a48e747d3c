"""Every route of ``/reservations`` on the bed, over real Slurm: what is refused, and how (contract section 8). Their life is in
test_status_and_reservations.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bed import Bed
from integration.door import NO_SUCH_MACHINE, Door, told
from integration.slurms_side import local_time

pytestmark = pytest.mark.integration

OPERATOR, CLIENT = "oscar", "oscar-client"  # of Slurm: may make reservations
NEVER = "goldcrest_never"  # what must not be made
NOT_ALLOWED = {"X-Permission-Denied": "User does not have permissions to access machine or path"}
ROUTES = [
    ("GET", "", "listing"),
    ("POST", "", "creating"),
    ("PUT", "/some", "updating"),
    ("DELETE", "/some", "deleting"),
]


@pytest.fixture(scope="module")
def door(bed: Bed) -> Iterator[Door]:
    yield Door(bed)
    bed.node("scontrol", "delete", f"ReservationName={NEVER}", check=False)  # should one be made none the less


def at(hours: int) -> str:
    """Days from now, where no other test reserves anything; times of the contract have no zone."""
    return local_time(days=40, hours=hours)


def form(**changes: str | None) -> dict[str, str]:
    good: dict[str, str | None] = {
        "reservation": NEVER,
        "account": "physics",
        "numberOfNodes": "1",
        "nodeType": "any",
        "starttime": at(1),
        "endtime": at(2),
    }
    return {name: text for name, text in (good | changes).items() if text is not None}


@pytest.fixture(scope="module")
def there(bed: Bed, door: Door) -> Iterator[str]:
    """A reservation that oscar made."""
    name = bed.name("course")
    made = told(door.ask("POST", "/reservations/", form(reservation=name), client=CLIENT))
    assert made == (201, {"success": f"Reservation created: {name}"}, {})
    yield name
    bed.node("scontrol", "delete", f"ReservationName={name}")


def said(bed: Bed, *arguments: str, user: str) -> str:
    """What the site's command says to that user on the node, without its prefixes."""
    words = bed.node("sh", "-c", 'rsvmgmt "$@" 2>&1', "sh", *arguments, user=user, check=False)
    return words.strip().removeprefix("rsvmgmt: Error: ")


# ---- before the system is asked ----


@pytest.mark.parametrize(("method", "path", "doing"), ROUTES)
def test_token_and_machine(door: Door, method: str, path: str, doing: str) -> None:
    """In this order; the sentences are those of this service (3.4)."""
    whole, error = f"/reservations{path}", f"Error {doing} reservation"
    door.unauthenticated(method, whole, machine=None)
    missing = told(door.ask(method, whole, machine=None))
    assert missing == (400, {"description": "No machine name given", "error": error}, {})
    assert told(door.ask(method, whole, machine="nowhere")) == (400, {"error": error}, NO_SUCH_MACHINE)


def not_valid(field: str, value: str, form: str = " format is not valid") -> str:
    return f"'{field}' parameter{form} (value entered:'{value}')"


COUNT = " is not valid. It should be an integer > 0"
TIME = " format is not valid. It should be YYYY-MM-DDTHH:MM:SS"


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        *(({field: None}, f"'{field}' form data input missing") for field in form()),
        *(({"reservation": name}, not_valid("reservation", name)) for name in ("", "Course", "1st", "-d", "a b", "a;id", "a/b", "ä")),
        *(({"account": name}, not_valid("account", name)) for name in ("", "a b", "-x", "a;id", "$(id)")),
        *(({"nodeType": name}, not_valid("nodeType", name)) for name in ("", "gpu n1", "-x", "`id`", "gpu\nNodes=n1")),
        *(({"numberOfNodes": count}, not_valid("numberOfNodes", count, COUNT)) for count in ("", "0", "-1", "1.5", "two", "1 ", "n1")),
        *(({field: time}, not_valid(field, time, TIME)) for field in ("starttime", "endtime") for time in ("", "tomorrow", "2090-01-01", "2090-01-01 08:00:00", "2090-02-30T00:00:00", "2090-01-01T00:00:00Z")),
        ({"starttime": "2090-01-02T00:00:00", "endtime": "2090-01-01T00:00:00"}, "'endtime' occurs before 'starttime' (value entered:'2090-01-01T00:00:00')"),
        ({"starttime": "2020-01-01T00:00:00"}, "'starttime' is in the pass (value entered:'2020-01-01T00:00:00')"),
    ],
)  # fmt: skip
def test_fields(door: Door, changes: dict[str, str | None], description: str) -> None:
    """400, for POST and, of the fields that it has, for PUT; Slurm never hears of it (test_nothing_was_made)."""
    body = {"error": "Error creating reservation", "description": description}
    assert told(door.ask("POST", "/reservations", form(**changes), client=CLIENT)) == (400, body, {})
    if not {"reservation", "account"} & set(changes):
        body = {"error": "Error updating reservation", "description": description}
        answer = door.ask("PUT", f"/reservations/{NEVER}", form(**changes), client=CLIENT)
        assert told(answer) == (400, body, {})


@pytest.mark.parametrize(("method", "doing"), [("PUT", "updating"), ("DELETE", "deleting")])
@pytest.mark.parametrize(("path", "name"), [("Course", "Course"), ("-l", "-l"), ("a%20b", "a b"), ("a%3Bid", "a;id")])
def test_names_in_the_path(door: Door, method: str, doing: str, path: str, name: str) -> None:
    """As in the form."""
    body = {"error": f"Error {doing} reservation", "description": not_valid("reservation", name)}
    given = form() if method == "PUT" else None
    assert told(door.ask(method, f"/reservations/{path}", given, client=CLIENT)) == (400, body, {})


# ---- what Slurm refuses, in its words ----


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"account": "nosuchaccount"}, "account"),
        ({"nodeType": "nosuchfeature"}, "feature"),
        ({"nodeType": "gpu&any"}, "feature"),
    ],
)
def test_what_slurm_does_not_make(bed: Bed, door: Door, changes: dict[str, str], words: str) -> None:
    """400 with what the command said, and no header."""
    fields = form(**changes)
    wanted = [fields[name] for name in ("account", "numberOfNodes", "nodeType", "starttime", "endtime", "reservation")]
    description = said(bed, "-a", *wanted, user=OPERATOR)
    assert words in description.lower()
    answer = told(door.ask("POST", "/reservations", fields, client=CLIENT))
    assert answer == (400, {"error": "Error creating reservation", "description": description}, {})


def test_a_name_that_is_taken(bed: Bed, door: Door, there: str) -> None:
    """Likewise; what is there stays as it is."""
    before = bed.node("scontrol", "-o", "show", "reservation", there)
    answer = told(door.ask("POST", "/reservations", form(reservation=there, numberOfNodes="2"), client=CLIENT))
    status, body, headers = answer
    assert (status, body["error"], headers) == (400, "Error creating reservation", {})
    assert "already" in body["description"] or "duplicate" in body["description"].lower()
    assert bed.node("scontrol", "-o", "show", "reservation", there) == before


def test_what_is_not_there(bed: Bed, door: Door) -> None:
    """Neither changed nor given up."""
    fields, name = form(), bed.name("none")
    wanted = [fields[each] for each in ("numberOfNodes", "nodeType", "starttime", "endtime")]
    for method, given, doing, arguments in (
        ("PUT", fields, "updating", ("-u", name, *wanted)),
        ("DELETE", None, "deleting", ("-d", name)),
    ):
        description = said(bed, *arguments, user=OPERATOR)
        assert "reservation" in description.lower()
        answer = told(door.ask(method, f"/reservations/{name}", given, client=CLIENT))
        assert answer == (400, {"error": f"Error {doing} reservation", "description": description}, {})


@pytest.mark.parametrize(("method", "doing"), [("POST", "creating"), ("PUT", "updating"), ("DELETE", "deleting")])
def test_somebody_who_may_not(bed: Bed, door: Door, there: str, method: str, doing: str) -> None:
    """404 with the header (D9), and the reservation is as it was."""
    before = bed.node("scontrol", "-o", "show", "reservation", there)
    path = "/reservations" if method == "POST" else f"/reservations/{there}"
    given = None if method == "DELETE" else form(numberOfNodes="2")
    status, body, headers = told(door.ask(method, path, given, client="alice-client"))
    assert (status, body["error"], headers) == (404, f"Error {doing} reservation", NOT_ALLOWED)
    assert body["description"].startswith("Permission denied: ")
    assert bed.node("scontrol", "-o", "show", "reservation", there) == before


# ---- success ----


@pytest.mark.parametrize("path", ["/reservations", "/reservations/", "/v1/reservations"])
def test_listing(bed: Bed, door: Door, there: str, path: str) -> None:
    """What Slurm shows, with keys in lower case, also where a value has an `=` of its own; anybody may read it."""
    status, body, headers = told(door.ask("GET", path))
    assert (status, set(body), headers) == (200, {"success"}, {})
    listed: dict[str, Any] = {one["reservationname"]: one for one in body["success"]}
    words = bed.node("scontrol", "-o", "show", "reservation", there).split()
    assert listed[there] == {key.lower(): value for key, _, value in (word.partition("=") for word in words)}
    assert listed[there]["tres"].startswith("cpu=")


def test_change_and_end(bed: Bed, door: Door) -> None:
    """200 with the command's words; 204 without a body."""
    name = bed.name("brief")
    made = told(door.ask("POST", "/reservations", form(reservation=name), client=CLIENT))
    assert made == (201, {"success": f"Reservation created: {name}"}, {})
    times = form(starttime=at(3), endtime=at(5), reservation=None, account=None)
    changed = told(door.ask("PUT", f"/reservations/{name}", times, client=CLIENT))
    assert changed == (200, {"success": f"Reservation {name} updated"}, {})
    shown = bed.node("scontrol", "-o", "show", "reservation", name)
    assert f"StartTime={times['starttime']} EndTime={times['endtime']} " in shown
    gone = door.ask("DELETE", f"/reservations/{name}", client=CLIENT)
    assert (gone.status, gone.body) == (204, b"")
    assert name not in bed.node("scontrol", "-o", "show", "reservation")


def test_nothing_was_made(bed: Bed) -> None:
    """By all the requests of this file that were refused."""
    assert NEVER not in bed.node("scontrol", "-o", "show", "reservation")
