"""The SSH client against the real ssh-filter."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from component.ssh.login_node import SYSTEM, RealFilter, Request, ScriptedFilter, spec_of
from goldcrest.authority import ByToken
from goldcrest.canonical import sha256_hex
from goldcrest.commands import (
    ChangeOwner,
    Checksum,
    Head,
    ListDirectory,
    MakeDirectory,
    Payload,
    ReadFile,
    Rename,
    StatFile,
    WhoAmI,
    WriteFile,
)
from goldcrest.commands.answers import PartRead
from goldcrest.commands.listing import Listed, entries
from goldcrest.errors import CommandFailed, CommandRefused, InvalidInput, OldFilter, SystemUnreachable, TooLarge
from goldcrest.ssh import channel as channel_module
from goldcrest.ssh.frames import Frame, data_frames
from goldcrest.telemetry import Trace

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(os.getuid() != 0, reason="the filter wants files of root"),
]

USER = "root"


@pytest.fixture
async def where(authority, start_node, tmp_path):
    """Keyword arguments that say which command to run where."""
    # Everything above the policy file must belong to root and be closed to others, or be sticky.
    tmp_path.chmod(0o755)
    node = await start_node(RealFilter(authority, tmp_path))
    return {"system": SYSTEM, "spec": spec_of(node), "user": USER, "basis": ByToken("token"), "trace": Trace.new()}


async def test_runs_a_command(where, make_pool):
    """A command is signed, sent, and its answer comes with the host it came from."""
    answer = await make_pool().run(WhoAmI(), **where)
    assert answer.result["user"] == USER
    assert answer.result["uid"] == 0
    assert answer.host == f"127.0.0.1:{where['spec'].hosts[0].port}"


async def test_fifty_at_once_share_two_channels(where, make_pool, authority, tmp_path):
    """Many commands at once are answered over one login and two channels, each with a certificate of its own."""
    for number in range(50):
        (tmp_path / f"file-{number}").write_bytes(b"x" * number)
    pool = make_pool()
    answers = await asyncio.gather(
        *(pool.run(StatFile(str(tmp_path / f"file-{number}")), **where) for number in range(50))
    )
    assert [answer.result["size"] for answer in answers] == list(range(50))
    assert authority.sessions == 1
    assert authority.commands == 50
    assert pool.snapshot().channels <= 2
    assert pool.snapshot().in_flight == 0


async def test_writes_five_mebibytes(where, make_pool, tmp_path):
    """A payload much larger than a frame and than the SSH window arrives as signed."""
    content = os.urandom(5 * 1024 * 1024)
    pool = make_pool()
    path, file = str(tmp_path / "large"), tmp_path / "large"
    answer = await pool.run(WriteFile(path, Payload.of(content), mode=0o600), payload=content, **where)
    assert answer.result["size"] == len(content)
    assert file.read_bytes() == content
    digest = (await pool.run(Checksum(path, limit=10**9), **where)).result["sha256"]
    assert digest == hashlib.sha256(content).hexdigest()


async def test_writes_go_on_beside_other_commands(where, make_pool, tmp_path):
    """Several large uploads and small commands at once on shared channels do not disturb each other."""
    contents = [os.urandom(3 * 1024 * 1024 + number) for number in range(8)]
    pool = make_pool()
    writes = [
        pool.run(WriteFile(str(tmp_path / f"up-{number}"), Payload.of(content)), payload=content, **where)
        for number, content in enumerate(contents)
    ]
    await asyncio.gather(*writes, *(pool.run(WhoAmI(), **where) for _ in range(30)))
    assert [(tmp_path / f"up-{number}").read_bytes() for number in range(8)] == contents


async def test_reads_a_small_file_at_once(where, make_pool, tmp_path):
    """`run` collects the bytes of a file beside its result."""
    (tmp_path / "small").write_bytes(b"some bytes")
    answer = await make_pool().run(ReadFile(str(tmp_path / "small"), offset=5, length=100), **where)
    assert answer.data == b"bytes"
    assert answer.result == {"size": 5, "fileSize": 10}


async def test_a_slow_reader_holds_the_node_back(where, make_pool, tmp_path):
    """A download of 48 MiB to a slow reader is complete, and a few MiB at most are in memory at any time."""
    size = 48 * 1024 * 1024
    block = os.urandom(1024 * 1024)
    expected = hashlib.sha256()
    with (tmp_path / "big").open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
            expected.update(block)
    pool = make_pool()
    await pool.run(WhoAmI(), **where)
    digest, received = hashlib.sha256(), 0
    tracemalloc.start()
    try:
        async with aclosing(pool.stream(ReadFile(str(tmp_path / "big"), length=size), **where)) as pieces:
            async for piece in pieces:
                digest.update(piece)
                received += len(piece)
                await asyncio.sleep(0.003)
                if received == len(piece):
                    await asyncio.sleep(0.5)  # time enough to send all of it
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == size
    assert digest.digest() == expected.digest()
    # The node in this process (asyncssh's server, its pipes) counts as well.
    assert most < 16 * 1024 * 1024


async def test_a_stalled_download_stops_nobody_else(where, make_pool, tmp_path):
    """While a reader stands still, commands of the same user and further downloads go on."""
    (tmp_path / "big").write_bytes(bytes(16 * 1024 * 1024))
    pool = make_pool()
    async with aclosing(pool.stream(ReadFile(str(tmp_path / "big")), **where)) as stalled:
        await anext(stalled)
        await pool.run(WhoAmI(), seconds=10, **where)
        async with aclosing(pool.stream(ReadFile(str(tmp_path / "big")), **where)) as second:
            total = 0
            async for piece in second:
                total += len(piece)
        assert total == 16 * 1024 * 1024
        assert pool.snapshot().streams == 1
    assert pool.snapshot().streams == 0
    assert (await pool.run(WhoAmI(), **where)).result["user"] == USER


async def test_says_what_the_node_says(where, make_pool, tmp_path):
    """A failing system call arrives with its name and path, a refused argument with the filter's reason."""
    pool = make_pool()
    with pytest.raises(CommandFailed) as failed:
        await pool.run(StatFile(str(tmp_path / "missing")), **where)
    assert (failed.value.kind, failed.value.errno_name) == ("os", "ENOENT")
    assert failed.value.path == str(tmp_path / "missing")
    await pool.run(MakeDirectory(str(tmp_path / "new")), **where)
    with pytest.raises(CommandFailed) as failed:
        await pool.run(MakeDirectory(str(tmp_path / "new")), **where)
    assert failed.value.errno_name == "EEXIST"
    with pytest.raises((CommandRefused, CommandFailed)):
        await pool.run(StatFile("/etc/passwd"), **where)


