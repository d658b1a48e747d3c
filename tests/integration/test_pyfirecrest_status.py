"""The unmodified pyfirecrest v1 client, sync, async and its command line, through all methods of /status and the list of tasks (contract 7.1, 9).

And that no method of the client, in any area, is left out without a reason.
"""

from __future__ import annotations

import json
from typing import Any

import firecrest
import pytest
from firecrest.cli import typer_click_object
from firecrest.FirecrestException import NotFound, UnauthorizedException

from bed import Bed
from integration.pyfirecrest_clients import (
    COMMANDS,
    METHODS,
    NOBODYS_SYSTEM,
    SENDS_NOTHING,
    STORAGE,
    STORAGE_COMMANDS,
    Client,
    CommandLine,
    cells,
)

pytestmark = pytest.mark.integration

AREA = "status"

SERVICES = [
    {"service": name, "status": "available", "status_code": 200, "description": "server up & flask running"}
    for name in ("certificator", "compute", "reservations", "tasks", "utilities")
]
PARAMETERS = {
    "general": {"FIRECREST_VERSION": ("1.16.1", ""), "FIRECREST_BUILD": ("1.16.1", "")},
    "compute": {"WORKLOAD_MANAGER": ("Slurm", "")},
    "utilities": {"UTILITIES_MAX_FILE_SIZE": ("5", "MB"), "UTILITIES_TIMEOUT": ("5", "seconds")},
}


@pytest.fixture(scope="module")
def ready(bed: Bed) -> dict[str, str]:
    """The record of the system, once it is available: tests before these may have cut the link, and the operator looks again within a minute."""
    record = {"system": bed.system, "status": "available", "description": "System ready"}
    bed.until(
        lambda: bed.call("GET", f"/status/systems/{bed.system}").json["out"], lambda seen: seen == record, seconds=90
    )
    return record


@pytest.fixture(scope="module")
def file_systems(bed: Bed) -> list[dict[str, Any]]:
    """Their records, as the System names them."""
    system = bed.get("gsys", bed.system)
    assert system is not None
    return [
        {
            "name": each["name"],
            "path": each["path"],
            "description": each["description"],
            "status": "available",
            "status_code": 200,
        }
        for each in system["spec"]["fileSystems"]
    ]


@pytest.fixture(scope="module")
def task_id(bed: Bed) -> str:
    """A finished task of alice's."""
    made = str(bed.call("GET", "/compute/partitions").json["task_id"])
    assert bed.task_ended(made)["status"] == "200"
    return made


@pytest.mark.parametrize("made", [firecrest.v1.Firecrest, firecrest.v1.AsyncFirecrest])
def test_every_method_has_its_place(made: type) -> None:
    """One that a new version of the client brings is noticed here."""
    places = [*METHODS.values(), set(STORAGE), set(SENDS_NOTHING)]
    known = set().union(*places)
    assert sum(len(place) for place in places) == len(known), "a method has two places"
    public = {name for name in dir(made) if not name.startswith("_") and not name.isupper()}
    assert public - known == set()
    assert known - public <= set(SENDS_NOTHING), "gone from the client"


def test_every_command_has_its_place() -> None:
    """So is a new command."""
    root: Any = typer_click_object
    there = set()
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        there |= {name} if inner is None else {f"{name} {each}" for each in inner}
    assert there == set().union(*COMMANDS.values(), STORAGE_COMMANDS)


@pytest.mark.usefixtures("ready")
def test_services(client: Client) -> None:
    """all_services, service."""
    assert client.plain("all_services") == SERVICES
    for row in SERVICES:
        assert client.plain("service", row["service"]) == row
    refused = client.refusal(NotFound, "service", "nothing")
    assert (refused.status_code, refused.json()) == (
        404,
        {"description": "Service does not exists", "status_code": 404},
    )


def test_systems(bed: Bed, client: Client, ready: dict[str, str]) -> None:
    """all_systems, system."""
    assert client.plain("all_systems") == [ready]
    assert client("system") == ready
    refused = client.refusal(NotFound, "system", NOBODYS_SYSTEM)
    assert (refused.status_code, refused.json()) == (404, {"description": "System does not exists."})
    assert refused.headers["X-Goldcrest-Code"] == "UnknownSystem"


def test_filesystems(bed: Bed, client: Client, file_systems: list[dict[str, Any]]) -> None:
    """filesystems, of all systems and of one; the client asks for the gateway's version first, which has to be new enough."""
    assert client.plain("filesystems") == {bed.system: file_systems}
    assert client("filesystems") == {bed.system: file_systems}
    refused = client.refusal(NotFound, "filesystems", NOBODYS_SYSTEM)
    assert (refused.status_code, refused.json()) == (
        404,
        {
            "description": f"Filesystem information for system {NOBODYS_SYSTEM}",
            "out": f"System '{NOBODYS_SYSTEM}' doesn't exist",
        },
    )
    assert refused.headers["X-Goldcrest-Code"] == "UnknownSystem"


