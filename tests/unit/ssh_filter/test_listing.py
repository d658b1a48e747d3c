"""fs.ls: the same as ls(1) shows, and its bounds."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from goldcrest.commands.listing import entries
from unit.ssh_filter.running import listing, next_step, run

pytestmark = pytest.mark.unit

LINE = re.compile(r"(.)(\S+) +(\d+) +(\S+) +(\S+) +(\d+|\d+, +\d+) (\d+) \"(.*?)\"( -> \"(.*)\")?")


@pytest.fixture
def zoo(home: Path) -> Path:
    """One of everything that a folder can have."""
    (home / "file").write_bytes(b"12345")
    (home / "folder").mkdir(mode=0o1777)
    (home / "folder").chmod(0o3775)
    (home / "folder" / "inner").write_bytes(b"")
    (home / "folder" / "deeper").mkdir()
    (home / "folder" / "deeper" / "leaf").symlink_to("/nowhere")
    (home / "link").symlink_to("folder")
    (home / "dangling").symlink_to("no where")
    os.mkfifo(home / "pipe", 0o600)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(home / "socket"))
    (home / ".hidden").write_bytes(b"")
    (home / "set").write_bytes(b"")
    (home / "set").chmod(0o6644)
    (home / "sticky").write_bytes(b"")
    (home / "sticky").chmod(0o1001)
    for name in (
        b" leading and trailing ",
        b"--help",
        b"'quotes\" $(x)",
        b"new\nline",
        b"\x1b[2J",
        b"\xff\\xff",
        "ü😀".encode(),
        b"x" * 255,
    ):
        (home / os.fsdecode(name)).touch()
    if os.geteuid() == 0:
        os.mknod(home / "null", 0o020666, os.makedev(1, 3))
        os.chown(home / "file", 12345, 54321)
    return home


def by_ls(path: Path, *options: str) -> list[tuple[str, ...]]:
    """Type, permissions, links, user, group, size or device, time, name in ls' C form, target."""
    # The sticky bits of an ACL are looked at apart: the file system of a test may have none.
    done = subprocess.run(
        ["ls", "-l", "--quoting-style=c", "--time-style=+%s", *options, "--", path],
        capture_output=True, check=True, env={"LC_ALL": "C"},
    )  # fmt: skip
    found = [LINE.fullmatch(line) for line in done.stdout.decode("latin1").splitlines()]
    return [(*each.groups()[:8], each.group(10) or "") for each in found if each]


def in_form_of_ls(f: Any, content: bytes) -> list[tuple[str, ...]]:
    def quoted(text: str) -> str:
        return subprocess_quoted(f.name_bytes(text))

    return [
        (
            each.type, each.permissions, str(each.links), each.user, each.group,
            f"{each.device[0]}, {each.device[1]:>3}" if each.device else str(each.size),
            str(each.mtime), quoted(each.name), quoted(each.target),
        )
        for each in entries(content)
    ]  # fmt: skip


def subprocess_quoted(name: bytes) -> str:
    """A name in ls' C form (in the C locale)."""
    plain = {0x0A: "\\n", 0x22: '\\"', 0x5C: "\\\\"}
    return "".join(plain.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in name)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [({}, ()), ({"hidden": True}, ("-A",)), ({"numericIds": True}, ("-n",)), ({"sorted": False}, ("-U",))],
)
def test_the_same_as_ls(f: Any, session: Any, zoo: Path, arguments: dict[str, bool], options: tuple[str, ...]) -> None:
    """Each column of each kind of file, and the order."""
    given = {
        "hidden": False,
        "recursive": False,
        "dereference": False,
        "numericIds": False,
        "sorted": True,
        **arguments,
    }
    _, content = run(f, session, "fs.ls", path=zoo, limit=1000, **given)
    theirs = by_ls(zoo, *options)
    assert in_form_of_ls(f, content) == [
        (*row[:5], re.sub(", +", ", ", row[5]).replace("1, 3", "1,   3"), *row[6:]) for row in theirs
    ]
    assert len(theirs) >= 16


def test_links_followed(f: Any, session: Any, zoo: Path) -> None:
    """Attributes of what they lead to; one that leads nowhere or out of the roots stays itself, and is told."""
    (zoo / "out").symlink_to(zoo.parent)
    answer, found = listing(f, session, zoo, dereference=True)
    rows = {each["name"]: each for each in found}
    assert (rows["link"]["type"], rows["link"]["mode"]) == ("d", 0o3775)
    assert "target" not in rows["link"]
    assert rows["dangling"]["type"] == rows["out"]["type"] == "l"
    assert sorted((each["path"], each["name"]) for each in answer["skipped"]) == [
        ("dangling", "ENOENT"),
        ("out", "EPERM"),
    ]
    assert answer["skippedCount"] == 2


