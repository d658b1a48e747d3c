"""Every route of ``/utilities`` on the bed, as contract section 4 has it: its success, and what is wrong before a node is asked.

What a node refuses is in test_utilities_refusals.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from bed import Bed
from integration.door import NO_SUCH_MACHINE, Door, told

pytestmark = pytest.mark.integration

USER = "alice"
BOTH = ("sourcePath", "targetPath")
# Method, path, the name in error texts, and the paths that it takes.
ROUTES: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("GET", "ls", "ls", ("targetPath",)),
    ("POST", "mkdir", "mkdir", ("targetPath",)),
    ("PUT", "rename", "rename", BOTH),
    ("PUT", "chmod", "chmod", ("targetPath",)),
    ("PUT", "chown", "chown", ("targetPath",)),
    ("POST", "copy", "copy", BOTH),
    ("GET", "file", "file", ("targetPath",)),
    ("GET", "head", "head", ("targetPath",)),
    ("GET", "tail", "tail", ("targetPath",)),
    ("GET", "stat", "stat", ("targetPath",)),
    ("POST", "symlink", "symlink", ("targetPath",)),
    ("GET", "download", "fsize", ("sourcePath",)),
    ("POST", "upload", "upload", ()),  # a multipart form: test_uploads_that_lack_something
    ("DELETE", "rm", "rm", ("targetPath",)),
    ("GET", "checksum", "checksum", ("targetPath",)),
    ("GET", "view", "fsize", ("targetPath",)),
    ("GET", "whoami", "whoami", ()),
    ("POST", "compress", "compress", BOTH),
    ("POST", "extract", "extract", BOTH),
]
TEXT = "one\ntwo\nthree\n"


@pytest.fixture(scope="module")
def door(bed: Bed) -> Door:
    return Door(bed)


@pytest.fixture(scope="module")
def tree(bed: Bed) -> Iterator[str]:
    """A folder of alice's with a few files."""
    path = f"/scratch/{USER}/{bed.name('contract')}"
    script = f"""
        umask 022; mkdir {path}; cd {path}
        mkdir folder seen; printf 'one\\ntwo\\nthree\\n' > file; cp file seen/plain; ln -s plain seen/link
        touch -d @1000000000 seen/plain; chmod 640 seen/plain; touch seen/.hidden; printf '\\0\\377' > bytes
        mkdir tree; cp file tree/file; for name in moved mode owner gone copied; do cp file $name; done
    """
    bed.node("sh", "-ec", script, user=USER)
    yield path
    bed.node("rm", "-rf", path)


# ---- success ----


def test_ls(bed: Bed, door: Door, tree: str) -> None:
    """Records of eight texts; pages begin with 1 (D10)."""
    link, plain = door.ask("GET", "/utilities/ls", {"targetPath": f"{tree}/seen"}).json["output"]
    common = {"user": USER, "group": USER}
    assert plain == common | {
        "name": "plain",
        "type": "-",
        "link_target": "",
        "permissions": "rw-r-----",
        "last_modified": bed.node("date", "-d", "@1000000000", "+%Y-%m-%dT%H:%M:%S").strip(),
        "size": "14",
    }
    assert (link["name"], link["type"], link["link_target"], link["size"]) == ("link", "l", "plain", "5")

    def names(**more: str) -> list[Any]:
        status, body, headers = told(door.ask("GET", "/utilities/ls", {"targetPath": f"{tree}/seen", **more}))
        assert (status, body["description"], headers) == (200, "List of contents", {})
        return [each if isinstance(each, str) else each["name"] for each in body["output"]]

    assert names(showhidden="true") == [".hidden", "link", "plain"]
    assert names(pageSize="1", pageNumber="2") == ["plain"]
    assert names(notListing="1") == ['"link"', '"plain"']
    assert sorted(names(unsorted="yes")) == ['"."', '".."', '".hidden"', '"link"', '"plain"']
    numeric = door.ask("GET", "/utilities/ls", {"targetPath": f"{tree}/file", "numericUid": "True"}).json["output"]
    uid, gid = bed.node("stat", "-c", "%u %g", f"{tree}/file").split()
    assert [(each["name"], each["user"], each["group"]) for each in numeric] == [(f"{tree}/file", uid, gid)]


@pytest.mark.parametrize(
    ("route", "fields", "description", "output"),
    [
        ("file", {"targetPath": "folder"}, "Success to file file.", "directory"),
        ("head", {"targetPath": "file"}, "Success to head file.", TEXT),
        ("head", {"targetPath": "file", "lines": "1"}, "Success to head file.", "one\n"),
        ("head", {"targetPath": "file", "lines": "1", "skip_ending": "true"}, "Success to head file.", "one\ntwo\n"),
        ("head", {"targetPath": "file", "bytes": "1K", "grep": "t"}, "Success to head file.", "two\nthree\n"),
        ("tail", {"targetPath": "file"}, "Success to tail file.", TEXT),
        ("tail", {"targetPath": "file", "bytes": "4"}, "Success to tail file.", "ree\n"),
        ("tail", {"targetPath": "file", "lines": "3", "skip_beginning": "1"}, "Success to tail file.", "three\n"),
        ("view", {"targetPath": "file"}, "Success to head file.", TEXT),
        ("view", {"targetPath": "file", "grep": "ee"}, "Success to head file.", "three\n"),
        ("checksum", {"targetPath": "file"}, "Success to checksum file.", hashlib.sha256(TEXT.encode()).hexdigest()),
        ("whoami", {}, "User information", USER),
    ],
)
def test_reading(door: Door, tree: str, route: str, fields: dict[str, str], description: str, output: str) -> None:
    """200, the description of the route, and what was asked for; none of the headers of failures."""
    given = {name: f"{tree}/{value}" if name == "targetPath" else value for name, value in fields.items()}
    answer = door.ask("GET", f"/utilities/{route}", given)
    assert told(answer) == (200, {"description": description, "output": output}, {})


