"""Up- and downloads through the gateway to a real login node."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from component.api.gateway import Reply
from component.api.real_node import USER, Site, running_site
from component.ssh.login_node import SYSTEM
from goldcrest.canonical import sha256_hex

pytestmark = [pytest.mark.component, pytest.mark.skipif(os.getuid() != 0, reason="another user's files are needed")]


async def upload(site: Site, content: Any, *, name: str = "file.bin", folder: str | None = None, **more: Any) -> Reply:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("targetPath", site.path() if folder is None else folder)
    form.add_field("file", content, filename=name)
    return await site.gateway.request("POST", "/utilities/upload", user=USER, machine=SYSTEM, data=form, **more)


async def download(site: Site, path: str) -> tuple[int, Any, bytes]:
    url = f"{site.gateway.url}/utilities/download"
    async with site.gateway.session.get(url, params={"sourcePath": path}, headers=site.headers()) as response:
        return response.status, response.headers.copy(), await response.read()


def left_behind(site: Site) -> list[str]:
    return sorted(path.name for path in site.folder.iterdir())


@pytest.mark.parametrize("size", [0, 1, 262_144, 5 * 2**20])
async def test_upload_and_download(site: Site, size: int) -> None:
    """The same bytes, nothing to five MiB: the whole of the limit counts for the file (D5)."""
    content = os.urandom(size)
    reply = await upload(site, content)
    assert (reply.status, reply.json()) == (201, {"description": "File upload successful", "output": ""})
    assert (site.folder / "file.bin").read_bytes() == content
    assert (site.folder / "file.bin").owner() == USER
    assert left_behind(site) == ["file.bin"]
    status, headers, body = await download(site, site.path("file.bin"))
    assert (status, body == content) == (200, True)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment; filename=file.bin"
    assert headers["Content-Length"] == str(size)


async def test_upload_over_a_file(site: Site) -> None:
    """Replaced as a whole; its permissions stay, so that nothing is opened to others. The answer has the digest of what is there."""
    site.make("file.bin", b"old", mode=0o600)
    reply = await upload(site, b"new")
    assert (reply.status, reply.headers["X-Goldcrest-SHA256"]) == (201, sha256_hex(b"new"))
    assert (site.folder / "file.bin").read_bytes() == b"new"
    assert stat.S_IMODE((site.folder / "file.bin").stat().st_mode) == 0o600


async def test_new_file_has_the_nodes_umask(site: Site) -> None:
    """As if it had been made at the prompt."""
    await upload(site, b"x")
    assert stat.S_IMODE((site.folder / "file.bin").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["with space", "-rf", "ünïcödé", "n" * 255, ".hidden", "*", "$HOME"])
async def test_names_that_files_may_have(site: Site, name: str) -> None:
    """Written, listed and read under the same name."""
    assert (await upload(site, b"x", name=name)).status == 201
    assert left_behind(site) == [name]
    assert (await download(site, site.path(name)))[2] == b"x"


@pytest.mark.parametrize(
    "name", ["../up", "/etc/goldcrest-test", "a/b", "..", ".", "semi;colon", "back`tick", "n" * 256]
)
async def test_names_that_are_no_component(site: Site, name: str) -> None:
    """Refused with the contract's text (D15); nothing is written anywhere."""
    reply = await upload(site, b"x", name=name)
    assert reply.status == 400
    assert reply.json()["description"] == "Failed to upload file"
    assert reply.json()["error"] == "Filename has invalid char"
    assert left_behind(site) == []
    assert not (site.root / "up").exists()


async def test_upload_without_a_file(site: Site) -> None:
    """Said; a field called `file` is none."""
    for data in ({"targetPath": site.path()}, {"targetPath": site.path(), "file": "text"}):
        form = aiohttp.FormData(data, default_to_multipart=True)
        reply = await site.gateway.request("POST", "/utilities/upload", user=USER, machine=SYSTEM, data=form)
        assert (reply.status, reply.json()) == (400, {"description": "Failed to upload file", "error": "No file in query"})  # fmt: skip