def test_recursive(f: Any, session: Any, zoo: Path) -> None:
    """A folder's own entries, then those of each of its folders, named from where it began; links are not entered."""
    (zoo / "another").mkdir()
    (zoo / "another" / "x").write_bytes(b"")
    _, found = listing(f, session, zoo, recursive=True)
    names = [each["name"] for each in found]
    deep = [name for name in names if "/" in name]
    assert deep == ["another/x", "folder/deeper", "folder/inner", "folder/deeper/leaf"]
    assert names.index("another/x") == len(names) - 4
    _, found = listing(f, session, zoo, recursive=True, dereference=True)
    assert "link/deeper/leaf" in [each["name"] for each in found]


def test_links_in_a_circle(f: Any, session: Any, home: Path) -> None:
    """Followed once, and told."""
    (home / "a").mkdir()
    (home / "a" / "back").symlink_to("../a")
    (home / "a" / "up").symlink_to("..")
    answer, found = listing(f, session, home, recursive=True, dereference=True)
    assert len(found) == 3
    assert {each["name"] for each in answer["skipped"]} == {"ELOOP"}


def test_what_is_no_folder(f: Any, session: Any, zoo: Path) -> None:
    """It is listed as itself, named as it was asked for; a link too, unless there is a slash behind it."""
    for name, kind in (("file", "-"), ("link", "l"), ("pipe", "p"), ("dangling", "l")):
        answer, (entry,) = listing(f, session, zoo / name)
        assert (entry["name"], entry["type"], answer["directory"], answer["count"]) == (str(zoo / name), kind, False, 1)
    assert listing(f, session, "link")[1][0]["target"] == "folder"
    answer, found = listing(f, session, "link/")
    assert (answer["directory"], [each["name"] for each in found]) == (True, ["deeper", "inner"])


def test_access_lists(f: Any, session: Any, home: Path) -> None:
    """Marked as ls marks them, also a default one of a folder."""
    for name in ("file", "plain"):
        (home / name).write_bytes(b"")
    for name in ("folder", "bare"):
        (home / name).mkdir()
    # What `setfacl -m u:1:r` writes: version 2, and entries of tag, permissions, id (acl(5), linux/posix_acl_xattr.h).
    entries = ((1, 6, -1), (2, 4, 1), (4, 4, -1), (16, 4, -1), (32, 4, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(home / "file", "system.posix_acl_access", acl)
    os.setxattr(home / "folder", "system.posix_acl_default", acl)
    marked = {each["name"]: each["acl"] for each in listing(f, session, home)[1]}
    assert marked == {"file": True, "plain": False, "folder": True, "bare": False}
    assert {row[7]: row[1].endswith("+") for row in by_ls(home)} == marked
    assert listing(f, session, "file")[1][0]["acl"] is True


def test_more_than_the_limit(f: Any, session: Any, home: Path) -> None:
    """An error that says the limit: of the request, and of the node, also where hidden ones would not be shown."""
    for number in range(30):
        (home / f".{number}").write_bytes(b"")
    (home / "sub").mkdir()
    for number in range(5):
        (home / "sub" / str(number)).write_bytes(b"")
    assert listing(f, session, home, limit=1)[0]["count"] == 1
    for arguments in ({"limit": 30, "hidden": True}, {"limit": 5, "recursive": True}):
        with pytest.raises(f.Failed) as failed:
            listing(f, session, home, **arguments)
        assert (failed.value.kind, failed.value.details) == ("limit", {"limit": arguments["limit"]})
    session.policy.entries_limit = 20
    with pytest.raises(f.Failed) as failed:
        listing(f, session, home)
    assert failed.value.details == {"limit": 20}


def test_a_large_folder_goes_in_steps(f: Any, session: Any, home: Path) -> None:
    """Others get their turn, and all entries come."""
    for number in range(6000):
        (home / f"{number:05}").touch()
    steps = f.fs_ls(
        session,
        {
            "path": str(home),
            "limit": 10000,
            "hidden": False,
            "recursive": False,
            "dereference": False,
            "numericIds": False,
            "sorted": True,
        },
        b"",
    )
    kinds, content = [], b""
    while not isinstance(step := next_step(steps, None), StopIteration):
        kinds.append(step is f.GO_ON)
        content += b"" if step is f.GO_ON else step
    assert kinds.count(True) > 20
    assert [entry.name for entry in entries(content)] == [f"{number:05}" for number in range(6000)]


def test_entries_that_go_away_meanwhile(f: Any, session: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not listed, and nothing else is lost."""
    for name in "abc":
        (home / name).write_bytes(b"")
    some = f.Lister._slice

    def and_remove(*args: Any) -> None:
        (home / "b").unlink()
        some(*args)

    monkeypatch.setattr(f.Lister, "_slice", and_remove)
    answer, found = listing(f, session, home)
    assert ([each["name"] for each in found], answer["skippedCount"]) == (["a", "c"], 0)
