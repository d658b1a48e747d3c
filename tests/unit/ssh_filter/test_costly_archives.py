"""Small archives that would keep the filter from all else, and real ones that look a little like them."""

from __future__ import annotations

import bz2
import gzip
import os
import random
import struct
import subprocess
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from unit.ssh_filter.running import next_step, run, with_target
from unit.ssh_filter.test_archives import tar_of, zip_of

pytestmark = pytest.mark.unit

MIB: Final = 2**20
CPU_SECONDS: Final = 1.5  # a third of it where the machine has nothing else to do
MOST_HELD: Final = 64 * MIB


@pytest.fixture
def home(home: Path, session: Any) -> Path:
    return with_target(home, session)


def packed(pieces: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(piece) for piece in pieces) + packer.flush()


def header(name: str, size: int = 0, type_: bytes = b"0") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = type_, size
    return member.tobuf(tarfile.GNU_FORMAT)


def block(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(name: str, value: bytes) -> bytes:
    """A record of a pax header, with its own length in front."""
    rest = b" " + name.encode() + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def pax(data: bytes, type_: bytes = b"x") -> bytes:
    return header("././@PaxHeader", len(data), type_) + block(data)


def long_name(data: bytes) -> bytes:
    """A member with such a name, in GNU's way."""
    return header("././@LongLink", len(data) + 1, tarfile.GNUTYPE_LONGNAME) + block(data + b"\0") + header("x")


def old_sparse(extensions: int) -> Iterator[bytes]:
    """The header of a sparse file, in GNU's old way, and so many blocks of its map."""
    start = bytearray(header("x", 0, tarfile.GNUTYPE_SPARSE))
    start[482], start[483:495] = 1, b"%011o\0" % 2**30
    start[148:156] = b" " * 8
    start[148:156] = b"%06o\0 " % sum(start)
    yield bytes(start)
    extension = (b"%011o\0" % 8) * 42 + b"\1" + bytes(7)
    yield from (extension * 2048 for _ in range(extensions // 2048))


def new_sparse(numbers: int) -> Iterator[bytes]:
    """The same in the way of pax 1.0, where the map is in front of the content."""
    records = (("major", b"1"), ("minor", b"0"), ("name", b"x"), ("realsize", b"1000000000"))
    yield pax(b"".join(record(f"GNU.sparse.{name}", value) for name, value in records))
    yield header("x", numbers * 2) + b"%d\n" % (numbers // 2)
    yield from (b"1\n" * MIB for _ in range(numbers // MIB))


def skipping_sparse() -> bytes:
    """A map whose every piece of use has a megabyte in front of it that is passed over."""
    pairs = [(start, 1) if odd else (start - MIB // 2, MIB // 2) for start in range(2000) for odd in (0, 1)]
    listed = ",".join(f"{offset},{size}" for offset, size in pairs).encode()
    fields = record("GNU.sparse.size", b"2000") + record("GNU.sparse.map", listed)
    return pax(fields) + header("x")


def empty_blocks(size: int) -> bytes:
    """Deflated data without an end, which is nothing: blocks that hold only codes of their own (RFC 1951, 3.2.7)."""
    fields = [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)]  # one more comes; dynamic; 257 and 1 codes, by 18 lengths
    fields += [({2: 1, 17: 1}.get(place, 0), 3) for place in range(18)]  # of "so many zeros", and of "one"
    fields += [(1, 1), (127, 7), (1, 1), (107, 7), (0, 1), (0, 1), (0, 1)]  # 138 and 118 zeros, one, one; the end
    bits = "".join(format(value, f"0{width}b")[::-1] for value, width in fields) * 8
    return int(bits[::-1], 2).to_bytes(len(bits) // 8, "little") * (size * 8 // len(bits))


def zip_of_nothing(size: int) -> bytes:
    """A zip whose one member has so much data, which is nothing."""
    data, name = empty_blocks(size), b"x"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(data), 10, len(name), 0) + name
    central = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(data), 10, len(name), 0, 0, 0, 0, 0, 0
    ) + name  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    return local + data + central + end


# Without a bound each takes one step of many seconds, up to hours, or a hundred megabytes and more.
COSTLY: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a name of millions of components": ("tgz", lambda: packed(iter([long_name(b"a/" * (4 * MIB - 1))]))),
    "a name of thousands of components": ("tgz", lambda: packed(iter([long_name(b"a/" * 20_000)]))),
    "such a name in a pax header": ("tgz", lambda: packed(iter([pax(record("path", b"a/" * 20_000)) + header("x")]))),
    "such a name in a zip": ("zip", lambda: zip_of(("a/" * 30_000 + "x", b"", 0o100644))),
    "the name of a link": (
        "tar",
        lambda: tar_of(({"name": "x", "type": tarfile.LNKTYPE, "linkname": "a/" * 20_000}, b"")),
    ),
    "a sparse map without an end": ("tgz", lambda: packed(old_sparse(2**17))),
    "a sparse map of pax": ("tgz", lambda: packed(new_sparse(2 * MIB))),
    "a sparse map that skips": ("tgz", lambda: gzip.compress(skipping_sparse()) + gzip.compress(bytes(MIB)) * 1000),
    "empty members of gzip": ("tgz", lambda: gzip.compress(b"", mtime=0) * (32 * MIB // 20)),
    "empty members of bzip2": ("bz2", lambda: bz2.compress(b"") * (32 * MIB // 14)),
    "empty blocks in gzip": ("tgz", lambda: gzip.compress(b"")[:10] + empty_blocks(48 * MIB)),
    "empty blocks in a zip": ("zip", lambda: zip_of_nothing(48 * MIB)),
    "digits in a pax header": ("tgz", lambda: packed(iter([pax(record("comment", b"1" * 80_000)) + header("x")]))),
    "keywords in a pax header": ("tgz", lambda: packed(iter([pax(b"2 " * 50_000 + b"=") + header("x")]))),
    "headers for all members": (
        "tgz",
        lambda: packed(
            pax(record(f"a{number}", b"b" * (MIB // 2)), b"g") + header(str(number)) for number in range(200)
        ),
    ),
    "one header for all, many before one": (
        "tgz",
        lambda: packed(
            iter(
                [
                    pax(record("GNU.sparse.map", b"0,0," * 15_000 + b"0,0"), b"g"),
                    pax(record("a", b"b")) * 300,
                    header("x"),
                ]
            )
        ),
    ),
}


def cpu_of_steps(f: Any, session: Any, format_: str) -> float:
    """Processor time of the longest step, of one that ends with an error of an archive."""
    steps = f.fs_extract(session, {"source": "archive", "target": "target", "format": format_}, b"")
    longest = 0.0
    while True:
        before = time.process_time()
        try:
            assert next_step(steps, None) is f.GO_ON
        except f.Failed as failed:
            assert failed.kind in ("archive", "limit"), failed
            assert len(failed.message) < 1000
            return max(longest, time.process_time() - before)
        longest = max(longest, time.process_time() - before)


@pytest.mark.parametrize("attack", COSTLY)
def test_no_step_takes_long(f: Any, session: Any, home: Path, attack: str) -> None:
    """Refused, before another request, a CANCEL or the deadline had to wait for it, and with little memory."""
    format_, make = COSTLY[attack]
    (home / "archive").write_bytes(make())
    try:
        assert cpu_of_steps(f, session, format_) < CPU_SECONDS
        tracemalloc.start()
        try:
            cpu_of_steps(f, session, format_)
            assert tracemalloc.get_traced_memory()[1] < MOST_HELD
        finally:
            tracemalloc.stop()
        assert not [path for path in (home / "target").iterdir() if path.name in ("a", "x")]
    finally:  # folders that are too deep for Python, where they were not refused
        subprocess.run(["rm", "-rf", home / "target"], check=True)


def test_names_of_folders_are_counted(f: Any, session: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are held until the end, for their modes and times."""
    monkeypatch.setattr(f, "FOLDERS_LIMIT", 1000)
    folder = {"type": tarfile.DIRTYPE, "mode": 0o755}
    (home / "archive").write_bytes(tar_of(*(({"name": f"{number:0100}", **folder}, b"") for number in range(20))))
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.extract", source="archive", target="target", format="tar")
    assert (failed.value.kind, failed.value.details) == ("limit", {"limit": 1000})


def test_other_requests_go_on_while_folders_get_their_modes(f: Any, session: Any, home: Path) -> None:
    """A step for each of them."""
    folder = {"type": tarfile.DIRTYPE, "mode": 0o700, "mtime": 5}
    (home / "archive").write_bytes(tar_of(*(({"name": str(number), **folder}, b"") for number in range(50))))
    steps = f.fs_extract(session, {"source": "archive", "target": "target", "format": "tar"}, b"")
    count = 0
    while next_step(steps, None) is f.GO_ON:
        count += 1
    assert count == 100
    assert {path.stat().st_mtime for path in (home / "target").iterdir()} == {5}


# ---- real archives --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["gnu", "pax"])
def test_long_names_that_are_legal(f: Any, session: Any, home: Path, format_: str) -> None:
    """Of nearly as many bytes as a path may have, of many components or few, with a link to as many."""
    deep, wide = "/".join(["d", *["deep" * 3] * 290]), "/".join(["7" * 200] * 15)
    for folder in (deep, wide):
        subprocess.run(["mkdir", "-p", home / folder], check=True)  # Python's own is recursive
        (home / folder / "x").write_bytes(b"deep")
    (home / "d" / "link").symlink_to("t" * 4000)
    names = ["d", "7" * 200]
    subprocess.run(["tar", f"--format={format_}", "-czf", home / "a.tgz", "-C", home, *names], check=True)
    run(f, session, "fs.extract", source="a.tgz", target="target", format="tgz")
    for folder in (deep, wide):
        assert (home / "target" / folder / "x").read_bytes() == b"deep"
    assert (home / "target" / "d" / "link").readlink() == Path("t" * 4000)


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"],
    ],
    ids=" ".join,
)
def test_sparse_files_of_tar(f: Any, session: Any, home: Path, options: list[str]) -> None:
    """A file of 80 MB with ten thousand holes, one that is a hole, and one after them; in pieces, however many there are."""
    with (home / "holes").open("wb") as file:
        for number in range(10_000):
            file.seek(number * 8192)
            file.write(b"%08d" % number)
        file.truncate(10_000 * 8192)
    with (home / "hole").open("wb") as file:
        file.truncate(10**6)
    (home / "after").write_bytes(b"after")
    names = ["holes", "hole", "after"]
    make = ["tar", "--sparse", "--hole-detection=raw", *options, "-czf", home / "a.tgz", "-C", home, *names]
    subprocess.run(make, check=True)
    assert (home / "a.tgz").stat().st_size < 10 * MIB
    tracemalloc.start()
    try:
        run(f, session, "fs.extract", source="a.tgz", target="target", format="tgz")
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    for name in names:
        assert (home / "target" / name).read_bytes() == (home / name).read_bytes()


def bgzip(data: bytes) -> bytes:
    """As htslib packs: members of 64 KiB at most, each with its size in an extra field, and an empty one at the end."""
    made = b""
    for start in [*range(0, len(data), 65280), len(data)]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        piece = data[start : start + 65280]
        body = packer.compress(piece) + packer.flush()
        made += struct.pack("<4BI2B4H", 31, 139, 8, 4, 0, 0, 255, 6, 0x4342, 2, len(body) + 25) + body
        made += struct.pack("<2I", zlib.crc32(piece), len(piece))
    return made


def in_pieces(pack: Callable[[bytes], bytes], size: int) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(pack(data[start : start + size]) for start in range(0, len(data), size))


def flushed(data: bytes) -> bytes:
    """As pigz packs: one member, with empty blocks between its parts."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    parts = (
        packer.compress(data[start : start + 4096]) + packer.flush(zlib.Z_SYNC_FLUSH)
        for start in range(0, len(data), 4096)
    )
    return b"".join(parts) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "bgzip": ("tgz", bgzip),
    "several of bgzip": ("tgz", in_pieces(bgzip, 10_240)),
    "pigz": ("tgz", flushed),
    "members of gzip": ("tgz", in_pieces(gzip.compress, 10_240)),
    "small members of gzip": ("tgz", in_pieces(gzip.compress, 512)),
    "stored": ("tgz", lambda data: gzip.compress(data, 0)),
    "pbzip2": ("bz2", in_pieces(bz2.compress, 900_000)),
    "bzip2": ("bz2", bz2.compress),
    "small members of bzip2": ("bz2", in_pieces(bz2.compress, 10_240)),
    "none": ("tar", bytes),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_members_of_a_packed_stream(f: Any, session: Any, home: Path, packer: str) -> None:
    """What cannot be packed, what can be packed very well, and many small files, as programs pack them that do it in parts."""
    content = {
        "random": random.Random(1).randbytes(MIB),  # more than a block of bzip2
        "zeros": bytes(MIB),
        **{f"small{number}": b"%d" % number for number in range(100)},
    }
    format_, pack = PACKERS[packer]
    (home / "archive").write_bytes(pack(tar_of(*(({"name": name}, data) for name, data in content.items()))))
    run(f, session, "fs.extract", source="archive", target="target", format=format_)
    assert {path.name: path.read_bytes() for path in (home / "target").iterdir()} == content


def test_headers_that_real_archives_have(f: Any, session: Any, home: Path) -> None:
    """Extended attributes of 64 KiB, comments for all members (git), times with a fraction, names beyond ASCII."""
    fields = [
        record("SCHILY.xattr.user.large", os.urandom(64 * 1024)),
        record("SCHILY.acl.access", b"user::rw-\nuser:1:r--\n"),
        record("mtime", b"1700000000.123456789"),
        record("hdrcharset", b"BINARY"),
        record("path", "naïve".encode("latin-1")),
    ]
    whole = b"".join(
        [
            *(pax(record("comment", b"%040d" % number), b"g") + header(f"of git {number}") for number in range(500)),
            pax(b"".join(fields)) + header("x", 3) + block(b"abc"),
            pax(record("path", "naïve2".encode())) + header("x", 3) + block(b"abc"),
            bytes(1024),
        ]
    )
    (home / "archive").write_bytes(whole)
    run(f, session, "fs.extract", source="archive", target="target", format="tar")
    found = {os.fsencode(path.name): path for path in (home / "target").iterdir()}
    assert len(found) == 502
    assert "naïve2".encode() in found
    assert found["naïve".encode("latin-1")].stat().st_mtime == 1700000000.0


def test_a_time_without_an_end(f: Any, session: Any, home: Path) -> None:
    """A damaged archive, and not an error of the filter."""
    (home / "archive").write_bytes(pax(record("mtime", b"inf")) + header("x"))
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.extract", source="archive", target="target", format="tar")
    assert failed.value.kind == "archive"


def test_a_zip_of_many_members(f: Any, session: Any, home: Path) -> None:
    """Each has its own share of what is read ahead."""
    with zipfile.ZipFile(home / "archive", "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(500):
            made.writestr(f"d/{number}", b"%d" % number * 200)
        made.writestr("random", random.Random(1).randbytes(3 * MIB))
    run(f, session, "fs.extract", source="archive", target="target", format="zip")
    assert (home / "target" / "random").read_bytes() == random.Random(1).randbytes(3 * MIB)
    assert len(list((home / "target" / "d").iterdir())) == 500