async def test_upload_without_a_folder(site: Site) -> None:
    """The path is looked at first."""
    form = aiohttp.FormData()
    form.add_field("file", b"x", filename="f")
    reply = await site.gateway.request("POST", "/utilities/upload", user=USER, machine=SYSTEM, data=form)
    assert reply.json() == {"description": "Error on upload operation", "error": "'targetPath' not specified"}
    reply = await site.send("POST", "upload", targetPath="")  # not multipart: neither fields nor a file
    assert reply.json() == {"description": "Error on upload operation", "error": "'targetPath' not specified"}


def behind(site: Site, content: bytes) -> aiohttp.FormData:
    """A form with its fields behind the file."""
    form = aiohttp.FormData()
    form.add_field("file", content, filename="f")
    form.add_field("targetPath", site.path())
    return form


@pytest.mark.parametrize("size", [1, 3_000_000])
async def test_fields_behind_the_file(tmp_path: Path, size: int) -> None:
    """Their order is the client's: such files wait until it is known where they belong; of all that wait there is a bound."""
    change = {"spool_folder": tmp_path, "limits": {"spool_bytes": 3_000_000}}
    async with running_site(tmp_path, change=change, limits={"maxFileSizeMiB": 10}) as site:

        async def send(content: bytes) -> Reply:
            return await site.gateway.request(
                "POST", "/utilities/upload", user=USER, machine=SYSTEM, data=behind(site, content)
            )

        content = os.urandom(size)
        assert (await send(content)).status == 201
        assert (site.folder / "f").read_bytes() == content
        reply = await send(content + b"x" * 3_000_000)
        assert (reply.status, reply.json()["error"]) == (503, "The gateway has no room for the file now")
        assert (reply.headers["X-Goldcrest-Code"], reply.headers["X-Goldcrest-Retryable"]) == ("GatewayFull", "true")
        assert (await send(b"again")).status == 201  # what waited was given back
        assert (await upload(site, content + b"x" * 1_000_000, name="g")).status == 201  # does not wait
        assert (site.folder / "f").read_bytes() == b"again"


async def test_an_older_login_node(tmp_path: Path) -> None:
    """That would not keep a file's mode: nothing is written, and it is said what is to be done."""
    async with running_site(tmp_path, old_filter=True) as site:
        site.make("file.bin", b"old")
        for size in (10, 2_000_000):
            reply = await upload(site, os.urandom(size))
            assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "CommandRefused"), reply
            assert (site.folder / "file.bin").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("folder", "header", "value", "code"),
    [
        ("missing", "X-Invalid-Path", "path is an invalid path", "NoSuchFile"),
        ("file", "X-Not-A-Directory", "targetPath is not a directory", "NotADirectory"),
        ("closed", "X-Permission-Denied", "User does not have permissions to access path", "PermissionDenied"),
        ("/proc", "X-Permission-Denied", "User does not have permissions to access machine or path", "PermissionDenied"),
    ],
)  # fmt: skip
async def test_folders_that_cannot_be_written(site: Site, folder: str, header: str, value: str, code: str) -> None:
    """400 with the header of the table and a code for programs."""
    site.make("file")
    (site.folder / "closed").mkdir(mode=0o755)
    reply = await upload(site, b"x", folder=folder if folder.startswith("/") else site.path(folder))
    assert (reply.status, reply.headers.get(header)) == (400, value), reply
    assert reply.json()["description"] == "Error on upload operation"
    assert (reply.headers["X-Goldcrest-Code"], reply.headers["X-Goldcrest-Retryable"]) == (code, "false")


async def test_upload_over_a_folder(site: Site) -> None:
    """A folder is not replaced."""
    site.make_folder("file.bin")
    reply = await upload(site, b"x")
    assert reply.headers["X-A-Directory"] == "path is a directory, can't checksum directories"
    assert (site.folder / "file.bin").is_dir()


