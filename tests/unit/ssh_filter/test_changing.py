"""fs.rename, fs.copy, fs.chmod, fs.chown, fs.symlink and fs.rm: the same as the programs do."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unit.ssh_filter.running import finish, run

pytestmark = pytest.mark.unit


def zoo(top: Path) -> None:
    """A tree with one of everything."""
    (top / "folder" / "deep").mkdir(parents=True)
    (top / "file").write_bytes(b"12345")
    (top / "file").chmod(0o6754)
    (top / "folder" / "second name").hardlink_to(top / "file")
    (top / "folder" / "deep" / "third").hardlink_to(top / "file")
    (top / "folder" / "link").symlink_to("../file")
    (top / "dangling").symlink_to("/no/where")
    os.link(top / "dangling", top / "dangling too", follow_symlinks=False)
    os.mkfifo(top / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(top / "socket"))
    (top / os.fsdecode(b"\xff\n-x")).write_bytes(b"odd")
    with (top / "sparse").open("wb") as file:
        file.seek(10**7)
        file.write(b"x")
        file.seek(3 * 10**7)
        file.write(b"y")
        file.truncate(5 * 10**7)
    os.setxattr(top / "file", "user.colour", b"green")
    if os.geteuid() == 0:
        os.mknod(top / "device", 0o020666, os.makedev(1, 3))
        os.chown(top / "folder", 12345, 54321)
    for place in sorted(top.rglob("*"), reverse=True):
        os.utime(place, (10**9, 10**9 + 5), follow_symlinks=False)
    (top / "folder").chmod(0o2750)
    (top / "folder" / "deep").chmod(0o500)


def picture(top: Path) -> dict[str, Any]:
    """All that a copy must keep, by name."""
    seen: dict[tuple[int, int], str] = {}
    found = {}
    for place in [top, *sorted(top.rglob("*"))]:
        this = place.lstat()
        name = str(place.relative_to(top))
        content: Any = str(place.readlink()) if place.is_symlink() else ""
        if stat.S_ISREG(this.st_mode):
            content = (place.read_bytes(), dict.fromkeys(os.listxattr(place)), this.st_blocks)
        first = seen.setdefault((this.st_dev, this.st_ino), name)
        found[name] = (this.st_mode, this.st_uid, this.st_gid, this.st_mtime, this.st_rdev, content, first)
    return found


def test_a_copy_is_that_of_cp(f: Any, session: Any, home: Path) -> None:
    """Links, hard links, holes, special files, modes, owners, times, attributes; into a folder, under a new name, onto a copy."""
    (home / "a").mkdir()
    zoo(home / "a")
    before = picture(home / "a")
    subprocess.run(["cp", "--force", "-dR", "--preserve=all", "--", home / "a", home / "by cp"], check=True)
    answer, _ = run(f, session, "fs.copy", source="a", target="b")
    assert picture(home / "b") == picture(home / "by cp") == before
    assert answer["files"] == len(before)
    assert answer["bytes"] < 10**5  # holes are not read
    (home / "into").mkdir()
    run(f, session, "fs.copy", source=home / "a", target="into/")
    assert picture(home / "into" / "a") == before
    (home / "b" / "file").write_bytes(b"changed")
    (home / "b" / "more").write_bytes(b"")
    run(f, session, "fs.copy", source="a/", target=home / "into")  # once more, onto what is there
    assert picture(home / "into" / "a") == before
    assert picture(home / "a") == before


def test_copies_of_files(f: Any, session: Any, home: Path) -> None:
    """A link as a link; onto a file that a link leads to; onto one that cannot be written."""
    (home / "x").write_bytes(b"new")
    (home / "folder").mkdir()
    (home / "folder" / "old").write_bytes(b"old")
    (home / "folder" / "old").chmod(0o400)
    (home / "to old").symlink_to("folder/old")
    assert run(f, session, "fs.copy", source="x", target="to old")[0] == {"files": 1, "bytes": 3}
    assert (home / "folder" / "old").read_bytes() == b"new"
    assert (home / "to old").is_symlink()
    run(f, session, "fs.copy", source="to old", target="another")
    assert (home / "another").readlink() == Path("folder/old")
    run(f, session, "fs.copy", source="x", target="folder")
    assert (home / "folder" / "x").read_bytes() == b"new"


REFUSED = [
    ("missing", "new", FileNotFoundError, "missing"),
    ("x", "missing/new", FileNotFoundError, "missing/new"),
    ("x", "new/", NotADirectoryError, "new/"),
    ("x/y", "new", NotADirectoryError, "x/y"),
    ("x/", "new", NotADirectoryError, "x/"),
    ("folder", "x", NotADirectoryError, "x"),
    ("x", "target", IsADirectoryError, "target/x"),
]


@pytest.mark.parametrize("op", ["fs.copy", "fs.rename"])
@pytest.mark.parametrize(("source", "target", "kind", "path"), REFUSED)
def test_which_of_the_two_failed(
    f: Any, session: Any, home: Path, op: str, source: str, target: str, kind: type[OSError], path: str
) -> None:
    """The error names the one that it is about, in the words of the request."""
    (home / "x").write_bytes(b"x")
    (home / "folder" / "in").mkdir(parents=True)
    (home / "target" / "x").mkdir(parents=True)
    before = sorted(home.rglob("*"))
    with pytest.raises(kind) as error:
        run(f, session, op, source=source, target=target)
    assert f.error_path(error.value, {"source": source, "target": target}) == path
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("op", ["fs.copy", "fs.rename"])
@pytest.mark.parametrize(
    ("source", "target"), [("x", "x"), ("x", "./x"), ("x", "link"), ("folder", "folder/in"), ("folder", "folder")]
)
def test_onto_itself(f: Any, session: Any, home: Path, op: str, source: str, target: str) -> None:
    """The same file is an error of its own kind, a folder into itself the system's; nothing is lost."""
    (home / "x").write_bytes(b"x")
    (home / "link").symlink_to("x")
    (home / "folder" / "in").mkdir(parents=True)
    before = picture(home).keys()
    if (op, target) == ("fs.rename", "link"):
        run(f, session, op, source=source, target=target)  # the link is replaced, as mv does
        assert (home / "link").read_bytes() == b"x"
        return
    with pytest.raises((f.Failed, OSError)) as failed:
        run(f, session, op, source=source, target=target)
    if source == "folder":
        told = getattr(failed.value, "details", None) or {"errno": failed.value.errno, "path": failed.value.about}
        assert told["errno"] == errno.EINVAL
        assert told["path"].startswith(target)
    else:
        assert failed.value.kind == "state"
    assert picture(home).keys() == before


