"""The other routes of ``/utilities`` on a real login node: answers, and what happened to the files."""

from __future__ import annotations

import asyncio
import grp
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from component.api.gateway import Reply
from component.api.real_node import USER, Site, running_site

pytestmark = [pytest.mark.component, pytest.mark.skipif(os.getuid() != 0, reason="another user's files are needed")]

GROUP = grp.getgrgid(65534).gr_name
NO_PATH = "User does not have permissions to access path"
NO_MACHINE_OR_PATH = "User does not have permissions to access machine or path"


def failed(reply: Reply, header: str, value: str, *, status: int = 400, code: str | None = None) -> dict[str, Any]:
    """A refusal with this header; its body."""
    assert (reply.status, reply.headers.get(header)) == (status, value), (reply.status, dict(reply.headers), reply.text)
    assert code is None or reply.headers["X-Goldcrest-Code"] == code, reply.headers["X-Goldcrest-Code"]
    body: dict[str, Any] = reply.json()
    return body


async def names(site: Site, **query: str) -> list[str]:
    reply = await site.get("ls", **query)
    assert reply.status == 200, reply
    assert reply.json()["description"] == "List of contents"
    return [each if isinstance(each, str) else each["name"] for each in reply.json()["output"]]


# ---- ls ----


async def test_ls_records(site: Site) -> None:
    """Eight texts for each entry; a link with its target."""
    site.make("plain", b"x" * 17, mode=0o640)
    os.utime(site.folder / "plain", (0, 1_000_000_000))
    site.make_folder("folder", mode=0o1777)
    (site.folder / "link").symlink_to("no where")
    site.own(site.folder / "link")
    output = (await site.get("ls", targetPath=site.path())).json()["output"]
    assert output[2] == {
        "name": "plain", "type": "-", "link_target": "", "user": USER, "group": GROUP, "permissions": "rw-r-----",
        "last_modified": "2001-09-09T01:46:40", "size": "17",
    }  # fmt: skip
    assert [(each["name"], each["type"], each["permissions"]) for each in output] == [
        ("folder", "d", "rwxrwxrwt"),
        ("link", "l", "rwxrwxrwx"),
        ("plain", "-", "rw-r-----"),
    ]
    assert output[1]["link_target"] == "no where"


async def test_ls_options(site: Site) -> None:
    """Hidden, numeric, recursive, names only, unsorted, pages."""
    site.make(".hidden")
    site.make("a")
    site.make_folder("b")
    site.make("b/c")
    path = site.path()
    assert await names(site, targetPath=path) == ["a", "b"]
    assert await names(site, targetPath=path, showhidden="True") == [".hidden", "a", "b"]
    assert await names(site, targetPath=path, recursive="true") == ["a", "b", "b/c"]
    assert await names(site, targetPath=path, notListing="1") == ['"a"', '"b"']
    assert sorted(await names(site, targetPath=path, unsorted="yes")) == ['"."', '".."', '".hidden"', '"a"', '"b"']
    assert await names(site, targetPath=path, pageSize="1", pageNumber="2") == ["b"]
    assert await names(site, targetPath=path, pageSize="1", pageNumber="3") == ["a", "b"]
    (first, _) = (await site.get("ls", targetPath=path, numericUid="true")).json()["output"]
    assert (first["user"], first["group"]) == ("65534", "65534")
    assert await names(site, targetPath=f"{path}/a") == [f"{path}/a"]


async def test_ls_follows_links(site: Site) -> None:
    """With followLinks what they lead to; one that leads nowhere makes ls fail, as it does."""
    site.make("file", b"x" * 5)
    (site.folder / "link").symlink_to("file")
    (_, link) = (await site.get("ls", targetPath=site.path(), followLinks="true")).json()["output"]
    assert (link["type"], link["size"]) == ("-", "5")
    (site.folder / "dead").symlink_to("nowhere")
    reply = await site.get("ls", targetPath=site.path(), followLinks="true")
    body = failed(reply, "X-Invalid-Path", "path is an invalid path", code="NoSuchFile")
    assert body["error"] == f"ls: cannot access '{site.path('dead')}': No such file or directory"


