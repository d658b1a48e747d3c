"""The unmodified pyfirecrest v1 client, sync, async and its command line, through all methods of /utilities.

Each answer is asserted on, and what happened on the system, looked at by other means.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from firecrest.FirecrestException import FirecrestException, HeaderException

from bed import Bed
from integration.pyfirecrest_clients import Client, CommandLine

pytestmark = pytest.mark.integration

AREA = "utilities"

USER = "alice"


@pytest.fixture
def folder(bed: Bed) -> Iterator[str]:
    """A fresh folder of alice's."""
    path = f"/scratch/{USER}/{bed.name('utilities')}"
    bed.node("mkdir", path, user=USER)
    yield path
    bed.node("rm", "-rf", path)


def test_names_and_trees(bed: Bed, client: Client, folder: str) -> None:
    """mkdir, list_files, mv, copy, symlink, simple_delete."""
    assert client("mkdir", f"{folder}/a/b", p=True) == f"{folder}/a/b"
    assert bed.node("stat", "-c", "%F %U %a", f"{folder}/a/b").strip() == f"directory {USER} 755"
    bed.node("sh", "-c", f"echo hello > {folder}/a/file; echo x > '{folder}/a/.hidden name'", user=USER)
    assert client("mv", f"{folder}/a/file", f"{folder}/a/b/moved") == f"{folder}/a/b/moved"
    assert bed.node("cat", f"{folder}/a/b/moved") == "hello\n"
    assert client("copy", f"{folder}/a", f"{folder}/copy") == f"{folder}/copy"
    assert bed.node("cat", f"{folder}/copy/b/moved") == "hello\n"
    assert client("symlink", "a/b/moved", f"{folder}/link") == "a/b/moved"
    assert bed.node("readlink", f"{folder}/link").strip() == "a/b/moved"
    listed = client("list_files", folder)
    assert [(each["name"], each["type"], each["link_target"]) for each in listed] == [
        ("a", "d", ""),
        ("copy", "d", ""),
        ("link", "l", "a/b/moved"),
    ]
    assert {each["user"] for each in listed} == {USER}
    names = [each["name"] for each in client("list_files", f"{folder}/a", show_hidden=True, recursive=True)]
    assert names == [".hidden name", "b", "b/moved"]
    client("simple_delete", f"{folder}/a")
    client("simple_delete", f"{folder}/link")
    assert bed.node("ls", "-A", folder).split() == ["copy"]


def test_attributes(bed: Bed, client: Client, folder: str) -> None:
    """chmod, chown, stat, file_type, checksum, whoami, groups."""
    path = f"{folder}/file"
    bed.node("sh", "-c", f"printf 'some text\\n' > {path}", user=USER)
    client("chmod", path, "0640")
    client("chown", path, owner=USER, group=USER)
    assert bed.node("stat", "-c", "%a %U:%G", path).strip() == f"640 {USER}:{USER}"
    attributes = client("stat", path)
    real = bed.node("stat", "-c", "%i %s %u %g %Y", path).split()
    assert [str(attributes[name]) for name in ("ino", "size", "uid", "gid", "mtime")] == real
    assert client("checksum", path) == hashlib.sha256(b"some text\n").hexdigest()
    assert client("whoami") == USER
    groups = client("groups")
    assert groups["user"] == {"name": USER, "id": bed.node("id", "-u", USER).strip()}
    assert groups["group"]["id"] == bed.node("id", "-g", USER).strip()
    if bed.node("sh", "-c", "command -v file || true").strip():
        assert client("file_type", path) == bed.node("file", "-b", path).strip()
    assert client("file_type", folder) == "directory"