def test_rename(f: Any, session: Any, home: Path) -> None:
    """Onto a file, onto a link, into a folder and a link to one, a folder onto an empty one, one of two names onto the other."""
    for name in "abcde":
        (home / name).write_bytes(name.encode())
    (home / "folder").mkdir()
    (home / "link").symlink_to("a")
    (home / "way").symlink_to("folder")
    assert run(f, session, "fs.rename", source="b", target="a") == ({}, b"")
    assert (home / "a").read_bytes() == b"b"
    run(f, session, "fs.rename", source="c", target="link")
    assert not (home / "link").is_symlink()
    assert (home / "a").read_bytes() == b"b"
    run(f, session, "fs.rename", source="d", target="way")
    run(f, session, "fs.rename", source=home / "e", target="folder/")
    assert sorted(path.name for path in (home / "folder").iterdir()) == ["d", "e"]
    (home / "empty").mkdir()
    (home / "m").mkdir()
    (home / "m" / "empty").mkdir()
    (home / "empty" / "x").write_bytes(b"")
    run(f, session, "fs.rename", source="empty", target="m")
    assert (home / "m" / "empty" / "x").exists()
    with pytest.raises(OSError, match="not empty"):
        (home / "empty").mkdir()
        run(f, session, "fs.rename", source="empty", target="m")
    (home / "one").write_bytes(b"1")
    (home / "two").hardlink_to(home / "one")
    run(f, session, "fs.rename", source="one", target="two")
    assert not (home / "one").exists()


def rename_within(f: Any, session: Any, source: tuple[Path, str], target: tuple[Path, str]) -> None:
    """rename_entry, with a descriptor and the text of a path for each folder, as two mounts of one folder have them."""
    (folder, name), (target_folder, target_name) = source, target
    texts = (f"{folder}/{name}", f"/elsewhere{target_folder}/{target_name}")
    first, second = (os.open(each, os.O_PATH) for each in (folder, target_folder))
    try:
        entries = (
            (first, os.fsencode(folder), os.fsencode(name)),
            (second, b"/elsewhere" + os.fsencode(target_folder), os.fsencode(target_name)),
        )
        found = os.stat(name, dir_fd=first, follow_symlinks=False)
        finish(f, f.rename_entry(session, texts, *entries, found))
    finally:
        os.close(first)
        os.close(second)