async def test_names_of_any_bytes(site: Site) -> None:
    """Listed in an escaped form, in which they can be given again: read, and removed."""
    odd = [
        b"new\nline",
        b"\xff\xfe",
        b"quo\"te's",
        b"back\\slash",
        b"a\\xffb",
        b"$(id);|&",
        "ü".encode(),
        b"-rf",
        b"n" * 255,
    ]
    for name in odd:
        path = os.fsencode(site.folder) + b"/" + name
        with open(path, "wb") as file:  # noqa: ASYNC230, PTH123
            file.write(name)
        os.chown(path, 65534, 65534)
    listed = await names(site, targetPath=site.path())
    assert len(listed) == len(odd)
    assert {"new\\nline", "\\377\\376", "back\\\\slash", "ü"} <= set(listed)
    escaped = {"X-Goldcrest-Names": "escaped"}
    for name in listed:
        reply = await site.get("checksum", targetPath=site.path(name), headers=escaped)
        assert reply.status == 200, (name, reply)
    digests = {hashlib.sha256(name).hexdigest() for name in odd}
    replies = [await site.get("checksum", targetPath=site.path(name), headers=escaped) for name in listed]
    assert {reply.json()["output"] for reply in replies} == digests
    for name in listed:
        assert (await site.send("DELETE", "rm", targetPath=site.path(name), headers=escaped)).status == 204
    assert list(site.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["a\\777", "a\\x41", "a\nb"])
async def test_escapes_that_are_none(site: Site, name: str) -> None:
    """Refused, not guessed."""
    reply = await site.get("stat", targetPath=site.path(name), headers={"X-Goldcrest-Names": "escaped"})
    assert reply.status == 400
    assert reply.headers["X-Goldcrest-Code"] == "InvalidInput"


async def test_ls_failures(site: Site) -> None:
    """Each with its header; a folder within that cannot be read makes a recursive list fail, as it does."""
    (site.folder / "closed").mkdir(mode=0o700)
    site.make("file")
    failed(await site.get("ls", targetPath=site.path("no")), "X-Invalid-Path", "path is an invalid path", code="NoSuchFile")  # fmt: skip
    failed(await site.get("ls", targetPath=site.path("file/x")), "X-Invalid-Path", "path is an invalid path")
    body = failed(await site.get("ls", targetPath=site.path("closed")), "X-Permission-Denied", NO_PATH)
    assert body == {
        "description": "Error on ls operation",
        "error": f"ls: cannot open directory '{site.path('closed')}': Permission denied",
    }
    reply = await site.get("ls", targetPath=site.path(), recursive="true")
    assert failed(reply, "X-Permission-Denied", NO_PATH, code="PermissionDenied") == body
    failed(await site.get("ls", targetPath=str(site.root)), "X-Permission-Denied", NO_MACHINE_OR_PATH)


async def test_ls_of_too_many(tmp_path: Path) -> None:
    """A clear limit, and the gateway serves on."""
    async with running_site(tmp_path, change={"limits": {"listing_entries": 100}}) as site:
        for number in range(101):
            (site.folder / f"f{number}").touch()
        body = failed(
            await site.get("ls", targetPath=site.path()),
            "X-Error",
            "Command output exceeded buffer limit (100 entries)",
            code="TooLarge",
        )
        assert body["error"] == "Command output exceeded buffer limit (100 entries)"
        (site.folder / "f0").unlink()
        assert len(await names(site, targetPath=site.path())) == 100


# ---- head, tail, view ----

TEXT = b"one\ntwo\nthree"


