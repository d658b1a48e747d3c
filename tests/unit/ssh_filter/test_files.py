"""File operations: what they do, and that they stay within the roots and off start-up files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unit


def do(f: Any, session: Any, op: str, path: object, payload: bytes = b"", **arguments: Any) -> Any:
    """Run an operation to its end: the result, and the bytes that it sends."""
    operation = f.OPERATIONS[op]
    if operation.streams:
        sink = operation.function(session, {"path": str(path), **arguments}, len(payload))
        sink.write(payload)
        return sink.finish()
    outcome = operation.function(session, {"path": str(path), **arguments}, payload)
    if isinstance(outcome, dict):
        return outcome
    sent = b""
    while True:
        try:
            step = next(outcome)
        except StopIteration as stop:
            return (stop.value, sent) if op == "fs.read" else stop.value
        if isinstance(step, bytes):
            sent += step


def test_stat(f: Any, session: Any, home: Path) -> None:
    """The numbers of stat(2), as integers."""
    (home / "x").write_bytes(b"12345")
    expected = (home / "x").stat()
    found = do(f, session, "fs.stat", home / "x", dereference=True)
    assert all(type(value) is int for value in found.values())
    assert (found["size"], found["ino"], found["mode"]) == (5, expected.st_ino, expected.st_mode)
    assert found["mtime"] == int(expected.st_mtime)


def test_stat_of_a_link(f: Any, session: Any, home: Path) -> None:
    """The link itself or what it leads to; a link that leads out of the roots only as itself."""
    (home / "x").write_bytes(b"12345")
    (home / "link").symlink_to("x")
    (home / "out").symlink_to("/etc/passwd")
    assert do(f, session, "fs.stat", home / "link", dereference=True)["size"] == 5
    assert stat.S_ISLNK(do(f, session, "fs.stat", home / "link", dereference=False)["mode"])
    assert stat.S_ISLNK(do(f, session, "fs.stat", home / "out", dereference=False)["mode"])
    with pytest.raises(PermissionError):
        do(f, session, "fs.stat", home / "out", dereference=True)


def test_stat_does_not_open(f: Any, session: Any, home: Path) -> None:
    """A pipe without a writer must not block the channel."""
    os.mkfifo(home / "pipe")
    assert stat.S_ISFIFO(do(f, session, "fs.stat", home / "pipe", dereference=True)["mode"])


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("fs.stat", {"dereference": True}),
        ("fs.read", {"offset": 0, "length": 10}),
        ("fs.checksum", {"limit": 10}),
        ("fs.write", {"mode": 0o600, "overwrite": True}),
        ("fs.mkdir", {"mode": 0o700, "parents": False}),
        ("fs.mkdir", {"mode": 0o700, "parents": True}),
    ],
)
@pytest.mark.parametrize(
    "way", ["directly", "by a link", "by a neighbour of the same beginning", "by the parent of the root"]
)
def test_nothing_outside_of_the_roots(
    f: Any, session: Any, home: Path, tmp_path: Path, op: str, arguments: dict[str, Any], way: str
) -> None:
    """Every operation, on every way out: an error, and nothing is made or changed there."""
    outside = tmp_path / "homer"
    outside.mkdir()
    (outside / "file").write_text("secret")
    (home / "link").symlink_to(outside)
    # A file of our own and never one of the system: `make guards` runs this with the refusal taken out.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("secret")
    path = {
        "directly": elsewhere / "file",
        "by a link": home / "link" / "file",
        "by a neighbour of the same beginning": outside / "file",
        "by the parent of the root": tmp_path / "new",
    }[way]
    if op == "fs.mkdir" and way == "by a link":
        path = home / "link" / "new" / "deeper"
        if not arguments["parents"]:
            path = home / "link" / "new"
    before = sorted(tmp_path.rglob("*"))
    # What is not there, or is no folder, is not even looked at further.
    with pytest.raises((PermissionError, FileNotFoundError, NotADirectoryError)):
        do(f, session, op, path, b"x", **arguments)
    assert sorted(tmp_path.rglob("*")) == before
    assert (outside / "file").read_text() == (elsewhere / "file").read_text() == "secret"


def test_links_within_the_roots_are_followed(f: Any, session: Any, home: Path) -> None:
    """Home folders full of links to scratch are normal."""
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    do(f, session, "fs.write", home / "link" / "x", b"1", mode=0o600, overwrite=False)
    assert (home / "real" / "x").read_bytes() == b"1"


def test_root_of_the_file_system_as_root(f: Any, session: Any, home: Path) -> None:
    """`/` as the root allows everything that the user may do."""
    session.roots = [b"/"]
    assert do(f, session, "fs.stat", "/etc/passwd", dereference=True)["size"] > 0
    assert do(f, session, "fs.stat", "/", dereference=True)["size"] > 0


def test_link_that_changes_while_we_look(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """Somebody swaps a link in and out all the time: a read gives the inner file or an error, never the outer one."""
    (home / "inner").mkdir()
    (home / "inner" / "x").write_bytes(b"inner")
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "x").write_bytes(b"outer")
    (home / "link").symlink_to("inner")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in (str(outer), "inner"):
                (home / "temporary").symlink_to(target)
                (home / "temporary").rename(home / "link")

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                seen.add(do(f, session, "fs.read", home / "link" / "x", offset=0, length=100)[1])
            except PermissionError:
                seen.add(b"refused")
            with contextlib.suppress(PermissionError):
                do(f, session, "fs.write", home / "link" / "new", b"x", mode=0o600, overwrite=True)
    finally:
        stop.set()
        thread.join()
    assert seen == {b"inner", b"refused"}
    assert [path.name for path in outer.iterdir()] == ["x"]


@pytest.mark.parametrize("op", ["fs.read", "fs.checksum", "fs.write", "fs.mkdir", "parents"])
def test_a_race_between_check_and_open(
    f: Any, session: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, op: str
) -> None:
    """The link is changed in the very moment after it was found good: what was looked at is used, and not its name again."""
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "x").write_bytes(b"outer")
    (home / "inner").mkdir()
    (home / "inner" / "x").write_bytes(b"inner")
    (home / "link").symlink_to("inner")
    check = f.require_within_roots

    def check_and_change(*arguments: Any) -> None:
        check(*arguments)
        (home / "temporary").symlink_to(outer)
        (home / "temporary").rename(home / "link")

    monkeypatch.setattr(f, "require_within_roots", check_and_change)
    if op == "fs.read":
        assert do(f, session, op, home / "link" / "x", offset=0, length=9)[1] == b"inner"
    elif op == "fs.checksum":
        assert do(f, session, op, home / "link" / "x", limit=9)["sha256"] == hashlib.sha256(b"inner").hexdigest()
    elif op == "fs.write":
        do(f, session, op, home / "link" / "new", b"x", mode=0o600, overwrite=True)
    else:
        do(f, session, "fs.mkdir", home / "link" / "new", mode=0o700, parents=op == "parents")
    assert [path.name for path in outer.iterdir()] == ["x"]
    assert (home / "inner" / "new").exists() is (op not in ("fs.read", "fs.checksum"))
    assert (home / "link").readlink() == outer  # it was changed


def test_mkdir(f: Any, session: Any, home: Path) -> None:
    """One folder with its mode; again is an error."""
    assert do(f, session, "fs.mkdir", home / "a", mode=0o750, parents=False) == {}
    assert stat.S_IMODE((home / "a").stat().st_mode) == 0o750
    with pytest.raises(FileExistsError):
        do(f, session, "fs.mkdir", home / "a", mode=0o750, parents=False)
    with pytest.raises(FileNotFoundError):
        do(f, session, "fs.mkdir", home / "b" / "c", mode=0o750, parents=False)


def test_mkdir_with_parents(f: Any, session: Any, home: Path) -> None:
    """As many as are missing; existing ones keep their mode; a file in the way is an error."""
    (home / "a").mkdir(mode=0o755)
    for _ in range(2):
        assert do(f, session, "fs.mkdir", f"{home}/a//b/./c/d/", mode=0o700, parents=True) == {}
    assert (home / "a" / "b" / "c" / "d").is_dir()
    assert stat.S_IMODE((home / "a").stat().st_mode) == 0o755
    (home / "file").write_text("")
    (home / "link").symlink_to("file")
    with pytest.raises(NotADirectoryError):
        do(f, session, "fs.mkdir", home / "file" / "x", mode=0o700, parents=True)
    for name in ("file", "link"):  # as mkdir(1) says it
        with pytest.raises(FileExistsError):
            do(f, session, "fs.mkdir", home / name, mode=0o700, parents=True)
    (home / "dangling").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        do(f, session, "fs.mkdir", home / "dangling" / "x", mode=0o700, parents=True)


@pytest.mark.parametrize("deep", [300])
def test_mkdir_very_deep(f: Any, session: Any, home: Path, deep: int) -> None:
    """A long path of missing folders is no recursion."""
    do(f, session, "fs.mkdir", str(home) + "/d" * deep, mode=0o700, parents=True)
    assert Path(str(home) + "/d" * deep).is_dir()


def test_read(f: Any, session: Any, home: Path) -> None:
    """A part, the whole, and behind the end; pieces are at most 256 KiB."""
    data = os.urandom(600_000)
    (home / "x").write_bytes(data)
    assert do(f, session, "fs.read", home / "x", offset=10, length=5) == ({"size": 5, "fileSize": 600_000}, data[10:15])
    assert do(f, session, "fs.read", home / "x", offset=0, length=10**6) == (
        {"size": 600_000, "fileSize": 600_000},
        data,
    )
    assert do(f, session, "fs.read", home / "x", offset=10**9, length=5) == ({"size": 0, "fileSize": 600_000}, b"")
    assert do(f, session, "fs.read", home / "x", offset=0, length=0) == ({"size": 0, "fileSize": 600_000}, b"")
    pieces = f.fs_read(session, {"path": str(home / "x"), "offset": 0, "length": 10**6}, b"")
    assert max(len(piece) for piece in pieces) <= 256 * 1024


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_read_of_what_is_no_file(f: Any, session: Any, home: Path, kind: str) -> None:
    """An error at once, and not a channel that hangs on a pipe."""
    path = home / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        session.roots = [b"/dev"]
        path = Path("/dev/zero")
    with pytest.raises(OSError) as error:
        do(f, session, "fs.read", path, offset=0, length=5)
    assert error.value.strerror in ("Is a directory", "not a regular file")


def test_descriptors_are_closed(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """A channel does hundreds of operations: none may leave a descriptor behind, in success or in failure."""
    (home / "x").write_bytes(b"1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "outside").write_bytes(b"1")
    for path in (home / "x", home, home / "missing", tmp_path / "outside"):
        for op, arguments in (
            ("fs.stat", {"dereference": True}),
            ("fs.read", {"offset": 0, "length": 10}),
            ("fs.checksum", {"limit": 10}),
            ("fs.write", {"mode": 0o600, "overwrite": False}),
            ("fs.mkdir", {"mode": 0o700, "parents": True}),
            ("fs.mkdir", {"mode": 0o700, "parents": False}),
        ):
            with contextlib.suppress(OSError):
                do(f, session, op, path, b"x", **arguments)
    unfinished = f.fs_read(session, {"path": str(home / "x"), "offset": 0, "length": 10}, b"")
    next(unfinished)
    unfinished.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_write(f: Any, session: Any, home: Path) -> None:
    """The bytes, the mode, and nothing else in the folder."""
    assert do(f, session, "fs.write", home / "x", b"123", mode=0o640, overwrite=False) == {"size": 3}
    assert (home / "x").read_bytes() == b"123"
    assert stat.S_IMODE((home / "x").stat().st_mode) == 0o640
    assert [path.name for path in home.iterdir()] == ["x"]


def test_what_is_written_over_keeps_its_mode(f: Any, session: Any, home: Path) -> None:
    """More and less than a new file would have, whatever the umask; of a link what it leads to has. Bits that give rights are not kept."""
    umask = os.umask(0o077)
    try:
        for name, before, after in (("open", 0o666, 0o666), ("closed", 0o400, 0o400), ("set", 0o4755, 0o755)):
            (home / name).write_bytes(b"old")
            (home / name).chmod(before)
            do(f, session, "fs.write", home / name, b"new", mode=0o644, overwrite=True)
            assert ((home / name).read_bytes(), stat.S_IMODE((home / name).stat().st_mode)) == (b"new", after)
        (home / "link").symlink_to("closed")
        (home / "dangling").symlink_to("nowhere")
        do(f, session, "fs.write", home / "link", b"new", mode=0o644, overwrite=True)
        do(f, session, "fs.write", home / "dangling", b"new", mode=0o644, overwrite=True)
        assert [stat.S_IMODE((home / name).lstat().st_mode) for name in ("link", "dangling")] == [0o400, 0o600]
        (home / "out").symlink_to("/etc/passwd")
        with pytest.raises(PermissionError):
            do(f, session, "fs.write", home / "out", b"new", mode=0o644, overwrite=True)
        assert (home / "out").is_symlink()
    finally:
        os.umask(umask)


def test_write_over_something(f: Any, session: Any, home: Path) -> None:
    """Only with `overwrite`; a link is replaced and what it leads to is untouched; a folder is never replaced."""
    (home / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        do(f, session, "fs.write", home / "x", b"new", mode=0o600, overwrite=False)
    (home / "link").symlink_to("x")
    do(f, session, "fs.write", home / "link", b"new", mode=0o600, overwrite=True)
    assert ((home / "x").read_bytes(), (home / "link").read_bytes(), (home / "link").is_symlink()) == (
        b"old",
        b"new",
        False,
    )
    (home / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        do(f, session, "fs.write", home / "folder", b"new", mode=0o600, overwrite=True)
    assert sorted(path.name for path in home.iterdir()) == ["folder", "link", "x"]


def test_a_reader_sees_the_old_file_or_the_new_one(f: Any, session: Any, home: Path) -> None:
    """The old file stays whole for whoever has it open: a new one takes its name."""
    (home / "x").write_bytes(b"old")
    with (home / "x").open("rb") as reader:
        do(f, session, "fs.write", home / "x", b"new", mode=0o600, overwrite=True)
        assert reader.read() == b"old"


@pytest.mark.parametrize(
    "name",
    [
        ".bashrc",
        ".profile",
        ".ssh/authorized_keys",
        ".ssh",
        ".config/systemd/user/x.service",
        "deep/.bashrc",
        ".forward",
        ".rhosts",
    ],
)
def test_start_up_files_are_out_of_reach(f: Any, session: Any, home: Path, name: str) -> None:
    """Neither written nor made, in whatever folder; reading them is the user's right."""
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    before = sorted(home.rglob("*"))
    for op, arguments in (
        ("fs.write", {"mode": 0o600, "overwrite": True}),
        ("fs.mkdir", {"mode": 0o700, "parents": False}),
        ("fs.mkdir", {"mode": 0o700, "parents": True}),
    ):
        with pytest.raises(PermissionError) as error:
            do(f, session, op, path, b"x", **arguments)
        assert "start-up file" in error.value.strerror
    assert sorted(home.rglob("*")) == before