@pytest.mark.parametrize("links", [1, 2])
def test_one_entry_by_two_paths(f: Any, session: Any, home: Path, links: int) -> None:
    """A folder that is reached by two paths: the file is the same one, and stays; also when it has names elsewhere."""
    (home / "a").write_bytes(b"a")
    if links == 2:
        (home / "b").hardlink_to(home / "a")
    with pytest.raises(f.Failed) as failed:
        rename_within(f, session, (home, "a"), (home, "a"))
    assert failed.value.kind == "state"
    assert "are the same file" in failed.value.message
    assert (home / "a").read_bytes() == b"a"


def test_two_entries_by_two_paths(f: Any, session: Any, home: Path) -> None:
    """Of one folder, and of two: as mv does, the first of two names goes."""
    (home / "folder").mkdir()
    for folder in (home, home / "folder"):
        (home / "a").write_bytes(b"a")
        (folder / "b").hardlink_to(home / "a")
        rename_within(f, session, (home, "a"), (folder, "b"))
        assert not (home / "a").exists()
        assert (folder / "b").read_bytes() == b"a"


@pytest.mark.parametrize("what", ["file", "folder", "file with two names"])
@pytest.mark.parametrize("renames", [True, False])
def test_names_that_the_folder_does_not_tell_apart(
    f: Any, session: Any, home: Path, monkeypatch: pytest.MonkeyPatch, what: str, renames: bool
) -> None:
    """`a` to `A` where the folder finds one by the other: renamed, or an error where the kernel does nothing; never lost."""
    (home / "folder").mkdir()
    entry = home / "folder" / "a"
    entry.mkdir() if what == "folder" else entry.write_bytes(b"a")
    if what == "file with two names":
        (home / "elsewhere").hardlink_to(entry)
    stat_below = f.stat_below

    def without_case(folder: int, name: bytes) -> Any:
        return stat_below(folder, name) or stat_below(folder, name.lower()) or stat_below(folder, name.upper())

    monkeypatch.setattr(f, "stat_below", without_case)
    if renames:
        run(f, session, "fs.rename", source="folder/a", target="folder/A")
        assert [path.name for path in (home / "folder").iterdir()] == ["A"]
        return
    with monkeypatch.context() as patch, pytest.raises(f.Failed) as failed:
        patch.setattr(os, "rename", lambda *names, **folders: None)  # what Linux does with two names of one inode
        run(f, session, "fs.rename", source="folder/a", target="folder/A")
    assert failed.value.kind == "state"
    assert "rename it to a third one first" in failed.value.message
    assert entry.exists()