@pytest.mark.parametrize(
    ("route", "query", "output"),
    [
        ("head", {"lines": "2"}, "one\ntwo\n"),
        ("head", {"bytes": "5"}, "one\nt"),
        ("head", {"lines": "-1"}, "one\ntwo\n"),
        ("head", {"lines": "1", "skip_ending": "true"}, "one\ntwo\n"),
        ("head", {"bytes": "3", "skip_ending": "1"}, "one\ntwo\nth"),
        ("head", {"grep": "t"}, "two\nthree\n"),
        ("head", {"grep": "t", "lines": "2"}, "two\n"),
        ("head", {"bytes": "1K"}, TEXT.decode()),
        ("tail", {"lines": "2"}, "two\nthree"),
        ("tail", {"bytes": "3"}, "ree"),
        ("tail", {"lines": "+2"}, "two\nthree"),
        ("tail", {"lines": "3", "skip_beginning": "true"}, "three"),
        ("tail", {"bytes": "5", "skip_beginning": "yes"}, "two\nthree"),
        ("tail", {"grep": "o"}, "one\ntwo\n"),
        ("view", {}, TEXT.decode()),
        ("view", {"lines": "2"}, "one\ntwo\n"),
        ("view", {"bytes": "5"}, "one\nt"),
        ("view", {"grep": "t"}, "two\nthree\n"),
        ("view", {"grep": "'; touch /tmp/x; '|one"}, None),
    ],
)
async def test_parts_of_a_file(site: Site, route: str, query: dict[str, str], output: str | None) -> None:
    """As the programs give them; a pattern with any character is a pattern, and one that is not there is 404."""
    site.make("file", TEXT)
    reply = await site.get(route, targetPath=site.path("file"), **query)
    word = "tail" if route == "tail" else "head"
    if output is None:
        body = failed(reply, "X-Not-Found", "pattern not found", status=404, code="PatternNotFound")
        assert body == {"description": f"Error on {word} operation with grep", "error": "pattern not found"}
    else:
        assert reply.json() == {"description": f"Success to {word} file.", "output": output}


@pytest.mark.parametrize("route", ["head", "tail"])
async def test_ten_lines(site: Site, route: str) -> None:
    """Where nothing is said."""
    site.make("file", b"".join(b"%d\n" % number for number in range(30)))
    output = (await site.get(route, targetPath=site.path("file"))).json()["output"]
    assert output.split() == [str(number) for number in (range(10) if route == "head" else range(20, 30))]


@pytest.mark.parametrize("route", ["head", "tail", "view"])
async def test_parts_that_are_none(site: Site, route: str) -> None:
    """Both units, no number, no text, no file."""
    site.make("file", b"\xff\xfe")
    site.make_folder("folder")
    path, word = site.path("file"), "tail" if route == "tail" else "head"
    reply = await site.get(route, targetPath=path, bytes="1", lines="1")
    assert (reply.status, reply.json()["error"]) == (400, "Can not specify both 'bytes' and 'lines'")
    sentence = f"{word}: invalid number of lines: 'x'"
    assert failed(await site.get(route, targetPath=path, lines="x"), "X-Error", sentence)["error"] == sentence
    reply = await site.get(route, targetPath=path)
    assert reply.headers["X-Goldcrest-Code"] == "NotText"
    assert "codec" in reply.headers["X-Error"]
    header = ("X-Not-Found", "sourcePath not found") if route == "view" else ("X-Invalid-Path", "path is an invalid path")  # fmt: skip
    failed(await site.get(route, targetPath=site.path("no")), *header)
    body = failed(
        await site.get(route, targetPath=site.path("folder")),
        "X-A-Directory",
        "path is a directory, can't checksum directories",
        code="IsADirectory",
    )
    assert body["error"] == f"{word}: error reading '{site.path('folder')}': Is a directory"


async def test_parts_that_are_too_large(tmp_path: Path) -> None:
    """Never cut: an error with the contract's words."""
    async with running_site(tmp_path, limits={"maxFileSizeMiB": 1}) as site:
        site.make("file", b"x" * (2**20 + 1))
        sentence = "Command output exceeded buffer limit (1048576)"
        for route in ("head", "tail"):
            reply = await site.get(route, targetPath=site.path("file"), bytes="1M")
            assert len(reply.json()["output"]) == 2**20
            reply = await site.get(route, targetPath=site.path("file"), bytes="1048577")
            assert failed(reply, "X-Error", sentence, code="TooLarge")["error"] == sentence
        reply = await site.get("view", targetPath=site.path("file"), grep="x")
        assert failed(reply, "X-Size-Limit", "File exceeds size limit") == {"description": "Failed to view file content"}  # fmt: skip


# ---- looking ----


