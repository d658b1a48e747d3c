from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.blocked import BlockList
from goldcrest.errors import Denied, InvalidInput, PolicyUnavailable
from goldcrest_delegation.blocking import (
    COMPLAIN_SECONDS,
    OPA_SECONDS,
    BlockFile,
    Blocks,
    NoBlockFile,
    parse_block_list,
)

pytestmark = pytest.mark.unit

GOOD = """\
# left on Friday
user: mallory
requester: system:serviceaccount:argocd:controller   # the whole controller
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "blocked"
    path.write_text(GOOD)
    path.chmod(0o644)
    return path


def is_blocked(blocks: BlockList, *, requester: str = "alice", user: str = "alice") -> bool:
    try:
        blocks.check(requester=requester, user=user)
    except Denied as error:
        assert error.code == "Blocked"
        return True
    return False


def test_who_is_blocked() -> None:
    """A Unix user, whoever asks for it; a requester, as whomever; nobody else, and not by the other word."""
    blocks = parse_block_list(GOOD.encode())
    assert is_blocked(blocks, user="mallory")
    assert is_blocked(blocks, requester="system:serviceaccount:argocd:controller")
    assert not is_blocked(blocks)
    assert not is_blocked(blocks, requester="mallory")


@pytest.mark.parametrize("text", ["mallory", "user:", "users: mallory", "user: a b", "user: \xff\n"])
def test_wrong_lines_are_named(text: str) -> None:
    """What is no line of the list is refused, with its number."""
    with pytest.raises(InvalidInput, match=r"line 2|UTF-8"):
        parse_block_list(b"# first\n" + text.encode("latin-1"))


@given(data=st.binary(max_size=200))
def test_anything(data: bytes) -> None:
    """Whatever is in the file is read or refused; nothing else happens."""
    with contextlib.suppress(InvalidInput):
        parse_block_list(data)


def test_a_change_counts_at_once(path: Path) -> None:
    """Each look compares with the file: also when it is written in place, replaced, or changed twice in one tick of the clock."""
    blocks = BlockFile(path)
    assert not is_blocked(blocks.now())
    path.write_text(GOOD + "user: alice\n")
    assert is_blocked(blocks.now())
    same_tick = path.stat()
    path.write_text(GOOD + "user: carol\n")
    os.utime(path, ns=(same_tick.st_atime_ns, same_tick.st_mtime_ns))
    assert not is_blocked(blocks.now())
    new = path.with_name("new")
    new.write_text("requester: alice\n")
    new.chmod(0o600)
    new.rename(path)
    assert is_blocked(blocks.now(), user="bob")


@pytest.mark.parametrize("damage", ["gone", "text", "writable", "folder", "large"])
def test_the_last_good_list_stays(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is damaged while we run unblocks nobody and blocks nobody else; the log complains until it is mended."""
    clock = [1e9]
    blocks = BlockFile(path, clock=lambda: clock[0])
    caplog.clear()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "gone":
        path.write_text({"text": "nonsense\n", "large": "#" * 2**21}.get(damage, "user: alice\n"))
        path.chmod(0o666 if damage == "writable" else 0o644)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert is_blocked(blocks.now(), user="mallory")
            assert not is_blocked(blocks.now())
        assert caplog.messages == ["delegation.blocklist.wrong"]
        assert str(path) in str(caplog.records[0].__dict__["fields"])
        clock[0] += COMPLAIN_SECONDS
        blocks.now()
        assert caplog.messages == ["delegation.blocklist.wrong"] * 2
        if damage == "folder":
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_text("user: alice\n")
        path.chmod(0o644)
        assert is_blocked(blocks.now())
        assert not is_blocked(blocks.now(), user="mallory")
        assert caplog.messages[-1] == "delegation.blocklist.read"


def test_a_start_needs_a_good_list(path: Path) -> None:
    """Configured and missing, wrong or writable by others: no start, with what to do."""
    path.chmod(0o646)
    with pytest.raises(InvalidInput, match="chmod go-w"):
        BlockFile(path)
    path.write_text("nonsense")
    path.chmod(0o644)
    with pytest.raises(InvalidInput, match="blocked: line 1: neither"):
        BlockFile(path)
    path.unlink()
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        BlockFile(path)


class Opa:
    """The names in OPA's data, or its silence."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)
        self.silent = False
        self.hangs = False
        self.asked = 0

    async def blocked(self) -> frozenset[str]:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        if self.silent:
            raise PolicyUnavailable("OPA does not answer")
        return self.names


async def test_both_lists_count(path: Path) -> None:
    """A name in OPA's data counts as a user and as a requester, beside the lines of the file."""
    blocks = await Blocks(BlockFile(path), Opa("eve")).now()
    assert is_blocked(blocks, user="mallory")
    assert is_blocked(blocks, user="eve")
    assert is_blocked(blocks, requester="eve", user="bob")
    assert not is_blocked(blocks)


async def test_opa_is_asked_every_two_seconds(path: Path) -> None:
    """Not for every signature; the file counts at once; and who needs the newest gets it. Many at once ask once."""
    clock, opa = [100.0], Opa()
    blocks = Blocks(BlockFile(path), opa, clock=lambda: clock[0])
    await asyncio.gather(*(blocks.now() for _ in range(10)))
    assert opa.asked == 1
    opa.names = frozenset({"eve"})
    path.write_text("user: carol\n")  # noqa: ASYNC240
    clock[0] += OPA_SECONDS
    assert is_blocked(await blocks.now(), user="carol")
    assert not is_blocked(await blocks.now(), user="eve")
    clock[0] += 0.01
    assert is_blocked(await blocks.now(), user="eve")
    opa.names = frozenset()
    clock[0] += 0.01
    assert not is_blocked(await blocks.newest(), user="eve")


@pytest.mark.parametrize("how", ["silent", "hangs"])
async def test_opa_is_silent(path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its last list stays in force together with the file, and the log says so once; nobody waits for it again and again."""
    clock, opa = [100.0], Opa("eve")
    blocks = Blocks(BlockFile(path), opa, clock=lambda: clock[0])
    await blocks.now()
    setattr(opa, how, True)
    opa.names = frozenset()
    caplog.clear()
    for _ in range(2):
        clock[0] += OPA_SECONDS + 1
        for _ in range(3):
            now = await blocks.now()
            assert is_blocked(now, user="eve")
            assert is_blocked(now, user="mallory")
    assert opa.asked == 3
    assert caplog.messages == ["delegation.blocklist.opa_silent"]
    setattr(opa, how, False)
    clock[0] += OPA_SECONDS + 1
    assert not is_blocked(await blocks.now(), user="eve")
    assert caplog.messages[-1] == "delegation.blocklist.opa_read"


async def test_no_file() -> None:
    """OPA's data alone."""
    assert await Blocks(NoBlockFile(), Opa("eve")).now() == BlockList(frozenset({"eve"}), frozenset({"eve"}))