def test_two_names_elsewhere_of_a_file_without_second_ones(
    f: Any, session: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two folders, and yet with one link: whatever shows it twice, it stays."""
    (home / "folder").mkdir()
    (home / "a").write_bytes(b"a")
    seen = (home / "a").stat()
    monkeypatch.setattr(f, "stat_below", lambda folder, name: seen)
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.rename", source="a", target="folder/b")
    assert failed.value.kind == "state"
    assert (home / "a").read_bytes() == b"a"


def test_to_another_file_system(f: Any, session: Any, home: Path) -> None:
    """Copied, and removed only when all is there."""
    other = Path("/dev/shm") / f"goldcrest-{os.getpid()}"
    other.mkdir()
    session.roots.append(os.fsencode(other))
    assert other.stat().st_dev != home.stat().st_dev
    try:
        (home / "a").mkdir()
        zoo(home / "a")
        (home / "a" / ".gitconfig").write_bytes(b"kept, as by a rename")
        before = {name: (*row[:5], row[6]) for name, row in picture(home / "a").items()}
        run(f, session, "fs.rename", source="a", target=other)
        assert {name: (*row[:5], row[6]) for name, row in picture(other / "a").items()} == before
        assert not (home / "a").exists()
    finally:
        shutil.rmtree(other)


def test_modes_are_those_of_chmod(f: Any, session: Any, home: Path) -> None:
    """Octal and symbolic ones at random, of files and folders, beside chmod(1) with the same umask."""
    chosen = random.Random(7)
    modes = [
        "0",
        "7",
        "644",
        "0755",
        "4755",
        "00755",
        "07777",
        "=",
        "+",
        "-",
        "u=",
        "a+x",
        "u+s",
        "g+s",
        "+t",
        "o+t",
        "X",
        "a=rwX",
        "u=g",
        "go=u",
    ]
    for _ in range(150):
        clauses = []
        for _ in range(chosen.choice((1, 1, 2, 3))):
            actions = "".join(
                chosen.choice("-+=")
                + (
                    chosen.choice(("u", "g", "o", "7", "0644", "04000"))
                    if chosen.random() < 0.25
                    else "".join(chosen.sample("rwxXst", chosen.randint(0, 4)))
                )
                for _ in range(chosen.choice((1, 1, 2)))
            )
            clauses.append("".join(chosen.sample("ugoa", chosen.randint(0, 3))) + actions)
        modes.append(",".join(clauses))
    ours, theirs = home / "ours", home / "theirs"
    tried = 0
    session.policy.umask = 0o027
    for make, text in itertools.product((Path.touch, Path.mkdir), modes):
        start = chosen.randrange(0o10000)
        for path in (ours, theirs):
            make(path)
            path.chmod(start)
        done = subprocess.run(["chmod", "--", text, theirs], capture_output=True, umask=0o027, check=False)
        if not f.is_mode_text(text):
            assert done.returncode or text == "X", text
        else:
            answer, _ = run(f, session, "fs.chmod", path=ours, mode=text)
            expected = stat.S_IMODE(theirs.stat().st_mode)
            assert answer == {"before": start, "after": expected}, (text, oct(start), oct(expected))
            assert stat.S_IMODE(ours.stat().st_mode) == expected
            tried += 1
        for path in (ours, theirs):
            path.rmdir() if path.is_dir() else path.unlink()
    assert tried > 150


def test_mode_of_a_link(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """Of what it leads to; out of the roots nothing is changed."""
    (home / "x").write_bytes(b"")
    (home / "link").symlink_to("x")
    (tmp_path / "outside").write_bytes(b"")
    (home / "out").symlink_to(tmp_path / "outside")
    run(f, session, "fs.chmod", path="link", mode="0600")
    assert stat.S_IMODE((home / "x").stat().st_mode) == 0o600
    before = (tmp_path / "outside").stat().st_mode
    with pytest.raises(PermissionError):
        run(f, session, "fs.chmod", path="out", mode="0666")
    assert (tmp_path / "outside").stat().st_mode == before


def test_owner(f: Any, session: Any, home: Path) -> None:
    """By name and number; names where there are, else digits; who is not known is said."""
    (home / "x").write_bytes(b"")
    os.chown(home / "x", 12345, 54321)
    answer, _ = run(f, session, "fs.chown", path="x", owner="nobody", group="0")
    assert answer == {"ownerBefore": "12345", "groupBefore": "54321", "owner": "nobody", "group": "root"}
    answer, _ = run(f, session, "fs.chown", path="x", group="12345")
    assert answer == {"ownerBefore": "nobody", "groupBefore": "root", "owner": "nobody", "group": "12345"}
    for what in ("owner", "group"):
        for name in ("no such one", "99999999999", "4294967295", "-1", "-R"):
            with pytest.raises(f.Failed) as failed:
                run(f, session, "fs.chown", path="x", **{what: name})
            assert (failed.value.kind, failed.value.details) == ("unknown", {"what": what})
    with pytest.raises(f.Refused):
        run(f, session, "fs.chown", path="x")


def test_symbolic_links(f: Any, session: Any, home: Path) -> None:
    """Any text; in a folder under its last name; never over something."""
    run(f, session, "fs.symlink", target="../../anything\\xff", path="a")
    assert os.fsencode((home / "a").readlink()) == b"../../anything\xff"
    with pytest.raises(FileExistsError):
        run(f, session, "fs.symlink", target="x", path="a")
    (home / "folder").mkdir()
    run(f, session, "fs.symlink", target="/x/y", path="folder")
    assert (home / "folder" / "y").readlink() == Path("/x/y")
    with pytest.raises(FileNotFoundError):
        run(f, session, "fs.symlink", target="x", path="missing/x")


def test_remove(f: Any, session: Any, home: Path) -> None:
    """Trees of everything, links and not what they lead to, very deep ones, very many files."""
    (home / "kept").mkdir()
    (home / "kept" / "x").write_bytes(b"")
    (home / "a").mkdir()
    zoo(home / "a")
    (home / "a" / "link").symlink_to("../kept")
    number = len(picture(home / "a"))
    assert run(f, session, "fs.rm", path="a")[0] == {"removed": number}
    (home / "link").symlink_to("kept")
    with pytest.raises(NotADirectoryError):
        run(f, session, "fs.rm", path="link/")
    run(f, session, "fs.rm", path="link")
    with pytest.raises(FileNotFoundError):
        run(f, session, "fs.rm", path="a")
    assert [str(path.relative_to(home)) for path in sorted(home.rglob("*"))] == ["kept", "kept/x"]
    place = os.open(home, os.O_RDONLY)
    for _ in range(1000):  # the path is far longer than what the kernel takes as one
        os.mkdir("deep folder", dir_fd=place)
        below = os.open("deep folder", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    assert run(f, session, "fs.rm", path="deep folder")[0] == {"removed": 1000}
    (home / "many").mkdir()
    for number in range(10_500):
        (home / "many" / str(number)).touch()
    assert run(f, session, "fs.rm", path="many")[0] == {"removed": 10_501}


@pytest.mark.parametrize("path", [".", "./", "/", "sub/."])
def test_what_is_no_name(f: Any, session: Any, home: Path, path: str) -> None:
    """As rm refuses it."""
    (home / "sub").mkdir()
    with pytest.raises(OSError):
        run(f, session, "fs.rm", path=path)
    assert (home / "sub").is_dir()


def test_home_and_roots_stay(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """They are the site's, and their content is not removed on the way."""
    session.roots = [os.fsencode(tmp_path), os.fsencode(tmp_path / "scratch")]
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "x").touch()
    (home / "x").touch()
    for path in (home, tmp_path / "scratch"):
        for op, arguments in (("fs.rm", {"path": path}), ("fs.rename", {"source": path, "target": tmp_path / "new"})):
            with pytest.raises(PermissionError):
                run(f, session, op, **arguments)
            assert (path / "x").exists()


