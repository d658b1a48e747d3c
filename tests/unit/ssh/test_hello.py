"""The filter's hello, behind noise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.ssh.hello import HELLO_LIMIT, MARKER, NOISE_LIMIT, Hello, HelloFinder, Limits, NoHello

pytestmark = pytest.mark.unit

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "protocol" / "frames.json").read_text())
HELLO = Hello(
    version="1.2.3",
    sid="0" * 32,
    system="cluster",
    user="alice",
    operations=frozenset({"fs.stat"}),
    limits=Limits(frame=1114112, payload=1, output=2, commands=3),
)


def by_name(vector: dict[str, object]) -> str:
    return str(vector["name"])


def find(data: bytes, *, step: int) -> tuple[Hello, bytes] | None:
    finder = HelloFinder()
    for start in range(0, len(data), step):
        found = finder.feed(data[start : start + step])
        if found is not None:
            return found[0], found[1] + data[start + step :]
    return None


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("vector", VECTORS["hello"], ids=by_name)
def test_golden_hellos(vector, step):
    """Each golden hello is found behind its noise, however it is cut, and what follows is kept."""
    data = bytes.fromhex(vector["noise"]) + b"\n" + vector["line"].encode() + b"\n" + b"\x00\x01frames"
    found = find(data, step=step)
    assert found is not None
    hello, rest = found
    expected = vector["hello"]
    assert rest == b"\x00\x01frames"
    assert (hello.version, hello.sid, hello.system, hello.user) == (
        expected["version"],
        expected["sid"],
        expected["system"],
        expected["user"],
    )
    assert sorted(hello.operations) == expected["operations"]
    assert list(hello.protocol) == expected["protocol"]
    assert sorted(hello.features) == expected.get("features", [])
    assert {name: getattr(hello.limits, name) for name in expected["limits"]} == expected["limits"]


@pytest.mark.parametrize("vector", VECTORS["unusable"], ids=by_name)
def test_unusable_hellos(vector):
    """A hello that is malformed or of another protocol is refused in words."""
    with pytest.raises(NoHello, match="ssh-filter"):
        HelloFinder().feed(vector["line"].encode() + b"\n")


def test_written_and_read():
    """A hello is read as it was written."""
    assert HelloFinder().feed(HELLO.encode()) == (HELLO, b"")


@pytest.mark.parametrize("step", [100, 4096, 10_000_000])
@pytest.mark.parametrize(
    ("noise", "found"),
    [
        (b"x\n" * (NOISE_LIMIT // 2 - 1), True),
        (b"x" * (NOISE_LIMIT - 1), True),
        (b"x\n" * (NOISE_LIMIT // 2 + 1), False),
        (b"x" * (NOISE_LIMIT + 1), False),
        (b"x" * (4 * NOISE_LIMIT), False),
    ],
)
def test_the_limit_of_noise(noise, found, step):
    """Noise up to 64 KiB is skipped; above it is an error, in lines or in one piece."""
    if found:
        assert find(noise + HELLO.encode(), step=step) == (HELLO, b"")
    else:
        with pytest.raises(NoHello, match="64 KiB"):
            find(noise + HELLO.encode(), step=step)


def test_a_hello_without_end():
    """A marker line that never ends does not fill the memory."""
    with pytest.raises(NoHello, match="longer than"):
        find(MARKER + b"A" * (HELLO_LIMIT + 100), step=1000)


@given(st.binary(max_size=300))
def test_no_noise_breaks_it(noise):
    """Whatever comes before, the hello is found, unless the noise is itself a marker line."""
    if MARKER in noise:
        return
    assert HelloFinder().feed(noise + HELLO.encode() + b"rest") == (HELLO, b"rest")


@pytest.mark.parametrize("stream", [None, 5 * 2**30])
def test_limits_that_older_filters_do_not_name(stream: int | None) -> None:
    """Kept where they are said, None where not."""
    hello = replace(HELLO, limits=replace(HELLO.limits, frame=1114112, stream=stream, seconds=stream and 60))
    found = find(hello.encode(), step=100)
    assert found is not None
    assert found[0].limits == hello.limits