def test_parameters(bed: Bed, client: Client, file_systems: list[dict[str, Any]]) -> None:
    """parameters: all names, values and units; each with a description."""
    found = client.plain("parameters")
    mounted = [{"system": bed.system, "mounted": [each["path"] for each in file_systems]}]
    named = {area: {each["name"]: (each["value"], each["unit"]) for each in rows} for area, rows in found.items()}
    assert named == {**PARAMETERS, "storage": {"FILESYSTEMS": (mounted, "")}}
    assert all(each["description"] for rows in found.values() for each in rows)


def test_tokens_that_do_not_count(bed: Bed, client: Client) -> None:
    """UnauthorizedException with the contract's words (3.2), whatever is asked for."""
    signed = bed.token().rpartition(".")[0]
    cases = [
        ("nonsense", "Bad header or JWT, general exception raised"),
        (f"{signed}.{'A' * 342}", "JWT token has invalid signature"),
        (bed.token("scopeless-client"), "Scope 'firecrest' wasn't found in JWT"),
    ]
    for token, words in cases:
        with Client.of(bed, client.kind, token=token) as stranger:
            for method, args in (
                ("all_services", ()),
                ("whoami", (bed.system,)),
                ("poll_active", (bed.system,)),
                ("all_reservations", (bed.system,)),
                ("_tasks", ()),
            ):
                refused = stranger.refusal(UnauthorizedException, method, *args)
                assert (refused.status_code, refused.json()) == (401, {"description": words}), method
                assert refused.headers["WWW-Authenticate"].startswith("Bearer error=")


def test_tasks(bed: Bed, client: Client, task_id: str) -> None:
    """What every method that polls reads: unknown ones and somebody else's are left out, which the client tells as a KeyError."""
    unknown = "0" * 32
    found = client.plain("_tasks", [task_id, unknown])
    assert set(found) == {task_id}
    assert (found[task_id]["status"], found[task_id]["user"], found[task_id]["service"]) == ("200", "alice", "compute")
    assert task_id in client.plain("_tasks")
    with Client.of(bed, client.kind, client="bob-client") as bob:
        assert bob.plain("_tasks", [task_id]) == {}
        assert task_id not in bob.plain("_tasks")
        for method_id in (task_id, unknown):
            with pytest.raises(KeyError, match=method_id):
                bob.plain("_task_safe", method_id, [])


def test_command_line(bed: Bed, ready: dict[str, str], file_systems: list[dict[str, Any]], task_id: str) -> None:
    """Every command for status: as JSON it prints what was answered, as a table each record."""
    services, compute, systems, system, filesystems, mounted, parameters, listed, tasks, task_table = CommandLine(
        bed
    ).each(
        ("services",),
        ("services", "--name", "compute", "--json"),
        ("systems",),
        ("systems", "--name", bed.system, "--json"),
        ("filesystems", "--json"),
        ("filesystems",),
        ("parameters", "--json"),
        ("parameters",),
        ("tasks", "--json", task_id),
        ("tasks", task_id),
    )
    assert cells(services) == [[row["service"], row["status"], row["description"]] for row in SERVICES]
    assert json.loads(compute) == [row for row in SERVICES if row["service"] == "compute"]
    assert cells(systems) == [[ready["system"], ready["status"], ready["description"]]]
    assert json.loads(system) == [ready]
    assert json.loads(filesystems) == {bed.system: file_systems}
    assert [row[:2] for row in cells(mounted)] == [[each["name"], each["path"]] for each in file_systems]
    assert set(json.loads(parameters)) == {*PARAMETERS, "storage"}
    assert {row[0] for row in cells(listed)} == {
        "FILESYSTEMS",
        *(name for rows in PARAMETERS.values() for name in rows),
    }
    task = bed.task(task_id)
    assert json.loads(tasks) == {task_id: task}
    columns = ["hash_id", "status", "description", "created_at", "updated_at", "user", "service"]
    assert [row[:7] for row in cells(task_table)] == [[task[column] for column in columns]]


def test_command_line_without_a_system_and_refused(bed: Bed, file_systems: list[dict[str, Any]], task_id: str) -> None:
    """All systems where none is named; status 1 for what is not there; nothing of somebody else's."""
    assert json.loads(CommandLine(bed, system=None)("filesystems", "--json")) == {bed.system: file_systems}
    assert json.loads(CommandLine(bed, client="bob-client")("tasks", "--json", task_id)) == {}
    refused = CommandLine(bed).each(
        ("services", "--name", "nothing"),
        ("systems", "--name", NOBODYS_SYSTEM),
        ("filesystems", "--system", NOBODYS_SYSTEM),
        status=1,
    )
    refused.append(CommandLine(bed, client="scopeless-client")("parameters", status=1))
    assert all("a Firecrest client error has occurred" in text for text in refused)
