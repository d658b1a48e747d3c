"""Every route of ``/status`` on the bed, as contract section 9 has it. What a system shows that is away is in tests/component/api."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.version import Version

from bed import Bed
from integration.door import Door, told

pytestmark = pytest.mark.integration

SERVICES = ("certificator", "compute", "reservations", "tasks", "utilities")
ROUTES = (
    "services",
    "services/utilities",
    "services/nosuch",
    "systems",
    "systems/cluster",
    "systems/nowhere",
    "filesystems",
    "filesystems/cluster",
    "filesystems/nowhere",
    "parameters",
)


@pytest.fixture(scope="module")
def door(bed: Bed) -> Door:
    return Door(bed)


@pytest.fixture(scope="module")
def file_systems(bed: Bed) -> list[dict[str, Any]]:
    """As the System says."""
    system = bed.get("gsys", bed.system)
    assert system is not None
    found: list[dict[str, Any]] = system["spec"]["fileSystems"]
    return found


def ask(door: Door, route: str, **more: Any) -> Any:
    """No route of these needs a machine."""
    return told(door.ask("GET", f"/status/{route}", machine=None, **more))


@pytest.mark.parametrize("route", ROUTES)
def test_token(door: Door, route: str) -> None:
    """401 for each, also for what is not there: who asks is looked at first."""
    door.unauthenticated("GET", f"/status/{route}", machine=None)


def service(name: str) -> dict[str, Any]:
    up = {"status": "available", "status_code": 200, "description": "server up & flask running"}
    return {"service": name, **up}


def test_services(door: Door) -> None:
    """All, with what each of them says about itself."""
    rows = [service(name) for name in SERVICES]
    body = {"description": "List of services with status and description.", "out": rows}
    assert ask(door, "services") == (200, body, {})


@pytest.mark.parametrize("name", SERVICES)
def test_service(door: Door, name: str) -> None:
    """Flat, unlike the list."""
    assert ask(door, f"services/{name}") == (200, service(name), {})


@pytest.mark.parametrize("name", ["nosuch", "status", "Utilities", "a%20b", "%00"])
def test_unknown_service(door: Door, name: str) -> None:
    """404 in the contract's words. The status service is none of those it tells about."""
    assert ask(door, f"services/{name}") == (404, {"description": "Service does not exists", "status_code": 404}, {})


def test_systems(bed: Bed, door: Door) -> None:
    """The list and the one; `ready` as soon as the operator has seen it so."""
    row = {"system": bed.system, "status": "available", "description": "System ready"}
    # Tests before this one may have cut the link; the operator looks again within a minute.
    bed.until(lambda: ask(door, f"systems/{bed.system}")[1]["out"], lambda out: bool(out == row), seconds=90)
    assert ask(door, f"systems/{bed.system}") == (200, {"description": "System information", "out": row}, {})
    whole = {"description": "List of systems with status and description.", "out": [row]}
    assert ask(door, "systems") == (200, whole, {})


@pytest.mark.parametrize("name", ["nowhere", "CLUSTER", "a%20b"])
def test_unknown_system(door: Door, name: str) -> None:
    """404 in the contract's words."""
    assert ask(door, f"systems/{name}") == (404, {"description": "System does not exists."}, {})


def rows(file_systems: list[dict[str, Any]], *, path: str = "") -> list[dict[str, Any]]:
    up = {"status": "available", "status_code": 200}
    return [
        {"name": one["name"], "path": one["path"], "description": one.get("description", ""), **up}
        for one in file_systems
        if path in one["path"]
    ]


@pytest.mark.parametrize("headers", [{}, {"Cache-Control": "no-cache"}], ids=["", "no-cache"])
def test_filesystems(bed: Bed, door: Door, file_systems: list[dict[str, Any]], headers: dict[str, str]) -> None:
    """By system, and of one; looked at anew where that is asked for."""
    assert file_systems
    whole = {"description": "Filesystem information", "out": {bed.system: rows(file_systems)}}
    assert ask(door, "filesystems", headers=headers) == (200, whole, {})
    one = {"description": f"Filesystem information for system {bed.system}", "out": rows(file_systems)}
    assert ask(door, f"filesystems/{bed.system}", headers=headers) == (200, one, {})


def test_file_systems_of_an_unknown_system(door: Door) -> None:
    """404; here the text is in `out`."""
    body = {"description": "Filesystem information for system nowhere", "out": "System 'nowhere' doesn't exist"}
    assert ask(door, "filesystems/nowhere") == (404, body, {})


def test_file_systems_as_somebody_without_an_account(bed: Bed, door: Door, file_systems: list[dict[str, Any]]) -> None:
    """What one caller is shown is not what another one was (item 26): without an account on the system, nothing answers."""
    status, body, _ = ask(door, f"filesystems/{bed.system}", client="nobody-client")
    assert status == 200
    assert body["out"] == [row | {"status": "not available", "status_code": 400} for row in rows(file_systems)]
    assert ask(door, f"filesystems/{bed.system}")[1]["out"] == rows(file_systems)


def test_parameters(bed: Bed, door: Door, file_systems: list[dict[str, Any]]) -> None:
    """Those that pyfirecrest reads, in their types; the version is one by PEP 440 (D17)."""
    status, body, headers = ask(door, "parameters")
    assert (status, body["description"], headers) == (200, "Firecrest's parameters", {})
    out = body["out"]
    assert set(out) == {"general", "compute", "utilities", "storage"}
    assert all(set(item) == {"name", "value", "unit", "description"} for items in out.values() for item in items)
    values = {kind: {item["name"]: (item["value"], item["unit"]) for item in items} for kind, items in out.items()}
    assert Version(values["general"]["FIRECREST_VERSION"][0]) >= Version("1.16.0")
    assert set(values["general"]) == {"FIRECREST_VERSION", "FIRECREST_BUILD"}
    assert values["compute"] == {"WORKLOAD_MANAGER": ("Slurm", "")}
    assert values["utilities"] == {"UTILITIES_MAX_FILE_SIZE": ("5", "MB"), "UTILITIES_TIMEOUT": ("5", "seconds")}
    mounted = [one["path"] for one in file_systems]
    assert values["storage"]["FILESYSTEMS"][0] == [{"system": bed.system, "mounted": mounted}]


def test_routes_that_are_none(door: Door) -> None:
    """The status service has no acknowledgement of its own; nothing of it can be changed."""
    answer = door.ask("GET", "/status/status", {}, machine=None)
    assert answer.status == 404
    assert "<h1>404 Not Found</h1>" in answer.body.decode()
    for route in ROUTES:
        for method in ("POST", "PUT", "DELETE"):
            answer = door.ask(method, f"/status/{route}", {}, machine=None)
            assert answer.status == 405
            assert "<h1>405 Method Not Allowed</h1>" in answer.body.decode()


@pytest.mark.parametrize("name", ["utilities", "compute", "reservations"])
def test_acknowledgements(door: Door, name: str) -> None:
    """What the original's status service asks of the others."""
    assert told(door.ask("GET", f"/{name}/status", machine=None)) == (200, {"success": "ack"}, {})
    door.unauthenticated("GET", f"/{name}/status", machine=None)
