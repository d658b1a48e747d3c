"""The golden vectors of docs/protocol.md on the node's side; tests/unit/ssh has them on the client's."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.unit

LAST_OF_CLIENTS = 15  # types of frames that clients send; above are the node's
VECTORS = json.loads((Path(__file__).parents[2] / "data" / "protocol" / "frames.json").read_text())


def by_name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


class Handled:
    """What a channel of the filter made of bytes."""

    def __init__(self, f: Any, data: bytes) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.refused: list[tuple[int, str]] = []
        self.written = b""
        self.channel = channel = f.Channel.__new__(f.Channel)
        channel.incoming, channel.ending, channel.requests = bytearray(data), None, {}
        channel.write = self._write
        self._handle = channel.handle_frame
        channel.handle_frame = self._frame
        channel.refuse = lambda number, refusal, *_: self.refused.append((number, refusal.reason))

    def _write(self, *parts: bytes) -> None:
        self.written += b"".join(parts)

    def _frame(self, frame: bytes) -> None:
        if len(frame) < 5 or not 1 <= frame[4] <= LAST_OF_CLIENTS:
            self._handle(frame)
            return
        self.frames.append((struct.unpack_from(">I", frame)[0], frame[4], frame[5:]))


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=by_name)
def test_golden_frames(f: Any, vector: dict[str, Any]) -> None:
    """Each is read as it says, whole or in two halves, and the filter writes the same bytes for the same frame."""
    data, frame = bytes.fromhex(vector["bytes"]), (vector["id"], vector["type"], bytes.fromhex(vector["body"]))
    whole = Handled(f, b"")
    whole.channel.send(*frame)
    assert whole.written == data
    if vector["type"] > LAST_OF_CLIENTS:
        return  # the node says that, and does not read it
    whole = Handled(f, data)
    whole.channel.handle_frames()
    assert (whole.frames, whole.channel.incoming) == ([frame], b"")
    halves = Handled(f, data[:7])
    halves.channel.handle_frames()
    assert halves.frames == []
    halves.channel.incoming += data[7:] + data
    halves.channel.handle_frames()
    assert halves.frames == [frame, frame]
    if "certificate" in vector:
        body = frame[2][4 if "milliseconds" in vector else 0 :]
        reader = f.Reader(body)
        assert reader.string() == bytes.fromhex(vector["certificate"])
        assert body[reader.position :] == bytes.fromhex(vector["payload"])


@pytest.mark.parametrize("vector", VECTORS["broken"], ids=by_name)
def test_broken_frames(f: Any, vector: dict[str, Any]) -> None:
    """What is no frame is refused, or ends the channel; nothing of it is taken for a request."""
    handled = Handled(f, bytes.fromhex(vector["bytes"]))
    try:
        handled.channel.handle_frames()
    except f.ChannelBroken:
        assert handled.refused == []
    else:
        assert [reason for _, reason in handled.refused] == ["malformed"]
    assert handled.frames == []


@pytest.mark.parametrize("vector", VECTORS["command"], ids=by_name)
def test_golden_commands(f: Any, vector: dict[str, Any]) -> None:
    """What the other side signs is read here as what it says, and one altered byte of it is not."""
    text = vector["forceCommand"].encode()
    assert f.parse_command(SimpleNamespace(critical_options={b"force-command": text})) == vector["command"]
    with pytest.raises(f.Refused):
        f.parse_command(SimpleNamespace(critical_options={b"force-command": text[:-1]}))
