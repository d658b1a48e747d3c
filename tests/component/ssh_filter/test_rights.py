"""File operations of a user who may not do everything: what is told, and what happens with the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from component.ssh_filter.node import ANSWER, UID, Node

pytestmark = pytest.mark.component


@pytest.fixture
def tree(node: Node) -> Path:
    """A tree of the user, with a folder, a file and a full folder of root in it."""
    tree = node.home / "tree"
    for name in ("closed", "listed", "open", "roots"):
        (tree / name).mkdir(parents=True)
        (tree / name / "x").write_bytes(b"x")
    (tree / "secret").write_bytes(b"secret")
    for path in (tree, *tree.rglob("*")):
        os.chown(path, UID, UID)
    os.chown(tree / "secret", 0, 0)
    (tree / "secret").chmod(0o600)
    for path in (tree / "roots", tree / "roots" / "x"):
        os.chown(path, 0, 0)
    (tree / "closed").chmod(0)
    (tree / "listed").chmod(0o600)  # names can be read, and nothing behind them
    return tree


def names(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def test_list(node: Node, tree: Path) -> None:
    """What cannot be looked into is told, and the rest is listed."""
    args = {"path": str(tree), "limit": 100, "sorted": True, "recursive": True}
    got = node.open().call("fs.ls", {**args, **dict.fromkeys(("hidden", "dereference", "numericIds"), False)})
    assert got.type == ANSWER
    *lines, last = [json.loads(line) for line in got.body.splitlines()]
    assert [line["name"] for line in lines] == ["closed", "listed", "open", "roots", "secret", "open/x", "roots/x"]
    assert last["directory"] is True
    assert [(each["path"], each["name"]) for each in last["skipped"]] == [("closed", "EACCES"), ("listed", "EACCES")]
    assert (last["count"], last["skippedCount"]) == (7, 2)


@pytest.mark.parametrize(
    ("op", "args", "path", "error"),
    [
        ("fs.head", {"path": "secret", "limit": 10, "skip": False}, "secret", "EACCES"),
        ("fs.checksum", {"path": "secret", "limit": 10}, "secret", "EACCES"),
        ("fs.type", {"path": "secret"}, "secret", "EACCES"),
        ("fs.ls", {"path": "closed", "limit": 9, **dict.fromkeys(("hidden", "recursive", "dereference", "numericIds", "sorted"), False)}, "closed", "EACCES"),
        ("fs.stat", {"path": "closed/x", "dereference": True}, "closed/x", "EACCES"),
        ("fs.copy", {"source": "secret", "target": "new"}, "secret", "EACCES"),
        ("fs.copy", {"source": "open", "target": "closed/new"}, "closed/new", "EACCES"),
        ("fs.copy", {"source": "closed", "target": "new"}, "closed", "EACCES"),
        ("fs.copy", {"source": "open/x", "target": "roots"}, "roots/x", "EACCES"),
        ("fs.rename", {"source": "closed/x", "target": "new"}, "closed/x", "EACCES"),
        ("fs.rename", {"source": "open", "target": "roots"}, "roots/open", "EACCES"),
        ("fs.symlink", {"path": "roots/y", "target": "x"}, "roots/y", "EACCES"),
        ("fs.chmod", {"path": "secret", "mode": "0644"}, "secret", "EPERM"),
        ("fs.chown", {"path": "open/x", "owner": "root"}, "open/x", "EPERM"),
        ("fs.compress", {"source": "secret", "target": "new", "dereference": False}, "secret", "EACCES"),
        ("fs.compress", {"source": "open", "target": "roots/new", "dereference": False}, "roots/new", "EACCES"),
        ("fs.extract", {"source": "secret", "target": ".", "format": "tar"}, "secret", "EACCES"),
        ("fs.rm", {"path": "roots/x"}, "roots/x", "EACCES"),
    ],
)  # fmt: skip
def test_what_is_not_allowed(node: Node, tree: Path, op: str, args: dict[str, Any], path: str, error: str) -> None:
    """The errno, and which of the paths it is about; nothing has changed."""
    before = names(tree)
    given = {
        name: f"{tree}/{value}" if name in ("path", "source") or (name == "target" and op != "fs.symlink") else value
        for name, value in args.items()
    }
    said = node.open().fail(op, given)
    assert (said["kind"], said["name"], said["path"]) == ("os", error, f"{tree}/{path}")
    assert names(tree) == before


def test_copy_without_what_cannot_be_read(node: Node, tree: Path) -> None:
    """All else is there, and the first error is the command's."""
    said = node.open().fail("fs.copy", {"source": str(tree), "target": f"{node.home}/copy"})
    assert said["name"] == "EACCES"
    assert said["path"] in {f"{tree}/{name}" for name in ("closed", "listed", "secret")}
    assert names(node.home / "copy") == ["open", "open/x", "roots", "roots/x"]


def test_remove_what_can_be_removed(node: Node, tree: Path) -> None:
    """Also a file of root in a folder of the user; what cannot go stays, and is told."""
    said = node.open().fail("fs.rm", {"path": str(tree)})
    assert (said["kind"], said["name"]) == ("os", "EACCES")
    assert said["path"] in {f"{tree}/{name}" for name in ("closed", "listed", "roots/x")}
    assert names(tree) == ["closed", "closed/x", "listed", "listed/x", "roots", "roots/x"]
    (tree / "closed" / "x").unlink()
    channel = node.open()
    # An empty folder goes although nobody may look into it.
    assert channel.ask("fs.rm", {"path": f"{tree}/closed"}) == {"removed": 1}


def test_no_compressed_part(node: Node, tree: Path) -> None:
    """An archive without what could not be read would pass for a whole one."""
    said = node.open().fail("fs.compress", {"source": str(tree), "target": f"{node.home}/a.tgz", "dereference": False})
    assert said["name"] == "EACCES"
    assert sorted(path.name for path in node.home.iterdir()) == ["tree"]
