"""Frames: golden vectors, any split, bounds."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldcrest.canonical import b64url, canonical
from goldcrest.commands import Payload, command_from
from goldcrest.commands.base import session_body
from goldcrest.ssh.frames import (
    CERTIFICATE_LIMIT,
    FRAME_LIMIT,
    PIECE,
    BrokenFrame,
    Frame,
    FrameParser,
    FrameType,
    end_frame,
    request_body,
    request_frame,
    request_frames,
    split_request_body,
)

pytestmark = pytest.mark.unit

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "protocol" / "frames.json").read_text())

frames = st.builds(
    Frame,
    st.integers(0, 2**32 - 1),
    st.sampled_from(FrameType),
    st.one_of(st.binary(max_size=64), st.just(bytes(5000))),
)


def by_name(vector: dict[str, object]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=by_name)
def test_golden_frames(vector):
    """Each golden frame is read as it says and written back to the same bytes."""
    frame = Frame(vector["id"], FrameType(vector["type"]), bytes.fromhex(vector["body"]))
    assert FrameParser().feed(bytes.fromhex(vector["bytes"])) == [frame]
    assert frame.encode().hex() == vector["bytes"]
    if "certificate" in vector:
        certificate, payload = bytes.fromhex(vector["certificate"]), bytes.fromhex(vector["payload"])
        seconds = vector["milliseconds"] / 1000 if "milliseconds" in vector else None
        assert split_request_body(frame.body[0 if seconds is None else 4 :]) == (certificate, payload)
        assert request_frame(frame.id, certificate, payload, seconds=seconds).encode().hex() == vector["bytes"]
    if frame.type is FrameType.END:
        assert end_frame(frame.id, vector["size"]).encode().hex() == vector["bytes"]


@pytest.mark.parametrize("vector", VECTORS["broken"], ids=by_name)
def test_broken_frames(vector):
    """What is no frame is an error as soon as that can be known, and memory is not filled first."""
    with pytest.raises(BrokenFrame):
        FrameParser().feed(bytes.fromhex(vector["bytes"]))


@pytest.mark.parametrize("vector", VECTORS["command"], ids=by_name)
def test_golden_commands(vector):
    """What this side has signed is the golden force-command, byte for byte."""
    command = vector["command"]
    if command["kind"] == "session":
        body = session_body(system=command["system"], user=command["user"])
    else:
        payload = _payload(command["payload"]) if command["payload"] else None
        typed = command_from(command["op"], command["args"], payload)
        body = typed.body(system=command["system"], user=command["user"], sid=command["sid"])
    assert f"{vector['path']} v1.{b64url(canonical(body))}" == vector["forceCommand"]


def _payload(form):
    return Payload.streamed(form["stream"]) if "stream" in form else Payload(**form)


@settings(deadline=None)
@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_any_split_gives_the_same_frames(sent, sizes):
    """However the bytes are cut, the frames are the same and nothing is left over."""
    data = b"".join(frame.encode() for frame in sent)
    parser, received, position, turn = FrameParser(), [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        received += parser.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert received == sent
    assert parser.pending == 0


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_an_error_or_waits_for_more(data):
    """No bytes make the parser fail in any other way."""
    with contextlib.suppress(BrokenFrame):
        FrameParser().feed(data)


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 17])
def test_a_payload_arrives_whole(size):
    """REQUEST and DATA frames together carry exactly the payload, none above the limit."""
    payload = bytes(index % 251 for index in range(size))
    sent = list(request_frames(5, b"certificate", payload))
    received = FrameParser().feed(b"".join(frame.encode() for frame in sent))
    for frame in sent:
        pieces = list(frame.pieces(1000))
        assert b"".join(pieces) == frame.encode()
        assert all(len(piece) == 1000 for piece in pieces[:-1])
        assert 0 < len(pieces[-1]) <= 1000
    assert [frame.type for frame in received] == [FrameType.REQUEST] + [FrameType.DATA] * (len(received) - 1)
    certificate, first = split_request_body(received[0].body)
    assert certificate == b"certificate"
    assert first + b"".join(frame.body for frame in received[1:]) == payload
    assert all(frame.id == 5 and len(frame.body) <= PIECE + 100 for frame in received)


def test_the_largest_request_fits():
    """A certificate of the largest size with a full piece of payload is within the frame limit."""
    first = next(request_frames(1, bytes(CERTIFICATE_LIMIT), bytes(2 * PIECE)))
    assert len(first.encode()) - 4 <= FRAME_LIMIT


@pytest.mark.parametrize(
    "make",
    [
        lambda: Frame(1, FrameType.DATA, bytes(FRAME_LIMIT)).encode(),
        lambda: Frame(2**32, FrameType.DATA).encode(),
        lambda: Frame(-1, FrameType.DATA).encode(),
        lambda: request_body(b""),
        lambda: request_body(bytes(CERTIFICATE_LIMIT + 1)),
    ],
)
def test_what_cannot_be_sent(make):
    """Mistakes of this side are found before they reach the wire."""
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize("body", [b"", b"\x00\x00", b"\x00\x00\x00\x05abcd"])
def test_a_request_that_ends_early(body):
    """A certificate longer than its frame is an error."""
    with pytest.raises(BrokenFrame):
        split_request_body(body)
