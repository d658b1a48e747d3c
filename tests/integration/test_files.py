"""File operations through token, delegation, policy, sshd and filter, as a user of the bed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator

import pytest

from bed import Bed
from goldcrest.commands import (
    ArchiveFormat,
    ChangeMode,
    Compress,
    Copy,
    Extract,
    FileType,
    ListDirectory,
    MakeDirectory,
    MakeLink,
    Payload,
    Remove,
    Rename,
    StatFile,
    Tail,
    WriteFile,
)
from goldcrest.commands.listing import entries
from goldcrest.errors import CommandFailed
from integration.test_wire import pool_of, where

pytestmark = pytest.mark.integration


async def test_a_tree_in_the_home_folder(bed: Bed) -> None:
    """Relative paths, from making to removing, over the site's file systems; what the node says is what programs there say."""
    name = bed.name("tree")
    home = bed.node("sh", "-c", "echo ~alice").strip()
    scratch = f"/scratch/alice/{name}"
    content = "".join(f"line {number}\n" for number in range(1000)).encode()
    async with pool_of(bed) as pool:
        at = where(bed)
        await pool.run(MakeDirectory(name, mode=0o750), **at)
        write = WriteFile(f"{name}/odd \\xff name", Payload.of(content), mode=0o640)
        await pool.run(write, payload=content, **at)
        await pool.run(MakeLink("odd \\xff name", f"{name}/link"), **at)
        changed = await pool.run(ChangeMode(f"{name}/odd \\xff name", "g-r,u+x"), **at)
        assert changed.result == {"before": 0o640, "after": 0o700}
        listed = await pool.run(ListDirectory(path=name, limit=100), **at)
        link, odd = entries(listed.data)
        assert (link.type, link.target, odd.name, odd.user, odd.size) == (
            "l", "odd \\xff name", "odd \\xff name", "alice", len(content),
        )  # fmt: skip
        tail = await pool.run(Tail(path=f"{name}/link", limit=1000, lines=2), **at)
        assert tail.data == b"line 998\nline 999\n"
        said = bed.node("file", "-b", f"{home}/{name}").strip()
        assert (await pool.run(FileType(name), **at)).result == {"text": said} == {"text": "directory"}
        await pool.run(Compress(name, f"{name}.tgz"), **at)
        await pool.run(Copy(name, scratch), **at)
        await pool.run(Extract(f"{name}.tgz", scratch, ArchiveFormat.TAR_GZIP), **at)
        kept = ("-type", "f", "-size", f"{len(content)}c", "-user", "alice", "-perm", "0700")
        assert bed.node("find", scratch, *kept, "-printf", "x") == "xx"  # the copy, and what was unpacked into it
        await pool.run(Rename(scratch, f"{name}/moved"), **at)
        with pytest.raises(CommandFailed) as failed:
            await pool.run(StatFile(scratch), **at)
        assert failed.value.errno_name == "ENOENT"
        removed = await pool.run(Remove(name), **at)
        assert removed.result == {"removed": 9}
        await pool.run(Remove(f"{name}.tgz"), **at)
    assert name not in bed.node("ls", home)


async def test_an_upload_larger_than_a_payload(bed: Bed) -> None:
    """40 MiB in one command, as its bytes come."""
    piece = os.urandom(2**20)
    digest = hashlib.sha256(piece * 40).hexdigest()
    path = f"/scratch/alice/{bed.name('large')}"

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield piece

    async with pool_of(bed) as pool:
        answer = await pool.upload(WriteFile(path, Payload(digest, 40 * 2**20)), pieces(), **where(bed))
        assert answer.result == {"size": 40 * 2**20, "sha256": digest}
        assert bed.node("sha256sum", path).split()[0] == digest
        await pool.run(Remove(path), **where(bed))