def test_content(bed: Bed, client: Client, folder: str, tmp_path: Path) -> None:
    """simple_upload, simple_download, head, tail, view."""
    content = os.urandom(5 * 2**20)  # the whole limit
    if client.kind == "async":  # which cannot download what is no UTF-8: pyfirecrest 3.10.0 looks for JSON in it
        content = content.hex().encode()[: 5 * 2**20]
    local = tmp_path / "large.bin"
    local.write_bytes(content)
    client("simple_upload", str(local), folder)
    assert bed.node("sha256sum", f"{folder}/large.bin").split()[0] == hashlib.sha256(content).hexdigest()
    client("simple_download", f"{folder}/large.bin", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    client("simple_upload", io.BytesIO(b"".join(b"line %d\n" % n for n in range(20))), folder, filename="lines")
    assert client("view", f"{folder}/lines").splitlines() == [f"line {n}" for n in range(20)]
    assert client("head", f"{folder}/lines").splitlines() == [f"line {n}" for n in range(10)]
    assert client("head", f"{folder}/lines", lines="2", skip_ending=True).count("\n") == 18
    assert client("head", f"{folder}/lines", bytes="6") == "line 0"
    assert client("tail", f"{folder}/lines", lines="1") == "line 19\n"
    assert client("tail", f"{folder}/lines", lines="19", skip_beginning=True) == "line 18\nline 19\n"


def test_archives(bed: Bed, client: Client, folder: str) -> None:
    """compress, extract."""
    bed.node("sh", "-c", f"mkdir {folder}/tree {folder}/out; echo x > {folder}/tree/file", user=USER)
    assert client("compress", f"{folder}/tree", f"{folder}/t.tar.gz") == f"{folder}/t.tar.gz"
    assert bed.node("tar", "-tzf", f"{folder}/t.tar.gz").split() == ["tree/", "tree/file"]
    assert client("extract", f"{folder}/t.tar.gz", f"{folder}/out") == f"{folder}/out"
    assert bed.node("cat", f"{folder}/out/tree/file") == "x\n"


def test_errors_that_the_client_knows(bed: Bed, client: Client, folder: str) -> None:
    """HeaderException where the contract has a header that it looks for, and our codes beside it."""
    bed.node("sh", "-c", f"mkdir -m 700 {folder}/closed; chown root {folder}/closed")
    cases = [
        ("list_files", (f"{folder}/no",), "X-Invalid-Path", "NoSuchFile"),
        ("list_files", (f"{folder}/closed",), "X-Permission-Denied", "PermissionDenied"),
        ("stat", (f"{folder}/no",), "X-Not-Found", "NoSuchFile"),
        ("checksum", (folder,), "X-A-Directory", "IsADirectory"),
        ("mv", (f"{folder}/no", f"{folder}/x"), "X-Not-Found", "NoSuchFile"),
        ("simple_delete", (f"{folder}/no",), "X-Invalid-Path", "NoSuchFile"),
        ("simple_download", (f"{folder}/no", "/dev/null"), "X-Not-Found", "NoSuchFile"),
    ]
    for method, args, header, code in cases:
        with pytest.raises(HeaderException) as caught:
            client(method, *args)
        headers = caught.value.responses[-1].headers
        assert header in headers, (method, dict(headers))
        assert headers["X-Goldcrest-Code"] == code
    with pytest.raises(FirecrestException) as exists:
        client("mkdir", folder)
    assert exists.value.responses[-1].headers["X-Exists"] == "targetPath already exists"


def test_command_line(bed: Bed, folder: str, tmp_path: Path) -> None:
    """Every command for utilities."""
    run = CommandLine(bed)
    local = tmp_path / "data"
    local.write_text("one\ntwo\nthree\n")
    run("mkdir", "-p", f"{folder}/a/b")
    run("upload", str(local), f"{folder}/a")
    assert bed.node("cat", f"{folder}/a/data") == "one\ntwo\nthree\n"
    assert [each["name"] for each in json.loads(run("ls", "--json", f"{folder}/a"))] == ["b", "data"]
    assert "data" in run("ls", f"{folder}/a")
    run("cp", f"{folder}/a/data", f"{folder}/copy")
    run("mv", f"{folder}/copy", f"{folder}/moved")
    run("chmod", f"{folder}/moved", "600")
    run("chown", f"{folder}/moved", "--owner", USER, "--group", USER)
    assert bed.node("stat", "-c", "%a %U", f"{folder}/moved").strip() == f"600 {USER}"
    run("symlink", f"{folder}/moved", f"{folder}/link")
    assert bed.node("readlink", f"{folder}/link").strip() == f"{folder}/moved"
    assert run("head", "-n", "1", f"{folder}/moved").strip() == "one"
    assert run("tail", "-n", "1", f"{folder}/moved").strip() == "three"
    assert hashlib.sha256(local.read_bytes()).hexdigest() in run("checksum", f"{folder}/moved")
    assert "directory" in run("file", folder)
    assert "14" in run("stat", f"{folder}/moved")
    assert run("whoami").strip() == USER
    assert USER in run("id")
    run("compress", f"{folder}/a", f"{folder}/a.tar.gz")
    bed.node("mkdir", f"{folder}/out", user=USER)
    run("extract", f"{folder}/a.tar.gz", f"{folder}/out")
    assert bed.node("cat", f"{folder}/out/a/data") == "one\ntwo\nthree\n"
    run("download", f"{folder}/out/a/data", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == local.read_text()
    run("rm", "--force", f"{folder}/out")
    assert "out" not in bed.node("ls", folder).split()
    run("ls", f"{folder}/no", status=1)


def test_paths_from_home(bed: Bed, client: Client) -> None:
    """Relative ones begin at the home directory."""
    name = bed.name("from-home")
    client("mkdir", name)
    try:
        assert bed.node("stat", "-c", "%U", f"/home/{USER}/{name}").strip() == USER
        client("simple_upload", io.BytesIO(b"x"), name, filename="f")
        assert [each["name"] for each in client("list_files", name)] == ["f"]
    finally:
        client("simple_delete", name)
    assert name not in bed.node("ls", f"/home/{USER}").split()