def test_names_of_all_kinds(f: Any, session: Any, home: Path) -> None:
    """Blanks, quotes, line breaks, escapes of terminals, leading dashes, 255 bytes, bytes that are no UTF-8: made, read, copied, moved, removed."""
    for name in (
        " a b ",
        "'\"$(x)`",
        "new\nline",
        "\x1b[2J\x07",
        "-rf",
        "--",
        "~root",
        "*",
        "x" * 255,
        "\\xff\\xfe",
        "\\x5cxff",
        "größe😀",
    ):
        run(f, session, "fs.write", b"content", path=name, mode=0o600, overwrite=False)
        run(f, session, "fs.copy", source=name, target="copy")
        run(f, session, "fs.rename", source="copy", target="moved")
        run(f, session, "fs.rm", path=name)
        run(f, session, "fs.rename", source="moved", target=name)
        assert run(f, session, "fs.read", path=name, offset=0, length=100)[1] == b"content"
        assert [f.name_text(os.fsencode(path.name)) for path in home.iterdir()] == [name]
        run(f, session, "fs.rm", path=name)
    with pytest.raises(OSError) as error:
        run(f, session, "fs.write", b"", path="x" * 256, mode=0o600, overwrite=False)
    assert error.value.errno == 36


def test_too_many(f: Any, session: Any, home: Path) -> None:
    """An error that says the limit, before memory or time are gone."""
    (home / "a").mkdir()
    for number in range(30):
        (home / "a" / str(number)).touch()
    session.policy.entries_limit = 20
    for op, arguments in (("fs.copy", {"target": "b"}), ("fs.compress", {"target": "c", "dereference": False})):
        with pytest.raises(f.Failed) as failed:
            run(f, session, op, source="a", **arguments)
        assert (failed.value.kind, failed.value.details) == ("limit", {"limit": 20})
    assert not (home / "c").exists()
    assert run(f, session, "fs.rm", path="a")[0] == {"removed": 31}


def test_a_folder_that_is_moved_while_it_is_removed(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """The walk does not go on where the folder was brought to: nothing there is removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").touch()
    (home / "a" / "b").mkdir(parents=True)
    for number in range(10):
        (home / "a" / "b" / str(number)).touch()
    (home / "a" / "z").touch()
    steps = f.fs_rm(session, {"path": "a"}, b"")
    while len(list((home / "a" / "b").iterdir())) > 5:
        next(steps)
    (home / "a" / "b").rename(outside / "b")
    with pytest.raises(OSError, match="moved"):
        finish(f, steps)
    assert (outside / "x").exists()
    assert (outside / "b").exists()
