"""fs.compress and fs.extract: what tar and unzip make of the same, and archives that mean harm."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unit.ssh_filter.running import finish, run, with_target
from unit.ssh_filter.test_changing import picture, zoo

pytestmark = pytest.mark.unit


@pytest.fixture
def home(home: Path, session: Any) -> Path:
    return with_target(home, session)


def names_and_content(top: Path) -> dict[str, Any]:
    return {
        name: (row[0], row[3], row[5][0] if isinstance(row[5], tuple) else row[5], row[6])
        for name, row in picture(top).items()
    }


def test_an_archive_is_what_tar_unpacks(f: Any, session: Any, home: Path) -> None:
    """Everything but sockets, with modes, times, links and second names; and tar's own is unpacked here."""
    (home / "a").mkdir()
    zoo(home / "a")
    (home / "a" / ("n" * 150)).mkdir()
    (home / "a" / ("n" * 150) / ("m" * 200)).symlink_to("t" * 180)
    (home / "a" / "socket").unlink()
    (home / "a" / "device").unlink(missing_ok=True)
    for place in (home / "a" / ("n" * 150) / ("m" * 200), home / "a" / ("n" * 150), home / "a"):
        os.utime(place, (5, 5), follow_symlinks=False)  # whole seconds, as the format has them
    expected = names_and_content(home / "a")
    answer, _ = run(f, session, "fs.compress", source="a", target="a.tgz", dereference=False)
    assert answer == {"bytes": (home / "a.tgz").stat().st_size}
    (home / "by tar").mkdir()
    subprocess.run(["tar", "-xpzf", home / "a.tgz", "-C", home / "by tar"], check=True)
    assert names_and_content(home / "by tar" / "a") == expected
    subprocess.run(["tar", "-czf", home / "b.tgz", "-C", home, "a"], check=True)
    for archive in ("a.tgz", "b.tgz"):
        run(f, session, "fs.extract", source=archive, target="target", format="tgz")
        found = names_and_content(home / "target" / "a")
        assert found.keys() == expected.keys()
        for name, (mode, mtime, content, first) in found.items():
            kept = expected[name][0] if stat.S_ISLNK(mode) else expected[name][0] & ~0o7022
            assert mode == kept, name
            assert (content, first) == expected[name][2:], name
            assert mtime == expected[name][1] or stat.S_ISLNK(mode) or stat.S_ISFIFO(mode), name


@pytest.mark.parametrize("format_", ["tar", "bz2", "zip"])
def test_other_formats(f: Any, session: Any, home: Path, format_: str) -> None:
    """Plain tar, bzip2, zip with links and modes; existing files are replaced, what they lead to is not."""
    (home / "a" / "empty").mkdir(parents=True)
    (home / "a" / "x").write_bytes(b"content" * 100_000)
    (home / "a" / "x").chmod(0o750)
    (home / "a" / "link").symlink_to("x")
    make = {
        "tar": ["tar", "-cf", "archive", "a"],
        "bz2": ["tar", "-cjf", "archive", "a"],
        "zip": ["python3", "-c", ZIP],
    }[format_]
    subprocess.run(make, cwd=home, check=True)
    (home / "target" / "a").mkdir()
    (home / "innocent").write_bytes(b"innocent")
    (home / "target" / "a" / "x").symlink_to(home / "innocent")
    answer, _ = run(f, session, "fs.extract", source="archive", target="target", format=format_)
    assert answer == {"files": 4, "bytes": 700_000}
    assert (home / "target" / "a" / "x").read_bytes() == b"content" * 100_000
    assert stat.S_IMODE((home / "target" / "a" / "x").lstat().st_mode) == 0o750
    assert (home / "target" / "a" / "link").readlink() == Path("x")
    assert (home / "target" / "a" / "empty").is_dir()
    assert (home / "innocent").read_bytes() == b"innocent"


ZIP = """
import os, zipfile, stat
with zipfile.ZipFile("archive", "w", zipfile.ZIP_DEFLATED) as made:
    made.write("a")
    made.write("a/empty")
    made.write("a/x")
    link = zipfile.ZipInfo("a/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    made.writestr(link, "x")
"""


