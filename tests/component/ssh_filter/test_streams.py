"""Payloads that are written as they arrive: memory, what is left when they are cut, and file systems that cannot take them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from component.ssh_filter.node import ANSWER, DATA, ERROR, REFUSED, REQUEST, UID, Channel, Node, frame, request_frame

pytestmark = pytest.mark.component

TIMED, END = 4, 5
F_GETPIPE_SZ = 1032  # Linux
MIB = 1024 * 1024


def begin(channel: Channel, path: Path | str, payload: bytes, first: bytes = b"", *, overwrite: bool = True) -> int:
    """A write of which nothing but the first bytes are sent."""
    args = {"path": str(channel.node.home / path), "mode": 0o600, "overwrite": overwrite}
    request_id = channel.next_id()
    channel.send(request_frame(request_id, channel.certificate("fs.write", args, payload).build(), first))
    return request_id


def below(node: Node, args: dict[str, Any]) -> dict[str, Any]:
    """Arguments with their paths in the node's home folder: the user of these tests has none in passwd(5)."""
    return {
        name: f"{node.home}/{value}" if name in ("path", "source", "target") else value for name, value in args.items()
    }


def send(channel: Channel, request_id: int, data: bytes) -> None:
    for start in range(0, len(data), 256 * 1024):
        channel.send(frame(request_id, DATA, data[start : start + 256 * 1024]))