def test_start_up_files_by_a_link(f: Any, session: Any, home: Path) -> None:
    """Neither through a link to .ssh, nor where .bashrc is a link to."""
    (home / ".ssh").mkdir()
    (home / "harmless").symlink_to(".ssh")
    with pytest.raises(PermissionError):
        do(f, session, "fs.write", home / "harmless" / "authorized_keys", b"x", mode=0o600, overwrite=True)
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "shell-setup").write_text("")
    (home / ".bashrc").symlink_to("dotfiles/shell-setup")
    with pytest.raises(PermissionError):
        do(f, session, "fs.write", home / "dotfiles" / "shell-setup", b"x", mode=0o600, overwrite=True)


@pytest.mark.parametrize("name", ["bashrc", ".bashrc2", "x.ssh", ".config/app", "config/systemd"])
def test_names_that_only_look_like_them(f: Any, session: Any, home: Path, name: str) -> None:
    """Whole components are compared."""
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    do(f, session, "fs.write", home / name, b"x", mode=0o600, overwrite=False)


def test_policy_can_allow_start_up_files(f: Any, session: Any, home: Path) -> None:
    """By an empty list."""
    session.policy.protected_names = []
    do(f, session, "fs.write", home / ".bashrc", b"x", mode=0o600, overwrite=False)