async def test_too_large(tmp_path: Path) -> None:
    """Refused with 413 above the System's limit, in the contract's words; at the limit it is taken."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 1}) as site:
        assert (await upload(site, b"x" * 2**20, name="fits")).status == 201
        reply = await upload(site, b"x" * (2**20 + 1))
        assert (reply.status, reply.json()) == (413, {"description": "Failed to upload file. The file is over 1048576 bytes"})  # fmt: skip
        assert reply.headers["X-Goldcrest-Code"] == "TooLarge"
        assert left_behind(site) == ["fits"]
        site.make("large", b"x" * (2**20 + 1))
        status, headers, body = await download(site, site.path("large"))
        assert (status, json.loads(body)) == (400, {"description": "Failed to download file"})
        assert headers["X-Size-Limit"] == "File exceeds size limit"


async def test_folder_that_is_missing_is_told_once_all_has_come(tmp_path: Path) -> None:
    """Most clients read no answer before they have sent everything; the connection is good for the next request."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 40}) as site:
        for content in (b"x" * 30_000_000, b"x" * 43_000_000):
            reply = await upload(site, content, folder=site.path("missing"))
            assert (reply.status, reply.headers.get("X-Invalid-Path")) == (
                (400, "path is an invalid path") if len(content) < 40_000_000 else (413, None)
            )