async def test_file_checksum_whoami(site: Site) -> None:
    """In the words of the programs; ids are text."""
    site.make("file", b"some text\n")
    site.make_folder("folder")
    assert (await site.get("file", targetPath=site.path("folder"))).json() == {
        "description": "Success to file file.",
        "output": "directory",
    }
    reply = await site.get("checksum", targetPath=site.path("file"))
    assert reply.json() == {
        "description": "Success to checksum file.",
        "output": hashlib.sha256(b"some text\n").hexdigest(),
    }
    assert (await site.get("whoami")).json() == {"description": "User information", "output": USER}
    output = (await site.get("whoami", groups="True")).json()["output"]
    assert output["user"] == {"name": USER, "id": "65534"}
    assert output["group"] == {"name": GROUP, "id": "65534"}
    assert {"name": GROUP, "id": "65534"} in output["groups"]
    assert (await site.get("status")).json() == {"success": "ack"}


@pytest.mark.parametrize(
    ("route", "name", "header", "value", "error"),
    [
        ("checksum", "no", "X-Invalid-Path", "path is an invalid path", "sha256sum: {}: No such file or directory"),
        ("checksum", "folder", "X-A-Directory", "path is a directory, can't checksum directories", "sha256sum: {}: Is a directory"),
        ("checksum", "closed", "X-Permission-Denied", NO_PATH, "sha256sum: {}: Permission denied"),
        ("file", "no", "X-Invalid-Path", "path is an invalid path", "cannot open `{}' (No such file or directory)"),
        ("stat", "no", "X-Not-Found", "sourcePath not found", "stat: cannot stat '{}': No such file or directory"),
    ],
)  # fmt: skip
async def test_what_cannot_be_looked_at(site: Site, route: str, name: str, header: str, value: str, error: str) -> None:
    """Header and text of the table."""
    site.make_folder("folder")
    (site.folder / "closed").write_bytes(b"of root")
    (site.folder / "closed").chmod(0o600)
    body = failed(await site.get(route, targetPath=site.path(name)), header, value)
    assert body == {"description": f"Error on {route} operation", "error": error.format(site.path(name))}


# ---- changing ----


async def test_mkdir(site: Site) -> None:
    """One, with parents, and what is there already."""
    reply = await site.send("POST", "mkdir", targetPath=site.path("new"))
    assert (reply.status, reply.json()) == (201, {"description": "Success to mkdir file.", "output": ""})
    assert stat.S_IMODE((site.folder / "new").stat().st_mode) == 0o755
    body = failed(await site.send("POST", "mkdir", targetPath=site.path("new")), "X-Exists", "targetPath already exists", code="AlreadyExists")  # fmt: skip
    assert body["error"] == f"mkdir: cannot create directory '{site.path('new')}': File exists"
    assert (await site.send("POST", "mkdir", targetPath=site.path("new"), p="")).status == 201
    failed(
        await site.send("POST", "mkdir", targetPath=site.path("a/b")),
        "X-Invalid-Path",
        "sourcePath and/or targetPath are invalid paths",
    )
    assert (await site.send("POST", "mkdir", targetPath=site.path("a/b"), p="false")).status == 201
    assert (site.folder / "a/b").is_dir()
    site.make("file")
    body = failed(await site.send("POST", "mkdir", targetPath=site.path("file"), p=""), "X-Exists", "targetPath already exists")  # fmt: skip
    assert body["error"] == f"mkdir: cannot create directory '{site.path('file')}': File exists"
    reply = await site.send("POST", "mkdir", targetPath=site.path("file/x"), p="")
    failed(reply, "X-Not-A-Directory", "targetPath is not a directory", code="NotADirectory")


