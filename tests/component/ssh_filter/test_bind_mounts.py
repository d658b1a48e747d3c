"""A folder that two paths lead to, as where /home is a bind mount of /lustre/home: no name of a file is taken for a second one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from component.ssh_filter.node import UID, Channel, Node

pytestmark = pytest.mark.component

# Its mounts end with it. PATH of the filter leads nowhere, so all programs are named in full.
_MOUNTED = '"$1" --bind "$2" "$3" && "$1" --bind "$4" "$5" && shift 5 && exec "$@"'


def program(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} of util-linux is needed"
    return path


@pytest.fixture
def channel(node: Node) -> Channel:
    """Home is also `again` below scratch, and home/d/deep also scratch/deep; both are roots."""
    deep = node.home / "d" / "deep"
    deep.mkdir(parents=True)
    (deep / "y").write_bytes(b"y")
    (node.home / "a").write_bytes(b"a")
    (node.home / "b").write_bytes(b"b")
    (node.home / "second of b").hardlink_to(node.home / "b")
    (node.scratch / "again").mkdir()
    (node.scratch / "deep").mkdir()
    for path in (*node.home.rglob("*"), *node.scratch.rglob("*")):
        os.chown(path, UID, UID)
    channel = node.start(
        within=(
            *(program("unshare"), "--mount", "/bin/sh", "-c", _MOUNTED, "sh", program("mount")),
            *(str(node.home), str(node.scratch / "again"), str(deep), str(node.scratch / "deep")),
            *(program("setpriv"), f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"),
        )
    )
    channel.read_hello()
    return channel


def picture(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() if path.is_file() else b"" for path in sorted(top.rglob("*"))}


def test_rename_to_the_same_entry(node: Node, channel: Channel) -> None:
    """An error as of mv(1), and the file is there; with one link and with two; and a folder."""
    again, before = node.scratch / "again", picture(node.home)
    assert channel.ask("fs.stat", {"path": str(again / "a"), "dereference": True})["size"] == 1  # it is mounted
    for name in ("a", "b", "d"):
        for source, target in ((node.home, again), (again, node.home)):
            told = channel.fail(
                "fs.rename", {"source": str(source / name), "target": f"{target}/{name}".removesuffix("/d")}
            )
            assert told["kind"] == "state"
            assert "are the same file" in told["message"]
            assert picture(node.home) == before


def test_rename_of_one_of_two_names(node: Node, channel: Channel) -> None:
    """Through the other mount as well, the first goes and the other stays."""
    again = node.scratch / "again"
    channel.ask("fs.rename", {"source": str(node.home / "b"), "target": str(again / "second of b")})
    assert not (node.home / "b").exists()
    assert (node.home / "second of b").read_bytes() == b"b"
    channel.ask("fs.rename", {"source": str(node.home / "a"), "target": str(again / "new")})
    assert not (node.home / "a").exists()
    assert (node.home / "new").read_bytes() == b"a"


@pytest.mark.parametrize("target", ["again/d/new", "again/d/deep/new", "deep/new"])
def test_a_folder_into_itself(node: Node, channel: Channel, target: str) -> None:
    """Neither moved nor lost: to another mount it would be copied, and then removed with its copy."""
    told = channel.fail("fs.rename", {"source": str(node.home / "d"), "target": str(node.scratch / target)})
    assert (told["kind"], told["name"]) == ("os", "EINVAL")
    assert (node.home / "d" / "deep" / "y").read_bytes() == b"y"
