"""File systems and systems that are ill, on a real node: what the client is told, and that nobody else notices."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from component.api.real_node import Site, running_site
from component.api.sick_file_system import SickFileSystem
from component.api.test_utilities_transfer import upload

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root, and another user's files are needed"),
]


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [
        (errno.EDQUOT, "QuotaExceeded", "false"),
        (errno.ENOSPC, "NoSpaceLeft", "false"),
        (errno.EROFS, "ReadOnlyFileSystem", "false"),
        (errno.EIO, "InputOutputError", "false"),
        (errno.ESTALE, "StaleFileHandle", "true"),
    ],
    ids=["quota", "space", "read-only", "input/output", "stale"],
)
async def test_reasons_of_file_systems(site: Site, number: int, code: str, retryable: str) -> None:
    """Each has a code of its own, by every way of writing; only what passes by itself may be tried again."""
    folder = site.make_folder("sick")
    site.make("file", b"x")
    with SickFileSystem(folder, fails_with=number, sees=number != errno.ESTALE) as sick:
        for method, route, form in (
            ("POST", "mkdir", {"targetPath": site.path("sick/new")}),
            ("POST", "copy", {"sourcePath": site.path("file"), "targetPath": site.path("sick/new")}),
            ("POST", "symlink", {"targetPath": site.path("file"), "linkPath": site.path("sick/new")}),
        ):
            reply = await site.send(method, route, **form)
            assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, code), (route, reply)
            assert reply.headers["X-Goldcrest-Retryable"] == retryable
            assert reply.json()["error"]
        assert sick.asked >= 3
    assert (await site.get("stat", targetPath=site.path("file"))).status == 200


async def test_upload_over_quota(site: Site) -> None:
    """The contract's answer, with the reason for programs."""
    folder = site.make_folder("sick")
    with SickFileSystem(folder, fails_with=errno.EDQUOT, sees=True):
        reply = await upload(site, b"content", folder=site.path("sick"))
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "QuotaExceeded"), reply


async def test_file_system_that_never_answers(tmp_path: Path) -> None:
    """The client is answered in bounded time, and may try again; meanwhile, and while it still hangs, this user is served elsewhere."""
    change = {"limits": {"command_seconds": 2}}
    async with running_site(tmp_path, limits={"utilitiesSeconds": 1}, change=change) as site:
        folder = site.make_folder("sick")
        site.make("file", b"x")
        with SickFileSystem(folder, fails_with=None) as sick:
            stuck = asyncio.create_task(site.get("stat", targetPath=site.path("sick/x")))
            await site.gateway.eventually(lambda: _asked(sick), seconds=20)
            reply = await asyncio.wait_for(stuck, 20)
            assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "SystemUnreachable"), reply
            assert reply.headers["X-Machine-Not-Available"] == "Machine is not available"
            assert reply.headers["X-Goldcrest-Retryable"] == "true"

            async def served() -> bool:
                return (await site.get("stat", targetPath=site.path("file"))).status == 200

            await site.gateway.eventually(served, seconds=20)
            assert sick.asked == 1


async def _asked(sick: SickFileSystem) -> bool:
    return sick.asked > 0


async def test_directory_of_very_many_entries(tmp_path: Path) -> None:
    """A clear limit, for a page of ten as well, as all of it would have to be sorted; the gateway serves on."""
    change = {"limits": {"listing_entries": 10_000}}
    async with running_site(tmp_path, limits={"utilitiesSeconds": 60}, change=change) as site:
        folder = site.make_folder("many")
        await asyncio.to_thread(_fill, folder, 10_001)
        for query in ({}, {"pageSize": "10", "pageNumber": "1"}):
            reply = await site.get("ls", targetPath=site.path("many"), **query)
            assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "TooLarge"), (query, reply.status)
            assert reply.json()["error"] == "Command output exceeded buffer limit (10000 entries)"
        assert (await site.get("stat", targetPath=site.path("many"))).status == 200


def _fill(folder: Path, count: int) -> None:
    for number in range(count):
        os.mknod(folder / f"f{number}")