async def test_request_that_is_cut(site: Site) -> None:
    """The client goes away in the middle: neither a file nor a part of one, and the gateway serves on."""
    host, _, port = site.gateway.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /utilities/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-{USER}\r\nX-Machine-Name: {SYSTEM}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 3000000\r\n\r\n"
        f'--b\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\n{site.path()}\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="half"\r\n\r\n'
    )
    writer.write(head.encode() + b"x" * 1_000_000)
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()
    await asyncio.sleep(0.3)
    assert left_behind(site) == []
    assert (await upload(site, b"whole", name="whole")).status == 201
    assert left_behind(site) == ["whole"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=b", b"this is no form"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n'),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\n\xff\xfe\r\n--b--\r\n'),
        ("multipart/form-data", b"--b--"),
        ("multipart/form-data; boundary=b; charset=punycode", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"".join(b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' for _ in range(100)) + b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\n' + b"x" * 20_000 + b"\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100)) + b"\r\n\r\n--b--\r\n"),
    ],
)  # fmt: skip
async def test_bodies_that_are_not_what_their_header_says(site: Site, content_type: str, body: bytes) -> None:
    """400 with a sentence, nothing written."""
    reply = await site.gateway.request(
        "POST", "/utilities/upload", user=USER, machine=SYSTEM, data=body, headers={"Content-Type": content_type}
    )
    assert reply.status == 400, reply
    assert reply.json()["description"] == "Failed to upload file"
    assert reply.headers["X-Goldcrest-Code"] == "InvalidInput"
    assert left_behind(site) == []


async def test_client_that_stops_sending(tmp_path: Path) -> None:
    """Not waited for beyond the limit."""
    async with running_site(tmp_path, change={"limits": {"body_seconds": 0.3}}) as site:

        async def slow() -> Any:
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
            await asyncio.sleep(5)

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        reply = await site.gateway.request(
            "POST", "/utilities/upload", user=USER, machine=SYSTEM, data=slow(), headers=headers
        )
        assert reply.status == 400
        assert "did not arrive in time" in reply.json()["error"]


@pytest.mark.parametrize(
    ("name", "header", "value", "description"),
    [
        ("missing", "X-Not-Found", "sourcePath not found", "Error on fsize operation"),
        ("closed", "X-Permission-Denied", "User does not have permissions to access path", "Error on base64 operation"),
        ("folder", "X-A-Directory", "path is a directory, can't checksum directories", "Error on base64 operation"),
        ("closed/file", "X-Not-A-Directory", "targetPath is not a directory", "Error on fsize operation"),
    ],
)
async def test_files_that_cannot_be_downloaded(site: Site, name: str, header: str, value: str, description: str) -> None:  # fmt: skip
    """What keeps the file from being read is known before the first byte: a proper answer."""
    (site.folder / "closed").write_bytes(b"of root")
    (site.folder / "closed").chmod(0o600)
    site.make_folder("folder")
    status, headers, body = await download(site, site.path(name))
    assert (status, headers.get(header)) == (400, value), body
    assert json.loads(body)["description"] == description


async def test_download_without_a_path(site: Site) -> None:
    """targetPath instead of sourcePath is a path that is not specified."""
    reply = await site.get("download", targetPath=site.path("x"))
    assert (reply.status, reply.json()["error"]) == (400, "'sourcePath' not specified")


async def test_client_that_goes_away(tmp_path: Path) -> None:
    """The node is told to stop at once, and its channel is free again."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 200}) as site:
        with site.make("large").open("wb") as file:
            file.truncate(200 * 2**20)
        url = f"{site.gateway.url}/utilities/download"
        for _ in range(8):  # twice the channels that there are for downloads
            response = await site.gateway.session.get(
                url, params={"sourcePath": site.path("large")}, headers=site.headers()
            )
            assert len(await response.content.readexactly(100_000)) == 100_000
            response.close()

        async def free() -> bool:
            now = site.pool.snapshot()
            return not now.streams and not now.in_flight

        await site.gateway.eventually(free, seconds=10)
        assert (await download(site, site.path("large")))[0] == 200


async def test_file_that_becomes_shorter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The connection is closed before the announced length: nobody takes a part for the whole; the log says why."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 200}) as site:
        path = site.make("large")
        with path.open("wb") as file:
            file.truncate(150 * 2**20)
        url = f"{site.gateway.url}/utilities/download"
        async with site.gateway.session.get(
            url, params={"sourcePath": site.path("large")}, headers=site.headers()
        ) as response:
            await response.content.readexactly(1_000_000)
            os.truncate(path, 2_000_000)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
    assert "download.cut" in caplog.messages


async def test_another_file_takes_the_place(tmp_path: Path) -> None:
    """Two files are not mixed into one: the download ends early."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 200}) as site:
        path, other = site.make("large"), site.make("other")
        for each in (path, other):
            with each.open("wb") as file:
                file.truncate(150 * 2**20)
        url = f"{site.gateway.url}/utilities/download"
        async with site.gateway.session.get(
            url, params={"sourcePath": site.path("large")}, headers=site.headers()
        ) as response:
            await response.content.readexactly(1_000_000)
            other.rename(path)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_node_that_is_cut_in_the_middle(tmp_path: Path) -> None:
    """Likewise."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 200}) as site:
        with site.make("large").open("wb") as file:
            file.truncate(150 * 2**20)
        url = f"{site.gateway.url}/utilities/download"
        async with site.gateway.session.get(
            url, params={"sourcePath": site.path("large")}, headers=site.headers()
        ) as response:
            await response.content.readexactly(1_000_000)
            site.node.cut()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


async def test_large_files_both_ways(tmp_path: Path) -> None:
    """80 MiB, more than one command reads at once: the same bytes; uploads go on as they come, and wait nowhere."""
    change = {"spool_folder": tmp_path / "missing", "limits": {"spool_bytes": 0}}
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 90}, change=change) as site:
        local = tmp_path / "local"
        local.write_bytes(os.urandom(80 * 2**20))
        with local.open("rb") as file:
            reply = await upload(site, file)
        assert reply.status == 201, reply
        gc.collect()
        digest = hashlib.sha256(local.read_bytes()).hexdigest()
        status, _, body = await download(site, site.path("file.bin"))
        assert (status, hashlib.sha256(body).hexdigest()) == (200, digest)


async def test_operations_with_limits_of_their_own(tmp_path: Path) -> None:
    """Sizes for reading, writing and the parts of files; a time for one operation, while the others keep that of all."""
    own = [
        {"operation": "fs.read", "maxFileSizeMiB": 2},
        {"operation": "fs.write", "maxFileSizeMiB": 3},
        {"operation": "fs.tail", "maxFileSizeMiB": 4},
        {"operation": "fs.checksum", "seconds": 1},
    ]
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 1, "utilitiesSeconds": 30, "operations": own}) as site:
        path = site.path("file")
        for size, statuses in ((1, (200, 200, 200, 200)), (2, (200, 200, 200, 400)), (3, (400, 400, 200, 400))):
            site.make("file", b"x" * (size * 2**20))
            asked = {
                "download": await site.get("download", sourcePath=path),
                "view": await site.get("view", targetPath=path),
                "tail": await site.get("tail", targetPath=path, bytes=str(size * 2**20)),
                "head": await site.get("head", targetPath=path, bytes=str(size * 2**20)),
            }
            assert tuple(reply.status for reply in asked.values()) == statuses, size
        for size, status in ((3, 201), (4, 413)):
            assert (await upload(site, b"x" * (size * 2**20 - 1), folder=site.path())).status == status
        with site.make("large").open("wb") as file:
            file.truncate(2**36)
        reply = await site.get("checksum", targetPath=site.path("large"))
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "TimedOut")