def tar_of(*members: tuple[dict[str, Any], bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for fields, content in members:
            member = tarfile.TarInfo()
            for name, value in {"mode": 0o644, **fields, "size": len(content)}.items():
                setattr(member, name, value)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def zip_of(*members: tuple[str, bytes, int]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            member = zipfile.ZipInfo(name)
            member.create_system, member.external_attr, member.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return made.getvalue()


OUTSIDE = b"of an attacker"
ESCAPES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "two dots": ("tar", lambda _: tar_of(({"name": "../outside"}, OUTSIDE))),
    "two dots within": ("tar", lambda _: tar_of(({"name": "a/../../outside"}, OUTSIDE))),
    "two dots in a zip": ("zip", lambda _: zip_of(("../outside", OUTSIDE, 0o100644))),
    "two dots of a folder": ("tar", lambda _: tar_of(({"name": "../outside", "type": tarfile.DIRTYPE}, b""))),
    "two dots of a link": (
        "tar",
        lambda _: tar_of(({"name": "../outside", "type": tarfile.SYMTYPE, "linkname": "x"}, b"")),
    ),
    "through a link of its own": (
        "tar",
        lambda top: tar_of(
            ({"name": "l", "type": tarfile.SYMTYPE, "linkname": str(top)}, b""), ({"name": "l/outside"}, OUTSIDE)
        ),
    ),
    "through a link to above": (
        "tar",
        lambda _: tar_of(
            ({"name": "l", "type": tarfile.SYMTYPE, "linkname": ".."}, b""), ({"name": "l/outside"}, OUTSIDE)
        ),
    ),
    "through a link in a zip": (
        "zip",
        lambda top: zip_of(("l", str(top).encode(), stat.S_IFLNK | 0o777), ("l/outside", OUTSIDE, 0o100644)),
    ),
    "through a link that is there": ("tar", lambda _: tar_of(({"name": "there/outside"}, OUTSIDE))),
    "second name of something outside": (
        "tar",
        lambda _: tar_of(({"name": "x", "type": tarfile.LNKTYPE, "linkname": "../innocent"}, b"")),
    ),
    "second name through a link": (
        "tar",
        lambda _: tar_of(({"name": "x", "type": tarfile.LNKTYPE, "linkname": "there/innocent"}, b"")),
    ),
    "a device": ("tar", lambda _: tar_of(({"name": "x", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b""))),
    "a disk": ("tar", lambda _: tar_of(({"name": "x", "type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0}, b""))),
    "a device in a zip": ("zip", lambda _: zip_of(("x", b"", stat.S_IFCHR | 0o666))),
    "a start-up file": ("tar", lambda _: tar_of(({"name": "sub/.bashrc"}, OUTSIDE))),
    "a start-up folder": ("zip", lambda _: zip_of((".ssh/authorized_keys", OUTSIDE, 0o100600))),
    "a link above start-up files": (
        "tar",
        lambda _: tar_of(({"name": ".config", "type": tarfile.SYMTYPE, "linkname": "own"}, b"")),
    ),
}


@pytest.mark.parametrize("attack", ESCAPES)
def test_members_that_mean_harm(f: Any, session: Any, home: Path, attack: str) -> None:
    """Refused with the member's name or the file system's error; nothing is made outside of the folder, or over what is protected."""
    format_, make = ESCAPES[attack]
    (home / "archive").write_bytes(make(home))
    (home / "innocent").write_bytes(b"innocent")
    (home / "target" / "there").symlink_to("..")
    before = {path for path in home.rglob("*") if home / "target" not in path.parents}
    with pytest.raises((f.Failed, OSError)) as error:
        run(f, session, "fs.extract", source="archive", target="target", format=format_)
    if isinstance(error.value, f.Failed):
        assert error.value.kind == "archive"
        assert error.value.details["path"] == "target"
    else:
        assert error.value.about.startswith("target/")
    assert {path for path in home.rglob("*") if home / "target" not in path.parents} == before
    assert (home / "innocent").read_bytes() == b"innocent"
    assert (home / "innocent").stat().st_nlink == 1
    assert not list((home / "target").rglob("outside"))
    assert not {path.name for path in (home / "target").rglob("*")} & {
        ".bashrc",
        ".ssh",
        ".config",
        "x",
        "authorized_keys",
    }


def test_names_that_begin_with_a_slash(f: Any, session: Any, home: Path) -> None:
    """They are within the folder, as with tar."""
    (home / "archive").write_bytes(tar_of(({"name": "/etc/passwd"}, OUTSIDE), ({"name": "//x"}, OUTSIDE)))
    run(f, session, "fs.extract", source="archive", target="target", format="tar")
    assert (home / "target" / "etc" / "passwd").read_bytes() == OUTSIDE


def test_rights_of_others_are_not_given(f: Any, session: Any, home: Path) -> None:
    """No set-user-id, set-group-id or sticky bit, and no more than the umask lets."""
    for format_, data in (
        (
            "tar",
            tar_of(
                ({"name": "x", "mode": 0o7777}, b"1"), ({"name": "d", "mode": 0o7777, "type": tarfile.DIRTYPE}, b"")
            ),
        ),
        ("zip", zip_of(("x", b"1", 0o107777), ("d/", b"", 0o047777))),
    ):
        (home / "archive").write_bytes(data)
        run(f, session, "fs.extract", source="archive", target="target", format=format_)
        assert [stat.S_IMODE((home / "target" / name).stat().st_mode) for name in "xd"] == [0o755, 0o755]


def zeros_tar(size: int) -> bytes:
    """The beginning of an archive whose one file has so many zeros, packed."""
    member = tarfile.TarInfo("bomb")
    member.size = size
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return (
        packer.compress(member.tobuf())
        + b"".join(packer.compress(bytes(2**20)) for _ in range(size >> 20))
        + packer.flush()
    )


@pytest.mark.parametrize("format_", ["tgz", "bz2", "zip"])
def test_bombs(f: Any, session: Any, home: Path, format_: str) -> None:
    """What unpacks to more than the node unpacks ends there, with an error that says the limit, and no half file."""
    session.policy.extract_limit = 10 * 2**20
    size = 200 * 2**20
    packed = zeros_tar(size)
    data = {
        "tgz": lambda: packed,
        "bz2": lambda: bz2.compress(gzip.decompress(packed)),
        "zip": lambda: zip_of(*((f"bomb{number}", bytes(2**20), 0o100644) for number in range(200))),
    }[format_]()
    assert len(data) < 10**6
    (home / "archive").write_bytes(data)
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.extract", source="archive", target="target", format=format_)
    assert (failed.value.kind, failed.value.details) == ("limit", {"limit": 10 * 2**20})
    assert sum(path.stat().st_size for path in (home / "target").iterdir()) <= 10 * 2**20
    assert not (home / "target" / "bomb").exists()


def pax_bomb() -> bytes:
    """A header that says it has two gigabytes of names."""
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = b"x", 2**31
    return member.tobuf() + bytes(2**20)


DAMAGED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nothing": ("tar", lambda: b""),
    "text": ("tgz", lambda: b"this is no archive\n" * 100),
    "text as tar": ("tar", lambda: b"this is no archive\n" * 100),
    "text as bz2": ("bz2", lambda: b"this is no archive\n" * 100),
    "text as zip": ("zip", lambda: b"this is no archive\n" * 100),
    "cut": ("tgz", lambda: gzip.compress(tar_of(({"name": "x"}, os.urandom(10**6))))[:500_000]),
    "cut bz2": ("bz2", lambda: bz2.compress(tar_of(({"name": "x"}, os.urandom(10**6))))[:500_000]),
    "cut tar": ("tar", lambda: tar_of(({"name": "x"}, os.urandom(10**6)))[:500_000]),
    "cut zip": ("zip", lambda: zip_of(("x", os.urandom(10**6), 0o100644))[:500_000]),
    "another sum": ("tgz", lambda: gzip.compress(tar_of(({"name": "x"}, b"1")))[:-8] + b"12345678"),
    "zip with another sum": (
        "zip",
        lambda: zip_of(("x", b"abcdefgh" * 100, 0o100644)).replace(
            struct.pack("<I", zlib.crc32(b"abcdefgh" * 100)), b"\1\2\3\4"
        ),
    ),
    "a header of gigabytes": ("tar", pax_bomb),
    "headers of headers": ("tar", lambda: b"".join(pax_chain() for _ in range(5000))),
}


def pax_chain() -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = b"x", 10
    return member.tobuf() + b"10 a=bcde\n".ljust(512, b"\0")


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_ones(f: Any, session: Any, home: Path, damage: str) -> None:
    """An error of its own kind that names the archive; no half file."""
    format_, make = DAMAGED[damage]
    (home / "archive").write_bytes(make())
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.extract", source="archive", target="target", format=format_)
    assert (failed.value.kind, failed.value.details) == ("archive", {"path": "archive"})
    if damage != "another sum":  # the file in it was whole before that
        assert list((home / "target").iterdir()) == []


def test_damage_at_random(f: Any, session: Any, home: Path) -> None:
    """Bytes changed anywhere: unpacked, or one of the errors that are told; nothing outside."""
    chosen = random.Random(3)
    plain = tar_of(
        ({"name": "a/x"}, b"1" * 700),
        ({"name": "l", "type": tarfile.SYMTYPE, "linkname": "a"}, b""),
        ({"name": "n" * 200}, b"2"),
    )
    kinds = {
        "tar": plain,
        "tgz": gzip.compress(plain),
        "bz2": bz2.compress(plain),
        "zip": zip_of(("a/x", b"1" * 700, 0o100644), ("y", b"2", 0o100644)),
    }
    for _ in range(600):
        format_ = chosen.choice(list(kinds))
        data = bytearray(kinds[format_])
        for _ in range(chosen.randint(1, 4)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        (home / "archive").write_bytes(data)
        try:
            run(f, session, "fs.extract", source="archive", target="target", format=format_)
        except f.Failed as failed:
            assert failed.kind in ("archive", "limit")
        except OSError as error:
            assert error.errno is not None
    assert sorted(path.name for path in home.iterdir()) == ["archive", "target"]


def test_too_many_members(f: Any, session: Any, home: Path) -> None:
    """An error that says the limit."""
    session.policy.entries_limit = 10
    for format_, data in (
        ("tar", tar_of(*(({"name": str(number)}, b"") for number in range(20)))),
        ("zip", zip_of(*((str(number), b"", 0o100644) for number in range(20)))),
    ):
        (home / "archive").write_bytes(data)
        with pytest.raises(f.Failed) as failed:
            run(f, session, "fs.extract", source="archive", target="target", format=format_)
        assert (failed.value.kind, failed.value.details) == ("limit", {"limit": 10})


def test_encrypted_and_unknown_packing(f: Any, session: Any, home: Path) -> None:
    """Refused with the member's name: what bzip2 in a zip unpacks to at once has no bound."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("inner", bytes(10**6))
    encrypted = bytearray(zip_of(("inner", b"1", 0o100644)))
    for place in (encrypted.index(b"PK\1\2") + 8, 6):
        encrypted[place] |= 1
    for data in (made.getvalue(), bytes(encrypted)):
        (home / "archive").write_bytes(data)
        with pytest.raises(f.Failed, match="inner") as failed:
            run(f, session, "fs.extract", source="archive", target="target", format="zip")
        assert failed.value.kind == "archive"


def test_packing_what_links_lead_to(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """With `dereference`; never out of the roots, and never in a circle."""
    (home / "a").mkdir()
    (home / "b").mkdir()
    (home / "b" / "x").write_bytes(b"x")
    (home / "a" / "link").symlink_to("../b")
    (home / "a" / "file").symlink_to("../b/x")
    run(f, session, "fs.compress", source="a", target="a.tgz", dereference=True)
    with tarfile.open(home / "a.tgz") as archive:
        assert sorted((member.name, member.type) for member in archive) == [
            ("a", b"5"), ("a/file", b"0"), ("a/link", b"5"), ("a/link/x", b"0"),
        ]  # fmt: skip
    before = (home / "a.tgz").read_bytes()
    (tmp_path / "outside").write_bytes(b"secret")
    for target, number in ((tmp_path / "outside", 1), ("..", 40), ("nowhere", 2)):
        (home / "a" / "bad").symlink_to(target)
        with pytest.raises(OSError) as error:
            run(f, session, "fs.compress", source="a", target="a.tgz", dereference=True)
        assert error.value.errno == number
        assert error.value.about.startswith("a/")
        assert (home / "a.tgz").read_bytes() == before
        (home / "a" / "bad").unlink()


def test_an_archive_within_what_is_packed(f: Any, session: Any, home: Path) -> None:
    """Neither the new one nor the one that it replaces is a part of it."""
    (home / "a").mkdir()
    (home / "a" / "x").write_bytes(b"x")
    for _ in range(2):
        run(f, session, "fs.compress", source="a/", target="a/a.tgz", dereference=False)
        with tarfile.open(home / "a" / "a.tgz") as archive:
            assert sorted(archive.getnames()) == ["a", "a/x"]


def test_a_file_that_changes_while_it_is_packed(f: Any, session: Any, home: Path) -> None:
    """What it grows by is left out; when it becomes shorter there is no archive."""
    for grows in (True, False):
        (home / "x").write_bytes(b"x" * 10**6)
        steps = f.fs_compress(session, {"source": "x", "target": "x.tgz", "dereference": False}, b"")
        next(steps)
        os.truncate(home / "x", 2 * 10**6 if grows else 10)
        if grows:
            finish(f, steps)
            with tarfile.open(home / "x.tgz") as archive:
                assert archive.getmember("x").size == 10**6
            (home / "x.tgz").unlink()
        else:
            with pytest.raises(f.Failed) as failed:
                finish(f, steps)
            assert failed.value.kind == "state"
            assert not (home / "x.tgz").exists()


def test_memory_of_an_archive(f: Any, session: Any, home: Path) -> None:
    """A file of 200 MB goes through in pieces."""
    import tracemalloc

    with (home / "x").open("wb") as file:
        file.truncate(200 * 10**6)
    tracemalloc.start()
    try:
        run(f, session, "fs.compress", source="x", target="x.tgz", dereference=False)
        run(f, session, "fs.extract", source="x.tgz", target="target", format="tgz")
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert (home / "target" / "x").stat().st_size == 200 * 10**6