def most_memory(channel: Channel) -> int:
    """Bytes that the filter had at most."""
    status = Path(f"/proc/{channel.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_larger_than_what_is_held(node: Node) -> None:
    """Many times the memory that it takes; other commands are answered meanwhile."""
    channel = node.open()
    channel.ask("fs.write", below(node, {"path": "warm", "mode": 0o600, "overwrite": True}), b"x")
    before = most_memory(channel)
    data = os.urandom(MIB) * 96
    request_id = begin(channel, node.home / "large", data)
    send(channel, request_id, data[: 50 * MIB])
    assert channel.ask("sys.whoami", {})["uid"] == UID
    assert left(node.home) == ["warm"]  # it has no name yet
    send(channel, request_id, data[50 * MIB :])
    got = channel.finish(request_id)
    assert (got.type, got.json["size"]) == (ANSWER, 96 * MIB)
    assert (node.home / "large").read_bytes() == data
    assert most_memory(channel) - before < 4 * MIB


def test_the_limit_of_the_policy(node: Node) -> None:
    """Refused before a byte is written, and the limits are told in the hello."""
    node.policy["streamLimit"] = 1000
    channel = node.open()
    assert (channel.hello["limits"]["stream"], channel.hello["limits"]["seconds"]) == (1000, 60)
    args = below(node, {"path": "x", "mode": 0o600, "overwrite": True})
    assert channel.refusal(channel.certificate("fs.write", args, b"x" * 1001).build()) == "payload"
    assert channel.ask("fs.write", args, b"x" * 1000)["size"] == 1000


@pytest.mark.parametrize("end", ["closed", "killed", "cancelled", "other bytes", "silence"])
def test_nothing_is_left_of_half_a_file(node: Node, end: str) -> None:
    """Neither under its name, where the old file stays, nor under another one."""
    if end == "silence":
        node.policy["idleSeconds"] = 1
    (node.home / "x").write_bytes(b"old")
    channel = node.open()
    data = os.urandom(3 * MIB)
    request_id = begin(channel, "x", data, data[:1000])
    send(channel, request_id, data[1000 : 2 * MIB])
    assert channel.ask("sys.whoami", {})["uid"] == UID  # all of that was taken
    if end == "closed":
        assert channel.end() == 0
    elif end == "killed":
        channel.process.send_signal(signal.SIGKILL)
        channel.process.wait()
    elif end == "cancelled":
        channel.send(frame(request_id, 3))
        assert channel.finish(request_id).json["kind"] == "cancelled"
    elif end == "silence":
        got = channel.finish(request_id)
        assert (got.type, got.json["kind"], got.json["seconds"]) == (ERROR, "timeout", 1)
    else:
        send(channel, request_id, b"x" * (len(data) - 2 * MIB))
        got = channel.finish(request_id)
        assert (got.type, got.json["reason"]) == (REFUSED, "payload")
    assert left(node.home) == ["x"]
    assert (node.home / "x").read_bytes() == b"old"


def begin_streamed(channel: Channel, most: int, first: bytes = b"", name: str = "x") -> int:
    """A write of which only the most bytes are signed."""
    args = {"path": str(channel.node.home / name), "mode": 0o600, "overwrite": True}
    command = {**channel.command("fs.write", args), "payload": {"stream": most}}
    request_id = channel.next_id()
    channel.send(request_frame(request_id, channel.node.certificate(command).build(), first))
    return request_id


def end_of(data: bytes) -> bytes:
    """The body of an END."""
    return struct.pack(">Q", len(data))


@pytest.mark.parametrize("size", [0, 1, 1000, 5 * MIB])
def test_a_payload_whose_size_follows_it(node: Node, size: int) -> None:
    """The file has its name with END, not before; answer and log have the digest. Up to the most that was signed, which may be all."""
    channel = node.open()
    assert channel.hello["features"] == ["payload-size"]
    data = os.urandom(size)
    request_id = begin_streamed(channel, size, data[:10])
    send(channel, request_id, data[10:])
    assert channel.ask("sys.whoami", {})["uid"] == UID  # all of it was taken
    assert left(node.home) == []
    channel.send(frame(request_id, END, end_of(data)))
    got = channel.finish(request_id)
    assert (got.type, got.json) == (ANSWER, {"size": size, "sha256": hashlib.sha256(data).hexdigest()})
    assert (node.home / "x").read_bytes() == data
    channel.end()
    (line,) = [line for line in node.log_lines() if "op=fs.write" in line]
    assert f"bytes={size} sha256={hashlib.sha256(data).hexdigest()}" in line


@pytest.mark.parametrize(
    "body",
    [
        end_of(b"x" * 2999),
        end_of(b"x" * 3001),
        end_of(b"x" * 3000) + b"x",
        end_of(b"x" * 3000)[:-1],
        b"",
    ],
)
def test_an_end_that_is_not_of_what_came(node: Node, body: bytes) -> None:
    """Refused; the old file stays, and nothing beside it."""
    (node.home / "x").write_bytes(b"old")
    channel = node.open()
    request_id = begin_streamed(channel, 5000, b"x" * 1000)
    send(channel, request_id, b"x" * 2000)
    channel.send(frame(request_id, END, body))
    got = channel.finish(request_id)
    assert (got.type, got.json["reason"]) == (REFUSED, "payload")
    assert left(node.home) == ["x"]
    assert (node.home / "x").read_bytes() == b"old"
    channel.send(frame(request_id, END, body))  # of a request that is over: it was on its way
    assert channel.ask("sys.whoami", {})["uid"] == UID


@pytest.mark.parametrize("end", ["closed", "killed", "cancelled", "silence"])
def test_nothing_is_left_without_an_end(node: Node, end: str) -> None:
    """However much of it came: as much as was signed, too."""
    if end == "silence":
        node.policy["idleSeconds"] = 1
    channel = node.open()
    request_id = begin_streamed(channel, 3000, b"x" * 3000)
    if end == "closed":
        assert channel.end() == 0
    elif end == "killed":
        assert channel.ask("sys.whoami", {})["uid"] == UID
        channel.process.send_signal(signal.SIGKILL)
        channel.process.wait()
    elif end == "cancelled":
        channel.send(frame(request_id, 3))
        assert channel.finish(request_id).json["kind"] == "cancelled"
    else:
        assert channel.finish(request_id).json["kind"] == "timeout"
    assert left(node.home) == []


@pytest.mark.parametrize(("signed", "limit"), [(1000, 2000), (2000, 1000)])
def test_more_than_a_streamed_payload_may_have(node: Node, signed: int, limit: int) -> None:
    """Than was signed, or than the node takes: refused with the byte that is too much."""
    node.policy["streamLimit"] = limit
    channel = node.open()
    request_id = begin_streamed(channel, signed, b"x" * 1000)
    send(channel, request_id, b"x")
    got = channel.finish(request_id)
    assert (got.type, got.json["reason"], got.json["message"]) == (
        REFUSED,
        "payload",
        "more than 1000 bytes of payload",
    )
    assert left(node.home) == []


def test_an_end_where_none_belongs(node: Node) -> None:
    """A payload whose size was signed ends by itself: no other one may be put in its place."""
    channel = node.open()
    request_id = begin(channel, "x", b"x" * 3000, b"x" * 1000)
    channel.send(frame(request_id, END, end_of(b"x" * 1000)))
    assert channel.process.wait(10) == 118
    assert left(node.home) == []


def test_longer_than_its_time(node: Node) -> None:
    """A whole upload has a time too, however steadily it comes."""
    node.policy["operationSeconds"] = {"fs.write": 1}
    channel = node.open()
    request_id = begin(channel, "x", b"x" * 1000)
    for _ in range(15):
        with contextlib.suppress(BrokenPipeError):
            channel.send(frame(request_id, DATA, b"x"))
        time.sleep(0.1)
    got = channel.finish(request_id)
    assert (got.type, got.json["kind"], got.json["seconds"]) == (ERROR, "timeout", 1)
    assert left(node.home) == []


def test_a_channel_of_age_finishes_its_upload(node: Node) -> None:
    """New requests are refused meanwhile."""
    node.policy["ageSeconds"] = 1
    channel = node.open()
    data = b"x" * 3000
    request_id = begin(channel, "x", data)
    for start in range(0, 2000, 100):
        send(channel, request_id, data[start : start + 100])
        time.sleep(0.07)
    assert channel.refusal(channel.certificate("sys.whoami", {}).build()) == "busy"
    send(channel, request_id, data[2000:])
    assert channel.finish(request_id).json["size"] == 3000
    assert (node.home / "x").read_bytes() == data


def test_many_streams_take_no_room_of_others(node: Node) -> None:
    """What is not held does not count as payload at once."""
    node.policy["payloadLimit"] = 1000
    channel = node.open()
    started = [begin(channel, f"x{number}", b"y" * MIB, b"y" * 10) for number in range(10)]
    for request_id in started:
        send(channel, request_id, b"y" * (MIB - 10))
    assert [channel.read_frame().json["size"] for _ in started] == [MIB] * 10  # type: ignore[union-attr]


@contextlib.contextmanager
def file_system(folder: Path, options: str) -> Iterator[Path]:
    """A small one of its own, of the filter's user."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{options},uid={UID},mode=700", "goldcrest-test", folder], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("fs.write", {"path": "full/new", "mode": 0o600, "overwrite": True}),
        ("fs.copy", {"source": "large", "target": "full/new"}),
        ("fs.rename", {"source": "large", "target": "full/new"}),
        ("fs.compress", {"source": "large", "target": "full/new", "dereference": False}),
        ("fs.extract", {"source": "large.tgz", "target": "full", "format": "tgz"}),
    ],
)
def test_no_space_left(node: Node, op: str, args: dict[str, Any]) -> None:
    """The error says so, and for which of the two paths; no half file is left, and the source stays."""
    data = os.urandom(3 * MIB)
    (node.home / "large").write_bytes(data)
    subprocess.run(["tar", "-czf", "large.tgz", "large"], cwd=node.home, check=True)
    with file_system(node.home / "full", "size=1m") as full:
        channel = node.open()
        if op == "fs.write":
            request_id = begin(channel, "full/new", data)
            send(channel, request_id, data)  # what is on its way when it fails is passed over
            got = channel.finish(request_id)
            assert got.type == ERROR
            said = got.json
        else:
            said = channel.fail(op, below(node, args))
        assert (said["kind"], said["errno"], said["name"]) == ("os", 28, "ENOSPC")
        assert said["path"] == str(full / ("large" if op == "fs.extract" else "new"))
        assert left(full) == []
        assert (node.home / "large").read_bytes() == data
        assert channel.ask("sys.whoami", {})["uid"] == UID
        channel.kill()


@pytest.mark.parametrize(
    ("op", "args", "path"),
    [
        ("fs.write", {"path": "fixed/new", "mode": 0o600, "overwrite": True}, "fixed/new"),
        ("fs.mkdir", {"path": "fixed/new", "mode": 0o700, "parents": False}, "fixed/new"),
        ("fs.symlink", {"path": "fixed/new", "target": "x"}, "fixed/new"),
        ("fs.copy", {"source": "x", "target": "fixed"}, "fixed/x"),
        ("fs.rename", {"source": "x", "target": "fixed/new"}, "fixed/new"),
        ("fs.rename", {"source": "fixed/there", "target": "new"}, None),
        ("fs.rm", {"path": "fixed/there"}, "fixed/there"),
        ("fs.chmod", {"path": "fixed/there", "mode": "u+x"}, "fixed/there"),
        ("fs.chown", {"path": "fixed/there", "group": str(UID)}, "fixed/there"),
        ("fs.compress", {"source": "x", "target": "fixed/new", "dereference": False}, "fixed/new"),
    ],
)
def test_read_only(node: Node, op: str, args: dict[str, Any], path: str | None) -> None:
    """The error says so, with the path of the request."""
    (node.home / "x").write_bytes(b"x")
    os.chown(node.home / "x", UID, UID)
    with file_system(node.home / "fixed", "size=1m") as fixed:
        (fixed / "there").write_bytes(b"x")
        os.chown(fixed / "there", UID, UID)
        subprocess.run(["mount", "-o", "remount,ro", fixed], check=True)
        channel = node.open()
        said = channel.fail(op, below(node, args), b"abc" if op == "fs.write" else None)
        assert (said["kind"], said["name"]) == ("os", "EROFS")
        assert path is None or said["path"] == f"{node.home}/{path}"
        assert left(fixed) == ["there"]
        channel.kill()


def timed(channel: Channel, op: str, args: dict[str, Any], milliseconds: int) -> int:
    request_id = channel.next_id()
    certificate = channel.certificate(op, args).build()
    body = struct.pack(">II", milliseconds, len(certificate)) + certificate
    channel.send(frame(request_id, TIMED, body))
    return request_id


def test_a_time_that_the_client_gives(node: Node) -> None:
    """Less than the node's own counts, more does not; the error says which."""
    node.policy["operationSeconds"] = {"fs.checksum": 1}
    node.program("squeue", "sleep 20")
    with (node.home / "endless").open("wb") as file:
        file.truncate(2**40)
    channel = node.open()
    endless = below(node, {"path": "endless", "limit": 2**41})
    for op, args, milliseconds, seconds in (
        ("slurm.queue", {"scope": "own"}, 300, 0.3),
        ("fs.checksum", endless, 200, 0.2),
        ("fs.checksum", endless, 10**6, 1),
    ):
        began = time.monotonic()
        got = channel.finish(timed(channel, op, args, milliseconds))
        assert (got.type, got.json["kind"], got.json["seconds"]) == (ERROR, "timeout", seconds)
        assert time.monotonic() - began < seconds + 2
    assert channel.finish(timed(channel, "sys.whoami", {}, 1000)).json["uid"] == UID
    with_nothing = channel.next_id()
    channel.send(frame(with_nothing, TIMED, b"\0\0\0\1"))
    assert channel.finish(with_nothing).json["reason"] == "malformed"


def test_the_type_of_a_request_is_known(node: Node) -> None:
    """A time that is cut off, and one before something that is no certificate."""
    channel = node.open()
    for body in (b"", b"\0", b"\0\0\0\0", b"\0\0\0\1\0", b"\0\0\0\1\0\0\0\1x"):
        request_id = channel.next_id()
        channel.send(frame(request_id, TIMED, body))
        assert channel.finish(request_id).json["reason"] == "malformed"
    assert REQUEST != TIMED


def test_pipes_hold_a_frame(node: Node) -> None:
    """Where sshd starts it with pipes they are made larger, and one that cannot be is no reason to fail."""
    channel = node.open()
    assert channel.process.stdout is not None
    assert fcntl.fcntl(channel.process.stdout, F_GETPIPE_SZ) == 256 * 1024
    assert channel.ask("sys.whoami", {})["uid"] == UID