async def test_rename_and_copy(site: Site) -> None:
    """Over what is there, into folders, with attributes; what fails says which of the two it was."""
    for route, method in (("copy", "POST"), ("rename", "PUT")):
        site.make("source", b"new", mode=0o640)
        site.make("target", b"old")
        reply = await site.send(method, route, sourcePath=site.path("source"), targetPath=site.path("target"))
        assert reply.json() == {"description": f"Success to {route} file.", "output": ""}
        assert reply.status == (201 if route == "copy" else 200)
        assert (site.folder / "target").read_bytes() == b"new"
        assert stat.S_IMODE((site.folder / "target").stat().st_mode) == 0o640
        assert (site.folder / "source").exists() == (route == "copy")
        folder = site.make_folder(f"into-{route}")
        await site.send(method, route, sourcePath=site.path("target"), targetPath=str(folder))
        assert (folder / "target").read_bytes() == b"new"
        word = "mv" if route == "rename" else "cp"
        body = failed(
            await site.send(method, route, sourcePath=site.path("no"), targetPath=site.path("x")),
            "X-Not-Found",
            "sourcePath not found",
            code="NoSuchFile",
        )
        assert body["error"] == f"{word}: cannot stat '{site.path('no')}': No such file or directory"
        site.make("source")
        failed(
            await site.send(method, route, sourcePath=site.path("source"), targetPath=site.path("no/x")),
            "X-Invalid-Path",
            "sourcePath and/or targetPath are invalid paths",
        )
        (site.folder / "closed").mkdir(mode=0o755, exist_ok=True)
        failed(
            await site.send(method, route, sourcePath=site.path("source"), targetPath=site.path("closed")),
            "X-Permission-Denied",
            NO_PATH,
        )
        reply = await site.send(method, route, sourcePath=site.path("source"), targetPath=site.path("source"))
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "WrongState")
        body = failed(
            await site.send(method, route, sourcePath=str(folder), targetPath=f"{folder}/below"),
            "X-A-Directory",
            "path is a directory, can't checksum directories",
        )
        words = "cannot move '{0}' to a subdirectory of itself, '{0}/below'" if word == "mv" else "cannot copy a directory, '{0}', into itself, '{0}/below'"  # fmt: skip
        assert body["error"] == f"{word}: {words.format(folder)}"


async def test_copy_of_a_tree(site: Site) -> None:
    """Links stay links."""
    site.make_folder("tree")
    site.make("tree/file", b"x")
    (site.folder / "tree/link").symlink_to("file")
    reply = await site.send("POST", "copy", sourcePath=site.path("tree"), targetPath=site.path("other"))
    assert reply.status == 201, reply
    assert (site.folder / "other/file").read_bytes() == b"x"
    assert (site.folder / "other/link").readlink() == Path("file")


async def test_chmod(site: Site) -> None:
    """The line of chmod -v."""
    site.make("file", mode=0o644)
    path = site.path("file")
    reply = await site.send("PUT", "chmod", targetPath=path, mode="u+x,go-r")
    assert reply.json() == {
        "description": "Success to chmod file or directory.",
        "output": f"mode of '{path}' changed from 0644 (rw-r--r--) to 0700 (rwx------)",
    }
    assert stat.S_IMODE((site.folder / "file").stat().st_mode) == 0o700
    reply = await site.send("PUT", "chmod", targetPath=path, mode="700")
    assert reply.json()["output"] == f"mode of '{path}' retained as 0700 (rwx------)"
    body = failed(await site.send("PUT", "chmod", targetPath=path, mode="rwx"), "X-Invalid-Mode", "mode is an invalid mode")  # fmt: skip
    assert body == {"description": "Error on chmod operation", "error": "chmod: invalid mode: 'rwx'"}
    reply = await site.send("PUT", "chmod", targetPath=path)
    assert reply.json() == {"description": "Error on chmod operation", "error": "'mode' not specified"}
    failed(await site.send("PUT", "chmod", targetPath=site.path("no"), mode="700"), "X-Invalid-Path", "path is an invalid path")  # fmt: skip
    (site.folder / "of-root").touch()
    body = failed(await site.send("PUT", "chmod", targetPath=site.path("of-root"), mode="777"), "X-Permission-Denied", NO_MACHINE_OR_PATH)  # fmt: skip
    assert body["error"] == f"chmod: changing permissions of '{site.path('of-root')}': Operation not permitted"


async def test_chown(site: Site) -> None:
    """The line of chown -v; unknown names say which of the two; files are not given away."""
    site.make("file")
    path = site.path("file")
    reply = await site.send("PUT", "chown", targetPath=path, owner=USER, group=GROUP)
    assert reply.json() == {
        "description": "Success to chown file or directory.",
        "output": f"ownership of '{path}' retained as {USER}:{GROUP}",
    }
    reply = await site.send("PUT", "chown", targetPath=path)
    assert (reply.status, reply.json()) == (400, {"description": "Error in chown operation", "error": "group or owner must be set"})  # fmt: skip
    body = failed(await site.send("PUT", "chown", targetPath=path, owner="nosuchuser"), "X-Invalid-Owner", "owner is an invalid user", code="UnknownAccount")  # fmt: skip
    assert body == {"description": "Error on chown operation", "error": "chown: invalid user: 'nosuchuser'"}
    body = failed(await site.send("PUT", "chown", targetPath=path, group="nosuchgroup"), "X-Invalid-Group", "group is an invalid group")  # fmt: skip
    assert body["error"] == "chown: invalid group: 'nosuchgroup'"
    body = failed(await site.send("PUT", "chown", targetPath=path, owner="daemon"), "X-Permission-Denied", NO_MACHINE_OR_PATH)  # fmt: skip
    assert body["error"] == f"chown: changing ownership of '{path}': Operation not permitted"
    assert (site.folder / "file").owner() == USER


