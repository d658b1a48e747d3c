"""A form with a file, as a stream that may be cut anywhere; and where its bytes wait."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldcrest.errors import InvalidInput
from goldcrest_api.multipart_stream import _Reader
from goldcrest_api.spool import Spools

pytestmark = pytest.mark.unit

CONTENT = b"first line\r\n--b\r\nno boundary: --boundary\n\r\n\x00\xff" * 50
BODY = (
    b'--the-b\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\n/scratch/alice\r\n'
    b'--the-b\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xbc.bin"\r\nContent-Type: text/plain\r\n\r\n'
    + CONTENT
    + b'\r\n--the-b\r\nContent-Disposition: form-data; name="file"; filename="second"\r\n\r\nthrown away\r\n'
    b'--the-b\r\nContent-Disposition: form-data; name="targetPath"\r\n\r\nthe first counts\r\n--the-b--\r\n'
)


def read(pieces: list[bytes]) -> tuple[bytes, dict[str, str], str | None]:
    reader = _Reader(b"the-b", name="file", parts=10)
    content = b"".join(piece for chunk in pieces for piece in reader.feed(chunk))
    reader.end()
    return content, reader.fields, reader.file_name


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, len(BODY)), max_size=20))
def test_cut_anywhere(cuts: list[int]) -> None:
    """However the network cuts it, the first file's bytes and the fields are the same."""
    edges = [0, *sorted(cuts), len(BODY)]
    content, fields, file_name = read([BODY[a:b] for a, b in itertools.pairwise(edges)])
    assert content == CONTENT
    assert (fields, file_name) == ({"targetPath": "/scratch/alice"}, "ü.bin")


@pytest.mark.parametrize("end", [1, 50, 200, len(BODY) - 6])
def test_cut_off(end: int) -> None:
    """A form without its closing boundary is none, however much of it came."""
    with pytest.raises(InvalidInput, match="closing boundary"):
        read([BODY[:end]])


def test_name_that_is_no_text() -> None:
    """Becomes what no file name may have, so that the name is what is refused."""
    body = b'--the-b\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\nx\r\n--the-b--\r\n'
    assert read([body])[2] == "\udcff"


@pytest.mark.parametrize("size", [0, 1, 512 * 1024, 3 * 2**20 + 7])
async def test_spool(tmp_path: Path, size: int) -> None:
    """In memory or in a file without a name: the same bytes as often as they are asked for, and their digest."""
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    spools = Spools(tmp_path, most=size)
    with spools.open() as spool:
        for start in range(0, size, 100_000):
            await spool.write(content[start : start + 100_000])
        payload = await spool.payload()
        for _ in range(2):
            pieces = [piece async for piece in spool.pieces()]
            assert b"".join(pieces) == content
            assert all(len(piece) <= 256 * 1024 for piece in pieces)
        assert (payload.size, payload.sha256) == (size, hashlib.sha256(content).hexdigest())
        assert os.listdir(tmp_path) == []  # noqa: PTH208  an async function
        assert spools.held == size
        with spools.open() as another, pytest.raises(OSError, match="wait"):
            await another.write(b"x")
    assert spools.held == 0
