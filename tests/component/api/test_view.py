"""``/utilities/view``: reading a job's output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import SYSTEM, Gateway, running_gateway
from component.api.neighbours import os_error
from goldcrest.errors import CommandFailed, CommandRefused, Denied, SystemUnreachable

pytestmark = pytest.mark.component

PATH = "/scratch/alice/slurm-1.out"


async def view(gateway: Gateway, path: str | None = PATH, **query: str) -> Any:
    params = {**({"targetPath": path} if path is not None else {}), **query}
    return await gateway.request("GET", "/utilities/view", params=params)


async def test_whole_file(gateway: Gateway) -> None:
    """Everything, not only ten lines."""
    content = "".join(f"line {number} ü\n" for number in range(100))
    gateway.node.files[PATH] = content.encode()
    reply = await view(gateway)
    assert reply.status == 200
    assert reply.json() == {"description": "Success to head file.", "output": content}


async def test_bytes_and_lines_together(gateway: Gateway) -> None:
    """Refused with the contract's text."""
    reply = await view(gateway, bytes="1", lines="1")
    assert (reply.status, reply.json()["error"]) == (400, "Can not specify both 'bytes' and 'lines'")


@pytest.mark.parametrize(("path", "outcome"), [(None, "not specified"), ("", "is empty"), ("/a`b", "has invalid char")])
async def test_path_that_is_no_path(gateway: Gateway, path: str | None, outcome: str) -> None:
    """The three outcomes of the check of fields."""
    reply = await view(gateway, path)
    assert reply.status == 400
    assert reply.json() == {"description": "Error on fsize operation", "error": f"'targetPath' {outcome}"}


async def test_large_file(tmp_path: Path) -> None:
    """Above the limit: refused with the header, whether it was large from the start or has grown."""
    system = {**SYSTEM, "spec": {**SYSTEM["spec"], "limits": {"maxFileSizeMiB": 1}}}
    async with running_gateway(tmp_path, systems=(system,)) as gateway:
        gateway.node.files[PATH] = b"x" * 2**20
        assert (await view(gateway)).status == 200
        gateway.node.files[PATH] = b"x" * (2**20 + 1)
        reply = await view(gateway)
        assert (reply.status, reply.json()) == (400, {"description": "Failed to view file content"})
        assert reply.headers["X-Size-Limit"] == "File exceeds size limit"
        assert reply.headers["X-Goldcrest-Code"] == "TooLarge"
        gateway.node.grown[PATH] = 1
        gateway.node.files[PATH] = b"x" * 2**20
        assert (await view(gateway)).headers["X-Size-Limit"] == "File exceeds size limit"


async def test_binary_file(gateway: Gateway) -> None:
    """Said, not garbled."""
    gateway.node.files[PATH] = b"\xff\xfe"
    reply = await view(gateway)
    assert reply.status == 400
    assert "codec" in reply.headers["X-Error"]


@pytest.mark.parametrize(
    ("operation", "failure", "header", "value", "error"),
    [
        ("fs.stat", os_error("ENOENT", PATH), "X-Not-Found", "sourcePath not found", f"stat: cannot stat '{PATH}': No such file or directory"),
        ("fs.stat", os_error("EACCES", PATH), "X-Permission-Denied", "User does not have permissions to access path", f"stat: cannot stat '{PATH}': Permission denied"),
        ("fs.read", os_error("EACCES", PATH), "X-Permission-Denied", "User does not have permissions to access path", f"head: cannot open '{PATH}' for reading: Permission denied"),
        ("fs.stat", os_error("ENOTDIR", PATH), "X-Not-A-Directory", "targetPath is not a directory", f"stat: cannot stat '{PATH}': Not a directory"),
        ("fs.read", os_error("EISDIR", PATH), "X-A-Directory", "path is a directory, can't checksum directories", f"head: error reading '{PATH}': Is a directory"),
        ("fs.stat", CommandFailed("slow", kind="timeout"), "X-Timeout", "Command has finished with timeout signal", "Command has finished with timeout signal"),
        ("fs.stat", CommandRefused("no", reason="operation"), "X-Error", "Command execution is not allowed in machine", "Command execution is not allowed in machine"),
        ("fs.stat", SystemUnreachable("gone"), "X-Machine-Not-Available", "Machine is not available", "Machine is not available"),
        ("fs.stat", Denied("no"), "X-Permission-Denied", "User does not have permissions to access path", "Permission denied for user alice in cluster"),
        ("fs.stat", CommandFailed("strange\nthing", kind="internal"), "X-Error", "strange thing", "strangething"),
    ],
)  # fmt: skip
async def test_file_that_cannot_be_read(
    gateway: Gateway, operation: str, failure: Any, header: str, value: str, error: str
) -> None:
    """400 with the header of the table, and what stat or head would have said."""
    gateway.node.files[PATH] = b"x"
    gateway.node.failures[operation] = failure
    reply = await view(gateway)
    step = "fsize" if operation == "fs.stat" else "head"
    assert reply.status == 400
    assert reply.json() == {"description": f"Error on {step} operation", "error": error}
    assert reply.headers[header] == value