def test_checksum(f: Any, session: Any, home: Path) -> None:
    """The digest; above the limit an error that says the limit; also for a file that grows meanwhile."""
    data = os.urandom(3_000_000)
    (home / "x").write_bytes(data)
    expected = {"sha256": hashlib.sha256(data).hexdigest(), "size": 3_000_000}
    assert do(f, session, "fs.checksum", home / "x", limit=3_000_000) == expected
    with pytest.raises(f.Failed) as failed:
        do(f, session, "fs.checksum", home / "x", limit=2_999_999)
    assert (failed.value.kind, failed.value.details) == ("limit", {"limit": 2_999_999})
    growing = f.fs_checksum(session, {"path": str(home / "x"), "limit": 3_000_000}, b"")
    next(growing)
    with (home / "x").open("ab") as file:
        file.write(b"1")
    with pytest.raises(f.Failed):
        list(growing)


def test_names_beyond_ascii(f: Any, session: Any, home: Path) -> None:
    """UTF-8 on the wire is UTF-8 on the disk, whatever the locale of the node."""
    do(f, session, "fs.write", home / "Größe 😀", b"x", mode=0o600, overwrite=False)
    assert [os.fsencode(path.name) for path in home.iterdir()] == ["Größe 😀".encode()]


@pytest.mark.parametrize("path", ["/", "/.", "//"])
def test_paths_without_a_name(f: Any, session: Any, path: str) -> None:
    """An error and no exception of another kind."""
    session.roots = [b"/"]
    with pytest.raises(OSError):
        do(f, session, "fs.write", path, b"x", mode=0o600, overwrite=True)


def test_whoami(f: Any, session: Any) -> None:
    """Names and numbers of the user's groups."""
    assert f.sys_whoami(session, {}, b"") == {
        "user": "alice",
        "uid": 20001,
        "gid": 20001,
        "home": session.home,
        "groups": [{"name": "alice", "id": 20001}, {"name": "project", "id": 30000}],
    }