async def test_an_expired_certificate_is_renewed_only_once(where, make_pool, authority):
    """Certificates that are too old on arrival are refused by the node; a second one is tried and no third."""
    pool = make_pool()
    await pool.run(WhoAmI(), **where)
    authority.valid_before = -1
    with pytest.raises(CommandRefused) as refused:
        await pool.run(WhoAmI(), **where)
    assert refused.value.reason == "expired"
    assert authority.commands == 3
    authority.valid_before = 60
    assert (await pool.run(WhoAmI(), **where)).result["user"] == USER


async def test_filter_that_does_not_start_says_why(authority, start_node, make_pool, tmp_path):
    """When the node is not set up, the filter's own words reach the person who must mend it."""
    tmp_path.chmod(0o755)
    broken = RealFilter(authority, tmp_path)
    (tmp_path / "policy.json").chmod(0o666)
    node = await start_node(broken)
    with pytest.raises(Exception, match="must not be writable by others"):
        await make_pool().run(
            WhoAmI(), system=SYSTEM, spec=spec_of(node), user=USER, basis=ByToken("t"), trace=Trace.new()
        )


async def _pieces(content: bytes, *, size: int = 100_000, pause: float = 0) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        await asyncio.sleep(pause)
        yield content[start : start + size]


async def test_uploads_more_than_either_side_holds(where, make_pool, tmp_path):
    """A payload of several times the node's payload limit, in pieces that are made as they are sent; other commands go on."""
    piece = os.urandom(1_000_000)
    digest = hashlib.sha256()
    for _ in range(120):
        digest.update(piece)

    pool = make_pool()
    waiting: list[int] = []  # bytes that the client holds when it asks for the next piece

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(120):
            (connection,) = pool._connections._open.values()
            channels = [channel._channel for channel in connection._channels()]
            waiting.append(
                sum(channel.get_write_buffer_size() for channel in channels if channel is not None)
                + connection._ssh._transport.get_write_buffer_size()
            )
            yield piece

    command = WriteFile(str(tmp_path / "large"), Payload(digest.hexdigest(), 120_000_000), overwrite=True)
    await pool.run(WhoAmI(), **where)
    answer, *others = await asyncio.gather(
        pool.upload(command, endless(), **where), *(pool.run(WhoAmI(), **where) for _ in range(10))
    )
    assert answer.result == {"size": 120_000_000, "sha256": digest.hexdigest()}
    assert len(others) == 10
    # Not the memory of the process: the login node's sshd is in it too, and asyncssh's takes in what its reader has not asked for.
    assert len(waiting) == 120
    assert max(waiting) < 4 * 2**20
    with (tmp_path / "large").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.hexdigest()