def test_stat_and_groups(bed: Bed, door: Door, tree: str) -> None:
    """Integers of stat(1), also for the path under its other name; ids of id(1) as texts."""
    names = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")
    raw, *numbers = bed.node("stat", "-c", "%f %i %d %h %u %g %s %X %Y %Z", f"{tree}/seen/plain").split()
    real = dict(zip(names, (int(raw, 16), *map(int, numbers)), strict=True))
    for fields in ({"targetPath": "plain"}, {"sourcePath": "plain"}, {"targetPath": "link", "dereference": "true"}):
        given = {name: f"{tree}/seen/{value}" if name.endswith("Path") else value for name, value in fields.items()}
        answer = door.ask("GET", "/utilities/stat", given)
        assert told(answer) == (200, {"description": "Success to stat file.", "output": real}, {})
    uid, gid = bed.node("id", "-u", USER).strip(), bed.node("id", "-g", USER).strip()
    ids, labels = (bed.node("id", option, USER).split() for option in ("-G", "-Gn"))
    groups = [{"name": name, "id": number} for number, name in zip(ids, labels, strict=True)]
    status, body, headers = told(door.ask("GET", "/utilities/whoami", {"groups": "true"}))
    assert (status, body["description"], headers) == (200, "User information", {})
    assert (body["output"]["user"], body["output"]["group"]) == ({"name": USER, "id": uid}, {"name": USER, "id": gid})
    assert sorted(body["output"].pop("groups"), key=str) == sorted(groups, key=str)
    assert set(body["output"]) == {"user", "group"}


def test_changing(bed: Bed, door: Door, tree: str) -> None:
    """Each route that changes something: its status, its answer, and then what the node has."""
    at = {name: f"{tree}/{name}" for name in ("moved", "mode", "owner", "gone", "copied", "file", "tree")}
    mode_line = f"mode of '{at['mode']}' changed from 0644 (rw-r--r--) to 0600 (rw-------)"
    owner_line = f"ownership of '{at['owner']}' retained as {USER}:{USER}"
    two = {"sourcePath": at["moved"], "targetPath": f"{tree}/folder/moved"}
    rows: list[tuple[str, str, dict[str, str], int, str, str]] = [
        ("POST", "mkdir", {"targetPath": f"{tree}/made"}, 201, "Success to mkdir file.", ""),
        ("POST", "mkdir", {"targetPath": f"{tree}/made/a/b", "p": "false"}, 201, "Success to mkdir file.", ""),
        ("PUT", "rename", two, 200, "Success to rename file.", ""),
        ("PUT", "chmod", {"targetPath": at["mode"], "mode": "600"}, 200, "Success to chmod file or directory.", mode_line),
        ("PUT", "chown", {"targetPath": at["owner"], "owner": USER, "group": USER}, 200, "Success to chown file or directory.", owner_line),
        ("POST", "copy", {"sourcePath": at["file"], "targetPath": at["copied"]}, 201, "Success to copy file.", ""),
        ("POST", "symlink", {"targetPath": "no/where", "linkPath": f"{tree}/made/link"}, 201, "Success to symlink file.", ""),
        ("POST", "compress", {"sourcePath": f"{at['tree']}/", "targetPath": f"{tree}/t.data"}, 201, "Success to compress file.", ""),
        ("POST", "extract", {"sourcePath": f"{tree}/t.data", "targetPath": f"{tree}/made", "extension": ".tgz"}, 201, "Success to extract file.", ""),
    ]  # fmt: skip
    for method, route, form, status, description, output in rows:
        answer = told(door.ask(method, f"/utilities/{route}", form))
        assert answer == (status, {"description": description, "output": output}, {}), route
    removed = door.ask("DELETE", "/utilities/rm", {"targetPath": at["gone"]})
    assert (removed.status, removed.body) == (204, b"")
    for name in ("made", "made/a/b", "folder/moved", "made/tree/file"):
        bed.node("test", "-e", f"{tree}/{name}")
    found = bed.node("find", tree, "-maxdepth", "1", "-type", "f", "-printf", "%f %m\n").split("\n")
    assert sorted(found)[1:] == ["bytes 644", "copied 644", "file 644", "mode 600", "owner 644", "t.data 644"]
    assert bed.node("readlink", f"{tree}/made/link") == "no/where\n"


