"""File systems that say only when a file is closed that there is no room (NFS, Lustre, FUSE), and clients that read slowly."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.unit

ARGUMENTS = {"path": "x", "mode": 0o600, "overwrite": True}


@pytest.fixture
def full(f: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """From its call on, a file that was written to is closed, and that fails, as over a quota."""
    close = os.close

    def failing(descriptor: int) -> None:
        found = os.fstat(descriptor)
        written = stat.S_ISREG(found.st_mode) and found.st_size > 0
        close(descriptor)
        if written:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    def begin() -> None:
        monkeypatch.setattr(f.os, "close", failing)

    yield begin
    monkeypatch.setattr(f.os, "close", close)


def test_what_is_there_stays(f: Any, session: Any, home: Path, full: Callable[[], None]) -> None:
    """What cannot be stored does not take the place of what is."""
    (home / "x").write_bytes(b"old")
    folder = os.open(home, os.O_PATH)
    try:
        writer = f.FileWriter(session, folder, os.fsencode(home), b"x", 0o600, True, "x", sync=False)
        writer.write(b"new and larger")
        full()
        with pytest.raises(OSError) as error:
            writer.finish()
    finally:
        os.close(folder)
    assert error.value.errno == errno.EDQUOT
    assert [path.name for path in home.iterdir()] == ["x"]
    assert (home / "x").read_bytes() == b"old"


def test_giving_up_is_no_error(f: Any, session: Any, home: Path, full: Callable[[], None]) -> None:
    """Whoever gives up is told nothing new, twice at most, and keeps no descriptor."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    sink = f.OPERATIONS["fs.write"].function(session, ARGUMENTS, 4)
    sink.write(b"data")
    full()
    sink.abort()
    sink.abort()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list(home.iterdir()) == []


def test_the_other_requests_go_on(f: Any) -> None:
    """What cannot even be stopped does not end the channel, on which others run."""

    def sick() -> Any:
        try:
            yield
        finally:
            raise OSError(errno.EIO, "Input/output error")

    steps = sick()
    next(steps)
    killed: list[bool] = []
    sink = SimpleNamespace(abort=lambda: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    request = f.Request.__new__(f.Request)
    request.child, request.steps, request.sink = SimpleNamespace(kill=lambda: killed.append(True)), steps, sink
    request.stop()
    assert killed == [True]
    assert request.sink is None


class Slow:
    """A client that takes 64 KiB every now and then."""

    def __init__(self, *, pause: float) -> None:
        self.got = 0
        self.descriptor, self.written_to = os.pipe()
        os.set_blocking(self.written_to, False)
        self._pause = pause
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self.descriptor, 64 * 1024):
            self.got += len(data)
            time.sleep(self._pause)

    def end(self) -> int:
        os.close(self.written_to)
        self._thread.join()
        os.close(self.descriptor)
        return self.got


def channel_to(f: Any, session: Any, output: int) -> Any:
    return f.Channel(session, stdin=output, stdout=output)


def test_the_end_of_an_answer_is_waited_for(f: Any, session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that ends has its last answers read first, by a slow reader too; one who reads nothing is not waited for."""
    monkeypatch.setattr(f, "FLUSH_SECONDS", 0.3)
    client = Slow(pause=0.1)
    channel = channel_to(f, session, client.written_to)
    channel.write(bytes(1024 * 1024))
    began = time.monotonic()
    channel.flush()
    assert time.monotonic() - began > 0.9
    assert client.end() == 1024 * 1024
    read, write = os.pipe()
    os.set_blocking(write, False)
    channel = channel_to(f, session, write)
    channel.write(bytes(1024 * 1024))
    channel.flush()
    assert channel.outgoing
    os.close(read)
    os.close(write)


def test_who_reads_slowly_is_no_idle_client(f: Any, session: Any) -> None:
    """Nor one that does not read: as long as something is taken, the channel lives, however old it is."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    channel = channel_to(f, session, write)
    channel.write(bytes(1024 * 1024))
    long_ago = time.monotonic() - 100_000
    channel.last_active = long_ago
    channel.watch_time()
    assert channel.ending is None
    channel.last_written = channel.last_active = long_ago
    channel.watch_time()
    assert channel.ending == "idle"
    channel.ending, channel.opened, channel.last_written = "age", long_ago, time.monotonic()
    channel.watch_time()
    channel.last_written = long_ago
    with pytest.raises(f.ChannelBroken, match="answers are not read"):
        channel.watch_time()
    os.close(read)
    os.close(write)