@pytest.mark.parametrize("change", ["less", "more", "other bytes", "an error"])
async def test_uploads_that_are_not_what_was_signed(where, make_pool, tmp_path, change):
    """Refused here or on the node; nothing is left there, and the pool works on."""
    content = os.urandom(3_000_000)
    sent = {
        "less": content[:-1],
        "more": content + b"x",
        "other bytes": content[:-1] + bytes([content[-1] ^ 1]),
        "an error": content,
    }[change]

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in _pieces(sent):
            yield piece
            if change == "an error":
                raise RuntimeError("the client went away")

    pool = make_pool()
    command = WriteFile(str(tmp_path / "upload" / "x"), Payload.of(content))
    (tmp_path / "upload").mkdir()
    kind = {"other bytes": CommandRefused, "an error": RuntimeError}.get(change, InvalidInput)
    with pytest.raises(kind):
        await pool.upload(command, pieces(), **where)
    assert (await pool.run(WhoAmI(), **where)).result["user"] == USER
    await _until_empty(tmp_path / "upload")


@pytest.mark.parametrize("size", [0, 1, 262_144, 3_000_001])
async def test_uploads_of_which_nothing_is_known_before(where, make_pool, tmp_path, size):
    """The size follows the bytes, which may be as many as was signed; the node says the digest."""
    content = os.urandom(size)
    pool = make_pool()
    command = WriteFile(str(tmp_path / "x"), Payload.streamed(size))
    await pool.run(WhoAmI(), **where)
    answer = await pool.upload(command, _pieces(content), **where)
    assert answer.result == {"size": size, "sha256": sha256_hex(content)}
    assert (tmp_path / "x").read_bytes() == content
    with pytest.raises(InvalidInput, match="upload"):
        await pool.run(command, payload=content, **where)


async def test_a_slow_source_is_waited_for(where, make_pool, tmp_path):
    """Longer than the node may stand still: how long clients may pause is told elsewhere."""
    pool = make_pool()
    command = WriteFile(str(tmp_path / "x"), Payload.streamed(400_000))
    await pool.upload(WriteFile(str(tmp_path / "y"), Payload.streamed(1)), _pieces(b"x"), **where)  # there is a channel
    source = _pieces(bytes(400_000), size=200_000, pause=3.5)
    assert (await pool.upload(command, source, seconds=3, **where)).result["size"] == 400_000


@pytest.mark.parametrize("change", ["more", "an error", "bytes that got lost"])
async def test_streamed_uploads_that_come_to_nothing(where, make_pool, tmp_path, change, monkeypatch):
    """Too many bytes, a client that goes away, bytes that got lost on the way: no file, and the pool works on."""
    content = os.urandom(3_000_000)

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in _pieces(content):
            yield piece
            if change == "an error":
                raise RuntimeError("the client went away")

    if change == "bytes that got lost":
        monkeypatch.setattr(channel_module, "data_frames", _losing)
    pool = make_pool()
    (tmp_path / "upload").mkdir()
    command = WriteFile(str(tmp_path / "upload" / "x"), Payload.streamed(2_999_999 if change == "more" else 3_000_000))
    kind = {"bytes that got lost": CommandRefused, "an error": RuntimeError}.get(change, TooLarge)
    with pytest.raises(kind):
        await pool.upload(command, pieces(), **where)
    assert (await pool.run(WhoAmI(), **where)).result["user"] == USER
    await _until_empty(tmp_path / "upload")


def _losing(request_id: int, piece: bytes, *, start: int = 0) -> Iterator[Frame]:
    return data_frames(request_id, piece[1:], start=start)


async def test_an_older_filter_is_not_asked(start_node, make_pool):
    """To write a file, whose digest it would not say and whose mode it would not keep: said before a certificate is made and a piece asked for."""
    script = ScriptedFilter(_nothing, user=USER, features=())
    node = await start_node(script)
    where = {"system": SYSTEM, "spec": spec_of(node), "user": USER, "basis": ByToken("token"), "trace": Trace.new()}
    source = _pieces(b"x")
    with pytest.raises(OldFilter, match="update it"):
        await make_pool().upload(WriteFile("/scratch/x", Payload.streamed(10)), source, **where)
    with pytest.raises(OldFilter, match="update it"):
        await make_pool().run(WriteFile("/scratch/x", Payload.of(b"x")), payload=b"x", **where)
    assert script.seen == []
    assert [piece async for piece in source] == [b"x"]