async def test_attributes_behind_a_closed_folder(site: Site) -> None:
    """chmod and chown "cannot access" what they may not reach: row 5 of contract 3.7, before the reason; the code has it."""
    (site.folder / "closed").mkdir(mode=0o700)
    (site.folder / "closed/file").touch()
    for route, form in (("chmod", {"mode": "700"}), ("chown", {"owner": USER})):
        reply = await site.send("PUT", route, targetPath=site.path("closed/file"), **form)
        body = failed(reply, "X-Invalid-Path", "path is an invalid path", code="PermissionDenied")
        assert body["error"] == f"{route}: cannot access '{site.path('closed/file')}': Permission denied"


async def test_symlink(site: Site) -> None:
    """A link to anything, within a folder where the link's path is one."""
    reply = await site.send("POST", "symlink", targetPath="../no/where", linkPath=site.path("link"))
    assert (reply.status, reply.json()) == (201, {"description": "Success to symlink file.", "output": ""})
    assert (site.folder / "link").readlink() == Path("../no/where")
    failed(await site.send("POST", "symlink", targetPath="x", linkPath=site.path("link")), "X-Exists", "targetPath already exists")  # fmt: skip
    failed(await site.send("POST", "symlink", targetPath="x", linkPath=site.path("no/x")), "X-Invalid-Path", "path is an invalid path")  # fmt: skip
    site.make_folder("folder")
    await site.send("POST", "symlink", targetPath="/some/thing", linkPath=site.path("folder"))
    assert (site.folder / "folder/thing").readlink() == Path("/some/thing")
    for value, outcome in ((None, "not specified"), ("", "is empty"), ("a;b", "has invalid char")):
        form = {"targetPath": "x", **({} if value is None else {"linkPath": value})}
        reply = await site.send("POST", "symlink", **form)
        assert reply.json() == {"description": "Failed to create symlink", "error": f"'linkPath' value {outcome}"}


async def test_rm(site: Site) -> None:
    """Files and trees; 204 without a body; what a link leads to stays."""
    site.make_folder("tree")
    site.make("tree/file")
    site.make("kept")
    (site.folder / "tree/link").symlink_to("../kept")
    reply = await site.send("DELETE", "rm", targetPath=site.path("tree"))
    assert (reply.status, reply.text) == (204, "")
    assert [path.name for path in site.folder.iterdir()] == ["kept"]
    body = failed(await site.send("DELETE", "rm", targetPath=site.path("tree")), "X-Invalid-Path", "path is an invalid path.")  # fmt: skip
    assert body == {
        "description": "Error on rm operation",
        "error": f"rm: cannot remove '{site.path('tree')}': No such file or directory",
    }
    (site.folder / "closed").mkdir(mode=0o755)
    (site.folder / "closed/file").touch()
    body = failed(await site.send("DELETE", "rm", targetPath=site.path("closed")), "X-Permission-Denied", NO_PATH)
    assert body["error"] == f"rm: cannot remove '{site.path('closed/file')}': Permission denied"
    assert (site.folder / "closed/file").exists()


# ---- archives ----


async def test_compress_and_extract(site: Site) -> None:
    """There and back, with a slash behind the source; tar itself reads it."""
    site.make_folder("tree")
    site.make("tree/file", b"content")
    reply = await site.send("POST", "compress", sourcePath=site.path("tree/"), targetPath=site.path("t.tar.gz"))
    assert (reply.status, reply.json()) == (201, {"description": "Success to compress file.", "output": ""})
    with tarfile.open(site.folder / "t.tar.gz") as archive:
        assert archive.getnames() == ["tree", "tree/file"]
    site.make_folder("out")
    reply = await site.send("POST", "extract", sourcePath=site.path("t.tar.gz"), targetPath=site.path("out"))
    assert (reply.status, reply.json()) == (201, {"description": "Success to extract file.", "output": ""})
    assert (site.folder / "out/tree/file").read_bytes() == b"content"


