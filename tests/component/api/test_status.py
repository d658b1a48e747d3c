"""``/status``: systems and parameters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from component.api.gateway import SYSTEM, Gateway, running_gateway
from goldcrest.errors import CommandRefused, LoginDenied, SystemUnreachable

pytestmark = pytest.mark.component


def system(status: str | None, reason: str = "Checked", *, checked: int | None = 0) -> dict[str, Any]:
    """A System whose health was written so many seconds ago; None: nobody knows when."""
    if status is None:
        return SYSTEM
    condition = {
        "type": "Ready",
        "status": status,
        "observedGeneration": 1,
        "lastTransitionTime": "2030-01-02T03:04:05Z",
        "reason": reason,
        "message": "",
    }
    written: dict[str, Any] = {"conditions": [condition]}
    if checked is not None:
        written["lastChecked"] = (datetime.now(UTC) - timedelta(seconds=checked)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**SYSTEM, "status": written}


@pytest.mark.parametrize(
    ("given", "status", "description"),
    [
        (partial(system, "True"), "available", "System ready"),
        (partial(system, "False", "SystemUnreachable"), "not available", "System down"),
        (partial(system, "False", "HostKeyChanged"), "not available", "System does not accept connections"),
        (partial(system, "False", "SystemUnreachable", checked=600), "not available", "System down"),
        (partial(system, "False", "SystemUnreachable", checked=1000), "available", "System ready"),
        (partial(system, "False", "SystemUnreachable", checked=None), "available", "System ready"),
        (partial(system, "Unknown"), "available", "System ready"),
        (partial(system, None), "available", "System ready"),
    ],
)
async def test_health_of_systems(
    tmp_path: Path, given: Callable[[], dict[str, Any]], status: str, description: str
) -> None:
    """From the resource's condition; where there is none, or none of the last 15 minutes, by the caller's own access."""
    async with running_gateway(tmp_path, systems=(given(),)) as gateway:
        gateway.node.directories.add("/scratch")
        row = {"system": "cluster", "status": status, "description": description}
        reply = await gateway.request("GET", "/status/systems", machine=None)
        assert reply.json() == {"description": "List of systems with status and description.", "out": [row]}
        reply = await gateway.request("GET", "/status/systems/cluster", machine=None)
        assert reply.json() == {"description": "System information", "out": row}


async def test_system_that_nobody_has_looked_at_and_that_fails(gateway: Gateway) -> None:
    """Down, or refusing, as the caller's own attempt shows."""
    gateway.node.refusal = SystemUnreachable("gone")
    reply = await gateway.request("GET", "/status/systems/cluster")
    assert reply.json()["out"]["description"] == "System down"
    for refusal in (CommandRefused("no", reason="uid"), LoginDenied("no such account")):
        gateway.node.refusal = refusal
        reply = await gateway.request("GET", "/status/systems/cluster")
        assert reply.json()["out"]["description"] == "System does not accept connections"


async def test_old_health_of_a_system_that_fails_now(tmp_path: Path) -> None:
    """ "Ready" of an operator that is away for long does not hide that the system does not answer."""
    async with running_gateway(tmp_path, systems=(system("True", checked=1000),)) as gateway:
        for refusal in (SystemUnreachable("gone"), CommandRefused("16 run already", reason="busy")):
            gateway.node.refusal = refusal
            reply = await gateway.request("GET", "/status/systems/cluster")
            assert reply.json()["out"]["description"] == "System down"


async def test_unknown_system(gateway: Gateway) -> None:
    """404 with the contract's text."""
    reply = await gateway.request("GET", "/status/systems/nowhere")
    assert (reply.status, reply.json()) == (404, {"description": "System does not exists."})


async def test_parameters(gateway: Gateway) -> None:
    """A version that clients can parse, and the limits."""
    reply = await gateway.request("GET", "/status/parameters", machine=None)
    out = reply.json()["out"]
    assert reply.json()["description"] == "Firecrest's parameters"
    values = {item["name"]: item["value"] for service in out.values() for item in service}
    assert Version(values["FIRECREST_VERSION"]) >= Version("1.16.0")
    assert values["UTILITIES_MAX_FILE_SIZE"] == "5"
    assert values["WORKLOAD_MANAGER"] == "Slurm"
    assert values["FILESYSTEMS"] == [{"system": "cluster", "mounted": ["/scratch"]}]
    assert all(set(item) == {"name", "value", "unit", "description"} for service in out.values() for item in service)


@pytest.mark.parametrize("path", ["/compute/status", "/utilities/status"])
async def test_acknowledgements(gateway: Gateway, path: str) -> None:
    """Each service says that it is there."""
    reply = await gateway.request("GET", path, machine=None)
    assert (reply.status, reply.text) == (200, '{"success":"ack"}\n')


async def test_systems_come_and_go(gateway: Gateway) -> None:
    """A new System is known within moments, a removed one is gone."""
    other = {**SYSTEM, "metadata": {"name": "other"}}
    await gateway.kubernetes.put("systems", other)

    async def names() -> list[str]:
        out = (await gateway.request("GET", "/status/systems")).json()["out"]
        return [row["system"] for row in out]

    async def both() -> bool:
        return await names() == ["cluster", "other"]

    async def one() -> bool:
        return await names() == ["cluster"]

    await gateway.eventually(both)
    await gateway.kubernetes.remove("systems", "other")
    await gateway.eventually(one)


OWN = [{"operation": "fs.checksum", "seconds": 60}, {"operation": "fs.write", "maxFileSizeMiB": 8}]


async def test_limits_of_several_systems(tmp_path: Path) -> None:
    """What holds on every system stands under the contract's names; a row more for each that allows more, and for its operations with their own."""
    large = {
        **SYSTEM,
        "metadata": {"name": "large"},
        "spec": {**SYSTEM["spec"], "limits": {"maxFileSizeMiB": 64, "utilitiesSeconds": 5, "operations": OWN}},
    }
    async with running_gateway(tmp_path, systems=(SYSTEM, large)) as gateway:
        reply = await gateway.request("GET", "/status/parameters")
        rows = {row["name"]: (row["value"], row["unit"]) for row in reply.json()["out"]["utilities"]}
        assert rows == {
            "UTILITIES_MAX_FILE_SIZE": ("5", "MB"),
            "UTILITIES_MAX_FILE_SIZE.large": ("64", "MB"),
            "UTILITIES_MAX_FILE_SIZE.large.fs.write": ("8", "MB"),
            "UTILITIES_TIMEOUT": ("5", "seconds"),
            "UTILITIES_TIMEOUT.large.fs.checksum": ("60", "seconds"),
        }