async def _nothing(request: Request) -> None: ...


async def test_an_upload_that_the_node_cannot_write(where, make_pool, tmp_path):
    """The node's error comes while the payload is still on its way, and the rest is not asked for."""
    asked = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(500):
            asked += 1
            await asyncio.sleep(0.002)
            yield bytes(100_000)

    command = WriteFile(str(tmp_path / "missing" / "x"), Payload("0" * 64, 50_000_000))
    with pytest.raises(CommandFailed) as failed:
        await make_pool().upload(command, pieces(), **where)
    assert (failed.value.errno_name, failed.value.path) == ("ENOENT", str(tmp_path / "missing" / "x"))
    assert asked < 500


async def test_an_upload_that_stands_still(where, make_pool, tmp_path):
    """Its time is without a piece, not in all; then it is given up, with nothing left."""
    content = os.urandom(300_000)
    pool = make_pool()
    path = str(tmp_path / "x")
    await pool.upload(WriteFile(path, Payload.of(content)), _pieces(content), **where)  # there is a channel from now on
    command = WriteFile(path, Payload.of(content), overwrite=True)
    answer = await pool.upload(command, _pieces(content, size=50_000, pause=0.7), seconds=3, **where)
    assert answer.result["size"] == 300_000
    with pytest.raises(SystemUnreachable, match="within 2 s"):
        await pool.upload(WriteFile(path + "y", Payload.of(content)), _pieces(content, pause=30), seconds=2, **where)
    assert not (tmp_path / "xy").exists()


async def test_a_time_for_the_node(where, make_pool, tmp_path):
    """The node stops in time and says so; the connection is as good as before."""
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(2**42)
    pool = make_pool()
    command = Checksum(str(tmp_path / "endless"), limit=2**43)
    with pytest.raises(CommandFailed, match=r"0\.4 seconds") as failed:
        await pool.run(command, node_seconds=0.4, seconds=10, **where)
    assert failed.value.kind == "timeout"
    assert (await pool.run(WhoAmI(), node_seconds=5, **where)).result["user"] == USER
    assert pool.snapshot().connections == 1


async def test_lists_and_parts(where, make_pool, tmp_path):
    """Content comes apart from the answer, collected or as a stream; what fails says which of two paths."""
    for number in range(3000):
        (tmp_path / f"file {number:04}").write_bytes(b"x" * number)
    pool = make_pool()
    command = ListDirectory(path=str(tmp_path), limit=5000)
    answer = await pool.run(command, **where)
    listed = Listed.of(answer.result)
    names = [entry.name for entry in entries(answer.data) if entry.name.startswith("file")]
    assert names == [f"file {number:04}" for number in range(3000)]
    assert (listed.directory, listed.skipped_count) == (True, 0)
    content = b""
    async with aclosing(pool.stream(command, **where)) as pieces:
        async for piece in pieces:
            content += piece
    assert [entry.name for entry in entries(content) if entry.name.startswith("file")] == names
    head = await pool.run(Head(path=str(tmp_path / "file 0100"), size=7, limit=100), **where)
    assert (head.data, PartRead.of(head.result)) == (b"x" * 7, PartRead(7, 100, True))
    with pytest.raises(CommandFailed) as failed:
        await pool.run(Rename(str(tmp_path / "file 0001"), str(tmp_path / "no" / "x")), **where)
    assert (failed.value.errno_name, failed.value.path) == ("ENOENT", str(tmp_path / "no" / "x"))
    with pytest.raises(CommandFailed) as failed:
        await pool.run(ChangeOwner(path=str(tmp_path / "file 0001"), owner="no such user"), **where)
    assert (failed.value.kind, failed.value.what) == ("unknown", "owner")


async def _until_empty(folder: Path) -> None:
    """Nothing is left of an upload that was ended: a CANCEL is on its way."""
    for _ in range(50):
        if not await asyncio.to_thread(os.listdir, folder):
            break
        await asyncio.sleep(0.1)
    assert await asyncio.to_thread(os.listdir, folder) == []


async def test_one_packet_for_a_command(where, make_pool):
    """asyncssh itself would send an empty one before it."""
    pool = make_pool()
    await pool.run(WhoAmI(), **where)
    (connection,) = pool._connections._open.values()
    before = connection._ssh._send_seq
    await pool.run(WhoAmI(), **where)
    assert connection._ssh._send_seq == before + 1
