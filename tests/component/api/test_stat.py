"""``/utilities/stat``: attributes of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import Gateway, running_gateway
from component.api.neighbours import ATTRIBUTES, os_error
from goldcrest.errors import CommandFailed, CommandRefused, Denied, SystemUnreachable, Unauthenticated

pytestmark = pytest.mark.component

PATH = "/scratch/alice/file"


async def stat(gateway: Gateway, **query: str) -> Any:
    return await gateway.request("GET", "/utilities/stat", params=query)


async def test_attributes(gateway: Gateway) -> None:
    """Ten integers, and the description of the contract."""
    gateway.node.files[PATH] = b"x" * 17
    reply = await stat(gateway, targetPath=PATH)
    assert reply.status == 200
    assert reply.json()["description"] == "Success to stat file."
    output = reply.json()["output"]
    assert sorted(output) == sorted(ATTRIBUTES)
    assert all(type(value) is int for value in output.values())
    assert output["size"] == 17


@pytest.mark.parametrize(
    ("value", "mode"),
    [(None, 0o120777), ("true", 0o100644), ("YES", 0o100644), ("1", 0o100644), ("0", 0o120777), ("on", 0o120777)],
)
async def test_link_or_what_it_points_to(gateway: Gateway, value: str | None, mode: int) -> None:
    """`dereference` is a switch in the contract's spelling; the link itself is the default."""
    gateway.node.files[PATH] = b""
    query = {"targetPath": PATH, **({} if value is None else {"dereference": value})}
    assert (await stat(gateway, **query)).json()["output"]["mode"] == mode


async def test_path_named_as_source(gateway: Gateway) -> None:
    """`sourcePath` counts where no `targetPath` is given."""
    gateway.node.files[PATH] = b"xy"
    assert (await stat(gateway, sourcePath=PATH)).json()["output"]["size"] == 2
    reply = await stat(gateway, sourcePath=PATH, targetPath="/scratch/other")
    assert reply.headers["X-Not-Found"] == "sourcePath not found"


@pytest.mark.parametrize(
    ("query", "outcome"),
    [({}, "not specified"), ({"targetPath": ""}, "is empty"), ({"targetPath": "/a`b"}, "has invalid char")],
)
async def test_path_that_is_no_path(gateway: Gateway, query: dict[str, str], outcome: str) -> None:
    """The three outcomes of the check of fields; no login node is asked."""
    reply = await stat(gateway, **query)
    assert reply.status == 400
    assert reply.json() == {"description": "Error on stat operation", "error": f"'targetPath' {outcome}"}
    assert gateway.node.asked == []


async def test_relative_path(gateway: Gateway) -> None:
    """Handed on as it is: the login node knows the home directory."""
    gateway.node.files["notes/today"] = b"xyz"
    assert (await stat(gateway, targetPath="notes/today")).json()["output"]["size"] == 3


@pytest.mark.parametrize("path", ["/scratch/../etc", "..", "a/" * 2048 + "b"])
async def test_path_that_cannot_be(gateway: Gateway, path: str) -> None:
    """Said, with the header of a path that cannot be, before a login node is asked."""
    reply = await stat(gateway, targetPath=path)
    assert (reply.status, reply.headers["X-Invalid-Path"]) == (400, "path is an invalid path")
    assert reply.json()["error"].startswith("targetPath ")
    assert reply.headers["X-Goldcrest-Code"] == "InvalidInput"
    assert gateway.node.asked == []


async def test_token_of_an_issuer_that_does_not_count_there(tmp_path: Path) -> None:
    """Refused here: the login node is not asked."""
    async with running_gateway(tmp_path) as gateway:
        gateway.tokens.systems = frozenset({"other"})
        gateway.node.files[PATH] = b""
        reply = await stat(gateway, targetPath=PATH)
        assert (reply.status, reply.json()["error"]) == (400, "Permission denied for user alice in cluster")
        assert gateway.node.asked == []


@pytest.mark.parametrize(
    ("failure", "header", "value", "error", "code"),
    [
        (os_error("ENOENT", PATH), "X-Not-Found", "sourcePath not found", f"stat: cannot stat '{PATH}': No such file or directory", ("NoSuchFile", "false")),
        (os_error("EACCES", PATH), "X-Permission-Denied", "User does not have permissions to access path", f"stat: cannot stat '{PATH}': Permission denied", ("PermissionDenied", "false")),
        (os_error("ENOTDIR", PATH), "X-Not-A-Directory", "targetPath is not a directory", f"stat: cannot stat '{PATH}': Not a directory", ("NotADirectory", "false")),
        (CommandFailed("slow", kind="timeout"), "X-Timeout", "Command has finished with timeout signal", "Command has finished with timeout signal", ("TimedOut", "false")),
        (CommandRefused("no", reason="operation"), "X-Error", "Command execution is not allowed in machine", "Command execution is not allowed in machine", ("CommandRefused", "false")),
        (SystemUnreachable("gone"), "X-Machine-Not-Available", "Machine is not available", "Machine is not available", ("SystemUnreachable", "true")),
        (Denied("no"), "X-Permission-Denied", "User does not have permissions to access path", "Permission denied for user alice in cluster", ("PolicyDenied", "false")),
    ],
)  # fmt: skip
async def test_file_that_cannot_be_looked_at(
    gateway: Gateway, failure: Any, header: str, value: str, error: str, code: tuple[str, str]
) -> None:
    """400 with the header of the table, and what stat would have said."""
    gateway.node.failures["fs.stat"] = failure
    reply = await stat(gateway, targetPath=PATH)
    assert reply.status == 400
    assert reply.json() == {"description": "Error on stat operation", "error": error}
    assert reply.headers[header] == value
    assert (reply.headers["X-Goldcrest-Code"], reply.headers["X-Goldcrest-Retryable"]) == code


async def test_token_that_delegation_does_not_take(gateway: Gateway) -> None:
    """Valid for the gateway and not for delegation, which looks itself: 401."""
    gateway.node.failures["fs.stat"] = Unauthenticated("no", code="TokenExpired")
    reply = await stat(gateway, targetPath=PATH)
    assert (reply.status, reply.json()) == (401, {"description": "JWT token has expired"})
