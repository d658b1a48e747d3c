"""Lists of folders as the node sends them, read."""

from __future__ import annotations

import json

import pytest

from goldcrest.commands.listing import Entry, Listed, Skipped, entries

pytestmark = pytest.mark.unit

LINE = {
    "name": "a b\n\\xff", "type": "l", "target": "c", "mode": 0o777, "acl": False, "links": 1,
    "user": "alice", "group": "1000", "size": 5, "mtime": -1,
}  # fmt: skip


def test_entries() -> None:
    """One a line, with what the node says; a device has its numbers."""
    device = {**LINE, "type": "c", "rdev": [1, 3]}
    first, second = entries("".join(json.dumps(line) + "\n" for line in (LINE, device)).encode())
    assert first == Entry(
        name="a b\n\\xff", type="l", target="c", mode=0o777, acl=False, links=1,
        user="alice", group="1000", size=5, mtime=-1, device=None,
    )  # fmt: skip
    assert second.device == (1, 3)
    assert list(entries(b"")) == []


@pytest.mark.parametrize("content", [b"x\n", b"[]\n", b"{}\n", b'{"name": 5}\n', b"null\n"])
def test_a_node_that_says_something_else(content: bytes) -> None:
    """No row is guessed."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        list(entries(content))


@pytest.mark.parametrize(
    ("mode", "acl", "text"),
    [
        (0o644, False, "rw-r--r--"),
        (0o1777, False, "rwxrwxrwt"),
        (0o7000, True, "--S--S--T+"),
        (0o6751, False, "rwsr-s--x"),
    ],
)
def test_permissions(mode: int, acl: bool, text: str) -> None:
    """As ls -l shows them."""
    (entry,) = entries(json.dumps({**LINE, "mode": mode, "acl": acl}).encode())
    assert entry.permissions == text


def test_answer() -> None:
    """Count, whether it is a folder, and what could not be read."""
    answer = {
        "count": 2,
        "directory": True,
        "skipped": [{"path": "x", "errno": 13, "name": "EACCES"}],
        "skippedCount": 7,
    }
    assert Listed.of(answer) == Listed(2, True, (Skipped("x", "EACCES"),), 7)