def test_upload_and_download(bed: Bed, door: Door, tree: str) -> None:
    """Bytes there and back, with the headers of a download."""
    content = bytes(range(256)) * 1000
    sent = door.upload({"targetPath": f"{tree}/folder"}, content, name="new file")
    assert told(sent) == (201, {"description": "File upload successful", "output": ""}, {})
    digest = hashlib.sha256(content).hexdigest()
    assert bed.node("sha256sum", f"{tree}/folder/new file").split()[0] == digest
    for path, whole in ((f"{tree}/folder/new file", content), (f"{tree}/bytes", b"\0\xff")):
        back = door.ask("GET", "/utilities/download", {"sourcePath": path})
        assert (back.status, back.body == whole) == (200, True)
        assert back.headers["Content-Type"] == "application/octet-stream"
        assert back.headers["Content-Length"] == str(len(whole))
    assert back.headers["Content-Disposition"] == "attachment; filename=bytes"


def test_status(door: Door) -> None:
    """The acknowledgement needs no machine, but a token."""
    assert told(door.ask("GET", "/utilities/status", machine=None)) == (200, {"success": "ack"}, {})
    door.unauthenticated("GET", "/utilities/status", machine=None)


# ---- what is wrong before a node is asked ----


@pytest.mark.parametrize(("method", "route", "operation", "_paths"), ROUTES)
def test_token_and_machine(door: Door, method: str, route: str, operation: str, _paths: Any) -> None:
    """Looked at in this order, before any field (3.5)."""
    path = f"/utilities/{route}"
    door.unauthenticated(method, path, machine=None)
    assert told(door.ask(method, path, machine=None)) == (400, {"description": "No machine name given"}, {})
    body = {"description": f"Error on {operation} operation", "error": "Machine does not exist"}
    assert told(door.ask(method, path, machine="nowhere")) == (400, body, NO_SUCH_MACHINE)


@pytest.mark.parametrize(
    ("method", "route", "operation", "paths", "field"), [(*row, field) for row in ROUTES for field in row[3]]
)
def test_paths(door: Door, method: str, route: str, operation: str, paths: tuple[str, ...], field: str) -> None:
    """Not there, empty, or with a character that the contract refuses."""
    others = {name: "/scratch/alice/nothing" for name in paths if name != field}
    for value, outcome in ((None, "not specified"), ("", "is empty"), ("/a;b", "has invalid char"), ("/a\nb", "has invalid char")):  # fmt: skip
        given = others if value is None else others | {field: value}
        body = {"description": f"Error on {operation} operation", "error": f"'{field}' {outcome}"}
        assert told(door.ask(method, f"/utilities/{route}", given)) == (400, body, {})


def test_symlink_without_a_link(door: Door) -> None:
    """Its second path has words of its own."""
    for value, outcome in ((None, "not specified"), ("", "is empty"), ("a|b", "has invalid char")):
        form = {"targetPath": "x"} | ({} if value is None else {"linkPath": value})
        body = {"description": "Failed to create symlink", "error": f"'linkPath' value {outcome}"}
        assert told(door.ask("POST", "/utilities/symlink", form)) == (400, body, {})


@pytest.mark.parametrize(
    ("fields", "content", "name", "description", "error"),
    [
        ({}, b"x", "f", "Error on upload operation", "'targetPath' not specified"),
        ({"targetPath": ""}, b"x", "f", "Error on upload operation", "'targetPath' is empty"),
        ({"targetPath": "/a;b"}, b"x", "f", "Error on upload operation", "'targetPath' has invalid char"),
        ({"targetPath": "/scratch/alice"}, None, "", "Failed to upload file", "No file in query"),
        ({"targetPath": "/scratch/alice"}, b"x", "../up", "Failed to upload file", "Filename has invalid char"),
        ({"targetPath": "/scratch/alice"}, b"x", "..", "Failed to upload file", "Filename has invalid char"),
        ({"targetPath": "/scratch/alice"}, b"x", "a;b", "Failed to upload file", "Filename has invalid char"),
    ],
)
def test_uploads_that_lack_something(
    door: Door, fields: dict[str, str], content: bytes | None, name: str, description: str, error: str
) -> None:
    """A folder, a file, a name that is one component (D15)."""
    answer = told(door.upload(fields, content, name=name))
    assert answer == (400, {"description": description, "error": error}, {})


def test_bodies_over_the_limit(door: Door, tree: str) -> None:
    """413 in the contract's words, for a file and for any other form; nothing is written."""
    body = {"description": f"Failed to upload file. The file is over {5 * 2**20} bytes"}
    answer = door.upload({"targetPath": f"{tree}/folder"}, bytes(5 * 2**20 + 1), name="large")
    assert told(answer) == (413, body, {})
    form = {"targetPath": f"{tree}/folder/large", "padding": "x" * (5 * 2**20)}
    assert told(door.ask("POST", "/utilities/mkdir", form)) == (413, body, {})
    gone = door.ask("GET", "/utilities/stat", {"targetPath": f"{tree}/folder/large"})
    assert gone.headers["X-Not-Found"] == "sourcePath not found"