def _archive(mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("member")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"data"))
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("member", b"data")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "form", "content"),
    [
        ("a.tar", {}, _archive("w")),
        ("a.tgz", {}, _archive("w:gz")),
        ("a.tar.gz", {"extension": "auto"}, _archive("w:gz")),
        ("a.tar.bz2", {}, _archive("w:bz2")),
        ("a.zip", {}, _zip()),
        ("a.data", {"extension": ".tar"}, _archive("w")),
        ("a.data", {"type": ".zip"}, _zip()),
        ("a.zip", {"type": ".tar", "extension": ".zip"}, _archive("w")),
        ("a", {"extension": ".tar.gz"}, _archive("w:gz")),
    ],
)
async def test_formats(site: Site, name: str, form: dict[str, str], content: bytes) -> None:
    """By suffix, by extension, by type, which wins (D19)."""
    site.make(name, content)
    site.make_folder("out")
    reply = await site.send("POST", "extract", sourcePath=site.path(name), targetPath=site.path("out"), **form)
    assert reply.status == 201, reply
    assert (site.folder / "out/member").read_bytes() == b"data"


async def test_archives_that_fail(site: Site) -> None:
    """Unknown suffix, no archive, no such file, a member that leads out."""
    site.make("a.tar", b"this is no archive" * 100)
    site.make_folder("out")
    for name, form in (("a.rar", {}), ("a", {}), ("a.tar", {"extension": ".7z"})):
        reply = await site.send("POST", "extract", sourcePath=site.path(name), targetPath=site.path("out"), **form)
        assert (reply.status, reply.json()) == (400, {"description": "Error on extract operation", "error": f"Unsupported file format in {site.path(name)}."})  # fmt: skip
    reply = await site.send("POST", "extract", sourcePath=site.path("a.tar"), targetPath=site.path("out"))
    assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "DamagedArchive")
    assert reply.headers["X-Error"]
    failed(
        await site.send("POST", "extract", sourcePath=site.path("no.tar"), targetPath=site.path("out")),
        "X-Invalid-Path",
        "path is an invalid path",
    )
    failed(
        await site.send("POST", "compress", sourcePath=site.path("no"), targetPath=site.path("x.tgz")),
        "X-Invalid-Path",
        "path is an invalid path",
    )
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../up"), io.BytesIO())
    site.make("evil.tar", evil.getvalue())
    reply = await site.send("POST", "extract", sourcePath=site.path("evil.tar"), targetPath=site.path("out"))
    assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "DamagedArchive")
    assert not (site.folder / "up").exists()
    assert not (site.folder / "x.tgz").exists()


# ---- what all have ----

PATHS = [
    ("GET", "ls", "targetPath"), ("POST", "mkdir", "targetPath"), ("PUT", "rename", "targetPath"), ("PUT", "rename", "sourcePath"),
    ("PUT", "chmod", "targetPath"), ("PUT", "chown", "targetPath"), ("POST", "copy", "targetPath"), ("POST", "copy", "sourcePath"),
    ("GET", "file", "targetPath"), ("GET", "head", "targetPath"), ("GET", "tail", "targetPath"), ("GET", "stat", "targetPath"),
    ("POST", "symlink", "targetPath"), ("GET", "download", "sourcePath"), ("DELETE", "rm", "targetPath"), ("GET", "checksum", "targetPath"),
    ("GET", "view", "targetPath"), ("POST", "compress", "sourcePath"), ("POST", "extract", "targetPath"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "route", "field"), PATHS)
async def test_paths_that_are_none(site: Site, method: str, route: str, field: str) -> None:
    """Missing, empty, with a character that the contract refuses: the same words everywhere, and no node is asked."""
    operation = {"download": "fsize", "view": "fsize"}.get(route, route)
    good = {name: site.path("x") for name in ("targetPath", "sourcePath") if name != field and route in ("rename", "copy", "compress", "extract")}  # fmt: skip
    wrong = [(None, "not specified"), ("", "is empty"), *((f"/a{char}b", "has invalid char") for char in "<>|;\"'&\\()`\n\x01")]  # fmt: skip
    for value, outcome in wrong:
        fields = {**good, **({} if value is None else {field: value})}
        reply = await (site.get(route, **fields) if method == "GET" else site.send(method, route, **fields))
        assert (reply.status, reply.json()) == (400, {"description": f"Error on {operation} operation", "error": f"'{field}' {outcome}"})  # fmt: skip
    assert site.node.logins == 0


@pytest.mark.parametrize(("method", "route"), [*sorted({(method, route) for method, route, _ in PATHS}), ("POST", "upload"), ("GET", "whoami")])  # fmt: skip
async def test_machine_and_token(site: Site, method: str, route: str) -> None:
    """Who asks and which machine is looked at first."""
    operation = {"download": "fsize", "view": "fsize"}.get(route, route)
    ask = site.gateway.request
    reply = await ask(method, f"/utilities/{route}", user=None, machine=None)
    assert (reply.status, reply.json()) == (401, {"description": "No Auth Header given"})
    assert reply.headers["X-Goldcrest-Code"] == "TokenMissing"
    reply = await ask(method, f"/utilities/{route}", user=USER, machine=None)
    assert (reply.status, reply.json()) == (400, {"description": "No machine name given"})
    reply = await ask(method, f"/utilities/{route}", user=USER, machine="other")
    assert (reply.status, reply.json()) == (400, {"description": f"Error on {operation} operation", "error": "Machine does not exist"})  # fmt: skip
    assert reply.headers["X-Machine-Does-Not-Exist"] == "Machine does not exist"
    assert reply.headers["X-Machine-Does-Not-Exists"] == "Machine does not exists"


async def test_form_that_is_too_large(tmp_path: Path) -> None:
    """413 in the contract's words."""
    async with running_site(tmp_path, change={"limits": {"body_bytes": 2048}}) as site:
        reply = await site.send("POST", "mkdir", targetPath=site.path("x" * 3000))
        assert (reply.status, reply.json()) == (413, {"description": "Failed to upload file. The file is over 2048 bytes"})  # fmt: skip


async def test_operation_that_takes_too_long(tmp_path: Path) -> None:
    """The System's own time counts on the node: the contract's time-out, and not the policy's minute."""
    async with running_site(tmp_path, limits={"utilitiesSeconds": 1}) as site:
        with site.make("large").open("wb") as file:
            file.truncate(2**36)  # sparse; its digest takes minutes
        began = asyncio.get_running_loop().time()
        reply = await site.get("checksum", targetPath=site.path("large"))
        body = failed(reply, "X-Timeout", "Command has finished with timeout signal", code="TimedOut")
        assert body["error"] == "Command has finished with timeout signal"  # pyfirecrest compares it
        assert asyncio.get_running_loop().time() - began < 20


async def test_node_that_is_away(site: Site) -> None:
    """Not the client's fault, and worth another try."""
    await site.node.stop()
    reply = await site.get("ls", targetPath=site.path())
    assert failed(reply, "X-Error", "Connection refused")["error"] == "Connection refused"
    assert reply.headers["X-Goldcrest-Retryable"] == "true"


async def test_no_space(site: Site) -> None:
    """A full file system has a code of its own, and nothing half is left."""
    path = site.make_folder("small")
    await _mount(path, "size=64k,mode=777")
    try:
        site.make("large", b"x" * 200_000)
        reply = await site.send("POST", "copy", sourcePath=site.path("large"), targetPath=site.path("small"))
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "NoSpaceLeft"), reply
        assert "No space left on device" in reply.headers["X-Error"]
    finally:
        await _umount(path)


async def test_read_only(site: Site) -> None:
    """Likewise."""
    path = site.make_folder("frozen")
    await _mount(path, "ro")
    try:
        reply = await site.send("POST", "mkdir", targetPath=site.path("frozen/x"))
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "ReadOnlyFileSystem"), reply
        assert "Read-only file system" in reply.headers["X-Error"]
    finally:
        await _umount(path)


async def _mount(path: Path, options: str) -> None:
    done = await asyncio.create_subprocess_exec("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
    assert await done.wait() == 0


async def _umount(path: Path) -> None:
    done = await asyncio.create_subprocess_exec("umount", "-l", str(path))
    assert await done.wait() == 0
