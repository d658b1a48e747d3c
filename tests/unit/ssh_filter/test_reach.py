"""Operations on names and trees: nothing outside of the roots, nothing that starts something, also while somebody changes names."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from unit.ssh_filter.running import run

pytestmark = pytest.mark.unit

LIST = {"limit": 100, "hidden": True, "recursive": True, "dereference": False, "numericIds": False, "sorted": True}
# Each operation with the argument that is aimed, and harmless others.
AIMED: list[tuple[str, str, dict[str, Any]]] = [
    ("fs.ls", "path", LIST),
    ("fs.head", "path", {"limit": 100, "skip": False}),
    ("fs.tail", "path", {"limit": 100, "skip": False, "grep": "e"}),
    ("fs.type", "path", {}),
    ("fs.chmod", "path", {"mode": "0777"}),
    ("fs.chown", "path", {"group": "12345"}),
    ("fs.rm", "path", {}),
    ("fs.rename", "source", {"target": "mine"}),
    ("fs.copy", "source", {"target": "mine"}),
    ("fs.compress", "source", {"target": "mine", "dereference": False}),
    ("fs.extract", "source", {"target": ".", "format": "tar"}),
    ("fs.symlink", "path", {"target": "x"}),
    ("fs.rename", "target", {"source": "own"}),
    ("fs.copy", "target", {"source": "own"}),
    ("fs.compress", "target", {"source": "own", "dereference": False}),
    ("fs.extract", "target", {"source": "own.tar", "format": "tar"}),
    ("fs.write", "path", {"mode": 0o600, "overwrite": True}),
]
AIMS = pytest.mark.parametrize(("op", "name", "others"), AIMED, ids=[f"{op} {name}" for op, name, _ in AIMED])
WRITES = [(op, name, others) for op, name, others in AIMED if op in ("fs.write", "fs.symlink") or name == "target"]


@pytest.fixture
def home(session: Any, tmp_path: Path) -> Path:
    """The only root, with a file and an archive of one's own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "own").write_bytes(b"own\n")
    with tarfile.open(home / "own.tar", "w") as archive:
        archive.add(home / "own", "own")
        archive.add(home / "own", "sub/own")
    session.roots = [os.path.realpath(str(home)).encode()]
    session.home = str(home)
    return home


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Not within the root: files of this test, and none of the machine's own."""
    outside = tmp_path / "homer"
    (outside / "folder" / "in").mkdir(parents=True)
    (outside / "file").write_bytes(b"secret\n")
    with tarfile.open(outside / "folder" / "tar", "w") as archive:
        archive.add(outside / "file", "file")
    return outside


def picture(top: Path) -> dict[str, Any]:
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_gid,
            path.lstat().st_ino,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(top.rglob("*"))
    }


@pytest.mark.parametrize("way", ["directly", "through a link", "a link itself", "by the parent of the root"])
@pytest.mark.parametrize("what", ["file", "folder", "new"])
@AIMS
def test_nothing_outside_of_the_roots(
    f: Any, session: Any, home: Path, outside: Path, op: str, name: str, others: dict[str, Any], what: str, way: str
) -> None:
    """An error, or the link itself was meant; and nothing there is made, changed, removed or told."""
    (home / "link").symlink_to(outside)
    (home / "to it").symlink_to(outside / what)
    path = {
        "directly": outside / what,
        "through a link": home / "link" / what,
        "a link itself": home / "to it",
        "by the parent of the root": home.parent / "homer" / what,
    }[way]
    before = picture(outside)
    try:
        answer = run(f, session, op, b"x", **{name: path, **others})
    except (OSError, f.Failed):
        answer = ({}, b"")
    else:
        assert way == "a link itself"
        # What replaces a link, or is about it, is in its place and not behind it.
        assert op in ("fs.ls", "fs.type", "fs.rm", "fs.rename", "fs.copy", "fs.compress", "fs.write")
    assert picture(outside) == before
    assert b"secret" not in answer[1]
    assert not any(
        b"secret" in path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.is_symlink()
    )


@pytest.mark.parametrize("moment", ["require_within_roots", "open_parent"])
@AIMS
def test_a_race_between_check_and_use(
    f: Any,
    session: Any,
    home: Path,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
    op: str,
    name: str,
    others: dict[str, Any],
    moment: str,
) -> None:
    """Somebody puts a link to the outside where the folder was, in the very moment after it was found good."""
    (home / "inner" / "folder" / "in").mkdir(parents=True)
    (home / "inner" / "file").write_bytes(b"inner\n")
    (home / "way").symlink_to("inner")
    original = getattr(f, moment)

    def and_change(*arguments: Any) -> Any:
        found = original(*arguments)
        (home / "temporary").symlink_to(outside)
        (home / "temporary").rename(home / "way")
        return found

    monkeypatch.setattr(f, moment, and_change)
    before = picture(outside)
    for what in ("file", "folder", "new"):
        (home / "way").unlink()
        (home / "way").symlink_to("inner")
        with contextlib.suppress(OSError, f.Failed):
            _, sent = run(f, session, op, b"x", **{name: home / "way" / what, **others})
            assert b"secret" not in sent
        assert picture(outside) == before, what
    assert not any(
        b"secret" in path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.is_symlink()
    )


def test_a_race_within_a_tree(f: Any, session: Any, home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder becomes a link to the outside just before a walk enters it: it is not entered."""
    enter = f.Folder.enter

    def and_change(self: Any, name: bytes) -> None:
        if name == b"folder":
            (home / "a" / "folder").rename(home / f"away{len(list(home.iterdir()))}")
            (home / "a" / "folder").symlink_to(outside)
        enter(self, name)

    monkeypatch.setattr(f.Folder, "enter", and_change)
    before = picture(outside)
    for op, arguments in (
        ("fs.ls", {"path": "a", **LIST}),
        ("fs.copy", {"source": "a", "target": "b"}),
        ("fs.compress", {"source": "a", "target": "a.tgz", "dereference": False}),
        ("fs.rm", {"path": "a"}),
    ):
        (home / "a").mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (home / "a" / "folder").unlink()
        (home / "a" / "folder").mkdir()
        (home / "a" / "folder" / "x").touch()
        try:
            _, sent = run(f, session, op, **arguments)
            assert op == "fs.ls"
            assert b"secret" not in sent
            assert b"file" not in sent
        except OSError as error:
            assert error.errno in (20, 40)  # no folder; a link
        assert picture(outside) == before, op


@pytest.mark.parametrize("protected", [".bashrc", ".ssh", "deep/.profile", ".config/systemd", ".vim"])
@pytest.mark.parametrize(("op", "name", "others"), WRITES, ids=[op for op, _, _ in WRITES])
def test_start_up_files_are_not_made(
    f: Any, session: Any, home: Path, protected: str, op: str, name: str, others: dict[str, Any]
) -> None:
    """By none of the operations that make something, and not into such a folder."""
    (home / protected).parent.mkdir(parents=True, exist_ok=True)
    for there in (False, True):
        if there:
            (home / protected).mkdir()
        before = picture(home)
        paths = [home / protected] + [home / protected / "inner"] * there
        for path in paths:
            with pytest.raises(OSError) as error:
                run(f, session, op, b"x", **{name: path, **others})
            if there or op not in ("fs.extract",):
                assert error.value.errno in (1, 21) if op == "fs.write" else error.value.errno in (1, 2)
        assert picture(home) == before


@pytest.mark.parametrize("way", ["a folder", "a link", "a tree", "away and back"])
@pytest.mark.parametrize("where", [".", "other"])
def test_start_up_files_do_not_come_along(f: Any, session: Any, home: Path, way: str, where: str) -> None:
    """`systemd` may be made in any other folder, and no folder or link with it becomes `.config`, wherever that is."""
    (home / "other").mkdir()
    config = f"{where}/.config"
    run(f, session, "fs.mkdir", path="harmless/systemd/user", parents=True, mode=0o700)
    run(f, session, "fs.write", b"evil", path="harmless/systemd/user/x.service", mode=0o600, overwrite=True)
    with pytest.raises(PermissionError):
        if way == "a folder":
            run(f, session, "fs.rename", source="harmless", target=config)
        elif way == "a link":
            run(f, session, "fs.symlink", target="harmless", path=config)
        elif way == "a tree":
            run(f, session, "fs.copy", source="harmless", target=config)
        else:
            (home / config).mkdir()
            run(f, session, "fs.rename", source=config, target="away")
    assert not (home / config / "systemd").exists()


def dot_files(home: Path) -> None:
    """Start-up files as many have them, by links; and `x`, with the same names in it, which anybody may write."""
    for name in ("dotfiles", "shells/v1", "private/ssh", "dot/config", "up", "x/dotfiles", "x/config/systemd", "x/ssh"):
        (home / name).mkdir(parents=True)
    for name in ("dotfiles/bashrc", "shells/v1/profile", "private/ssh/authorized_keys", "dot/zshrc"):
        (home / name).write_bytes(b"good")
    for name in ("bashrc", "dotfiles/bashrc", "profile", "ssh/authorized_keys", "zshrc"):
        (home / "x" / name).write_bytes(b"evil")
    for name, target in (
        (".bashrc", "dotfiles/bashrc"),
        (".profile", "shells/current/profile"),
        ("shells/current", "v1"),
        (".zshrc", "second"),
        ("second", home / "dot" / "zshrc"),
        (".ssh", "private/ssh"),
        (".config", "dot/config"),
        (".vimrc", "up/../dot/vimrc"),
        (".login", "circle"),
        ("circle", ".login"),
        (".logout", "gone/logout"),
        ("x/current", "x"),
        ("x/to x", "../x"),
    ):
        (home / name).symlink_to(target)
    archived(home / "gone.tar", ("gone", tarfile.SYMTYPE, "x"))
    archived(home / "current.tar", ("shells/current", tarfile.SYMTYPE, "../x"))
    archived(home / "second.tar", ("evil", tarfile.SYMTYPE, "x"), ("gone", tarfile.LNKTYPE, "evil"))


def archived(path: Path, *members: tuple[str, bytes, str]) -> None:
    """An archive of links: name, kind, and what it leads to."""
    with tarfile.open(path, "w") as archive:
        for name, kind, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)


RENAME, COPY, WRITE = "fs.rename", "fs.copy", {"mode": 0o600, "overwrite": True}
COMES_BY_A_LINK: dict[str, tuple[str, dict[str, Any]]] = {
    "the link's folder away": (RENAME, {"source": "dotfiles", "target": "away"}),
    "another folder in": (RENAME, {"source": "x", "target": "gone"}),
    "the link's folder, by its parent": (RENAME, {"source": "x/dotfiles", "target": "."}),
    "folder of .ssh away": (RENAME, {"source": "private", "target": "away"}),
    "folder of .config's parts away": (RENAME, {"source": "dot/config", "target": "away"}),
    "a link in its place": ("fs.symlink", {"path": "gone", "target": "x"}),
    "a link moved in its place": (RENAME, {"source": "x/to x", "target": "gone"}),
    "a link copied in its place": (COPY, {"source": "x/to x", "target": "gone"}),
    "a link out of an archive": ("fs.extract", {"source": "gone.tar", "target": ".", "format": "tar"}),
    "a second name of a link": ("fs.extract", {"source": "second.tar", "target": ".", "format": "tar"}),
    "intermediate link away": (RENAME, {"source": "shells/current", "target": "away"}),
    "intermediate link removed": ("fs.rm", {"path": "shells/current"}),
    "intermediate link replaced": (RENAME, {"source": "x/to x", "target": "second"}),
    "its folder away": (RENAME, {"source": "shells", "target": "away"}),
    "where it leads, away": (RENAME, {"source": "shells/v1", "target": "away"}),
    "intermediate link out of an archive": ("fs.extract", {"source": "current.tar", "target": ".", "format": "tar"}),
    "copy over an intermediate link": (COPY, {"source": "x/current", "target": "shells"}),
    "a tree over the link's folder": (COPY, {"source": "x/dotfiles", "target": "."}),
    "a tree over .config": (COPY, {"source": "x/config", "target": "dot"}),
    "written in place of an intermediate link": ("fs.write", {"path": "second", **WRITE}),
    "packed in place of an intermediate link": (
        "fs.compress",
        {"source": "x", "target": "second", "dereference": False},
    ),
    "a folder that is only passed": (RENAME, {"source": "up", "target": "away"}),
    "in place of a link of a circle": ("fs.write", {"path": "circle", **WRITE}),
}


@pytest.mark.parametrize("way", COMES_BY_A_LINK)
def test_start_up_files_do_not_come_along_by_a_link(f: Any, session: Any, home: Path, way: str) -> None:
    """What a start-up file is a link to stays what it is, with all that is on the way to it."""
    dot_files(home)
    before = picture(home)
    op, arguments = COMES_BY_A_LINK[way]
    with pytest.raises(PermissionError) as error:
        run(f, session, op, b"evil", **arguments)
    assert "start-up file" in str(error.value.strerror) or "is a link to this" in str(error.value.strerror)
    assert "which this node protects" in str(error.value.strerror)
    now = picture(home)
    now.pop(str(home / "evil"), None)  # a member before the one that is refused
    assert now == before
    assert (
        (home / ".bashrc").read_bytes() == (home / ".profile").read_bytes() == (home / ".zshrc").read_bytes() == b"good"
    )


def test_places_on_the_way_end_where_the_kernel_does(f: Any, home: Path) -> None:
    """Beside realpath(3): absolute links, `..`, what is missing; and circles and chains beyond the kernel's end."""
    dot_files(home)
    for name in (
        ".bashrc",
        ".profile",
        ".zshrc",
        ".ssh/config",
        ".config/fish",
        ".vimrc",
        ".logout",
        ".kshrc/../x",
        "../",
    ):
        places = f.places_on_the_way(os.fsencode(home / name), {})
        assert os.fsencode(os.path.realpath(home / name)) in places, name
    top = os.fsencode(os.path.realpath(home))
    assert f.places_on_the_way(os.fsencode(home / ".login"), {}) == {top + b"/.login", top + b"/circle"}
    for number in range(50):
        (home / f"chain{number}").symlink_to(f"chain{number + 1}")
    (home / "chain50").write_bytes(b"end")
    assert (home / "chain10").read_bytes() == b"end"  # 40 links
    with pytest.raises(OSError, match="Too many levels"):
        (home / "chain9").read_bytes()
    chain = {number: top + b"/chain%d" % number for number in range(51)}
    assert f.places_on_the_way(chain[10], {}) == {chain[number] for number in range(10, 51)}
    assert f.places_on_the_way(chain[9], {}) == {chain[number] for number in range(9, 50)}


@pytest.mark.parametrize("what", ["x", "empty", "work", "dot/other", "shells/v2"])
def test_other_folders_move(f: Any, session: Any, home: Path, what: str) -> None:
    """Beside the ones that start-up files are in; with names of start-up files in them; and files go beside such files."""
    dot_files(home)
    for name in ("empty", "work/.config/systemd", "dot/other", "shells/v2"):
        (home / name).mkdir(parents=True)
    (home / "work" / ".bashrc").write_bytes(b"")
    run(f, session, "fs.rename", source=what, target="moved")
    run(f, session, "fs.rename", source="moved", target=what)
    run(f, session, "fs.rename", source=what, target="dotfiles")
    assert (home / "dotfiles" / Path(what).name).is_dir()
    run(f, session, "fs.symlink", path="dotfiles/link", target="x")
    (home / "tree" / "dotfiles").mkdir(parents=True)
    (home / "tree" / "dotfiles" / "new").write_bytes(b"new")
    run(f, session, "fs.copy", source="tree/dotfiles", target=".")
    assert (home / "dotfiles" / "new").read_bytes() == b"new"
    run(f, session, "fs.extract", source="own.tar", target="dotfiles", format="tar")
    assert (home / "dotfiles" / "own").read_bytes() == b"own\n"


def test_a_move_to_another_file_system_brings_no_start_up_files(f: Any, session: Any, home: Path) -> None:
    """Where it is a copy, of which nothing is looked at entry by entry."""
    dot_files(home)
    (home / "x" / "logout").write_bytes(b"evil")
    other = Path("/dev/shm") / f"goldcrest-reach-{os.getpid()}"
    session.roots.append(os.fsencode(other))
    other.mkdir()
    try:
        (home / "x").rename(home / "y")
        subprocess.run(["mv", home / "y", other / "x"], check=True)
        with pytest.raises(PermissionError):
            run(f, session, "fs.rename", source=other / "x", target="gone")
        copier = f.Copier(session, str(other / "x"), "gone", moved=True)
        folders = [os.open(folder, os.O_PATH) for folder in (other, home)]
        try:
            with pytest.raises(PermissionError):
                list(copier.run((folders[0], os.fsencode(other), b"x"), (folders[1], os.fsencode(home), b"gone")))
        finally:
            for folder in folders:
                os.close(folder)
        assert not (home / "gone").exists()
    finally:
        subprocess.run(["rm", "-r", other], check=True)


def test_start_up_files_stay(f: Any, session: Any, home: Path) -> None:
    """Neither removed nor changed where they are read; elsewhere a tree with such a name may go, and a copy leaves it out."""
    (home / ".ssh").mkdir()
    (home / ".ssh" / "authorized_keys").write_bytes(b"key")
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "setup").write_bytes(b"")
    (home / ".bashrc").symlink_to("dotfiles/setup")
    for op, arguments in (
        ("fs.rm", {"path": ".ssh"}),
        ("fs.rm", {"path": ".ssh/authorized_keys"}),
        ("fs.rm", {"path": ".bashrc"}),
        ("fs.rm", {"path": "dotfiles/setup"}),
        ("fs.rm", {"path": "dotfiles"}),
        ("fs.rename", {"source": ".ssh", "target": "x"}),
        ("fs.chmod", {"path": ".ssh/authorized_keys", "mode": "0666"}),
        ("fs.chmod", {"path": "dotfiles/setup", "mode": "0666"}),
        ("fs.chown", {"path": ".ssh", "group": "12345"}),
    ):
        before = picture(home)
        with pytest.raises(PermissionError):
            run(f, session, op, **arguments)
        assert picture(home) == before, (op, arguments)
    (home / "sources").mkdir()
    (home / "sources" / ".gitconfig").write_bytes(b"")
    (home / "sources" / "code").write_bytes(b"")
    with pytest.raises(PermissionError) as error:
        run(f, session, "fs.copy", source="sources", target="copy")
    assert error.value.about == "copy/.gitconfig"
    assert sorted(path.name for path in (home / "copy").iterdir()) == ["code"]
    assert run(f, session, "fs.rm", path="sources")[0] == {"removed": 3}


def test_second_names_of_start_up_files(f: Any, session: Any, home: Path) -> None:
    """An archive does not make one, by which its mode could be changed."""
    (home / ".bashrc").write_bytes(b"")
    with tarfile.open(home / "a.tar", "w") as archive:
        member = tarfile.TarInfo("harmless")
        member.type, member.linkname = tarfile.LNKTYPE, ".bashrc"
        archive.addfile(member)
    with pytest.raises(PermissionError):
        run(f, session, "fs.extract", source="a.tar", target=".", format="tar")
    assert (home / ".bashrc").stat().st_nlink == 1


def test_descriptors_are_closed(f: Any, session: Any, home: Path, outside: Path) -> None:
    """In success, in failure, and when it is ended in between."""
    (home / "tree" / "deep" / "deeper").mkdir(parents=True)
    (home / "tree" / "deep" / "x").write_bytes(b"x\n" * 1000)
    os.mkfifo(home / "pipe")
    (home / "out").symlink_to(outside)
    before = sorted(Path("/proc/self/fd").iterdir())
    for op, name, others in AIMED:
        for path in ("own", "tree", "missing", "out/file", "pipe", ".bashrc", "own.tar", "tree/deep"):
            operation = f.OPERATIONS[op]
            arguments = {**others, name: path}
            with contextlib.suppress(OSError, f.Failed, StopIteration):
                steps = operation.function(session, arguments, 0 if operation.streams else b"")
                if operation.streams:
                    steps.abort()
                elif not isinstance(steps, dict):
                    for _ in range(3):
                        if isinstance(next(steps), f.Run):
                            break
            if not isinstance(steps, dict) and not operation.streams:
                steps.close()
            with contextlib.suppress(OSError, f.Failed, f.Refused):
                run(f, session, op, b"x", **arguments)
    steps = None
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.fixture
def without_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS and other file systems: no O_TMPFILE."""
    monkeypatch.delattr(os, "O_TMPFILE")


@pytest.mark.usefixtures("without_nameless_files")
class TestNamedTemporaryFiles:
    """Where a file needs a name before it is whole."""

    def test_written_and_gone(self, f: Any, session: Any, home: Path) -> None:
        """Under a temporary name that begins with a dot, and no more when it is there."""
        sink = f.OPERATIONS["fs.write"].function(session, {"path": "x", "mode": 0o640, "overwrite": True}, 4)
        (temporary,) = home.glob(".goldcrest-*")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o640
        sink.write(b"data")
        sink.finish()
        assert (home / "x").read_bytes() == b"data"
        for overwrite in (True, False):
            sink = f.OPERATIONS["fs.write"].function(
                session, {"path": f"y{overwrite}", "mode": 0o640, "overwrite": overwrite}, 4
            )
            sink.write(b"d")
            sink.finish() if overwrite else sink.abort()
        assert sorted(path.name for path in home.iterdir()) == ["own", "own.tar", "x", "yTrue"]
        with pytest.raises(FileExistsError):
            run(f, session, "fs.write", b"", path="x", mode=0o600, overwrite=False)

    def test_what_the_killed_left_is_cleaned_up(self, f: Any, session: Any, home: Path) -> None:
        """By the next who writes the same file, at once; what somebody is writing is not touched."""
        arguments = {"path": "x", "mode": 0o600, "overwrite": True}
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            sink = f.OPERATIONS["fs.write"].function(session, arguments, 4)
            sink.write(b"half")
            os.write(told, b"1")
            signal.pause()
        os.close(told)
        assert os.read(ready, 1) == b"1"
        os.close(ready)
        (half,) = home.glob(".goldcrest-*")
        run(f, session, "fs.write", b"of another", **arguments)
        assert list(home.glob(".goldcrest-*")) == [half]  # its writer lives
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert half.read_bytes() == b"half"
        run(f, session, "fs.write", b"whole", **arguments)
        assert (home / "x").read_bytes() == b"whole"
        assert list(home.glob(".goldcrest-*")) == []

    def test_several_at_once(self, f: Any, session: Any, home: Path) -> None:
        """Of one channel too: each has a name of its own, and a fifth is told to wait."""
        arguments = {"path": "x", "mode": 0o600, "overwrite": True}
        begin = f.OPERATIONS["fs.write"].function
        sinks = [begin(session, arguments, 1) for _ in range(4)]
        with pytest.raises(OSError) as error:
            begin(session, arguments, 1)
        assert error.value.errno == 16
        for number, sink in enumerate(sinks):
            sink.write(b"%d" % number)
            sink.finish()
        assert (home / "x").read_bytes() == b"3"
        assert list(home.glob(".goldcrest-*")) == []

    def test_locks_that_count_on_one_host_only(self, f: Any, session: Any, home: Path) -> None:
        """A writer on another login host takes the living one's file for forsaken: nobody's half file gets the name, nobody's file is removed."""
        arguments = {"path": "x", "mode": 0o600, "overwrite": True}
        begin = f.OPERATIONS["fs.write"].function
        first = begin(session, arguments, 4)
        first.write(b"whole")
        f.FileWriter.living.clear()  # as if the other were another process: its own locks do not keep it out
        second = begin(session, arguments, 4)
        second.write(b"ha")
        with pytest.raises(OSError) as error:
            first.finish()
        assert error.value.errno == errno.EBUSY
        assert not (home / "x").exists()
        second.write(b"lf")
        second.finish()
        assert (home / "x").read_bytes() == b"half"

    def test_a_stalled_one_does_not_remove_its_successors(self, f: Any, session: Any, home: Path) -> None:
        """What it gives up is its own."""
        arguments = {"path": "x", "mode": 0o600, "overwrite": True}
        begin = f.OPERATIONS["fs.write"].function
        stalled = begin(session, arguments, 4)
        f.FileWriter.living.clear()
        retry = begin(session, arguments, 4)
        retry.write(b"data")
        stalled.abort()
        retry.finish()
        assert (home / "x").read_bytes() == b"data"

    def test_a_link_under_the_temporary_name(self, f: Any, session: Any, home: Path, outside: Path) -> None:
        """It is neither followed nor removed: another name is taken."""
        sink = f.OPERATIONS["fs.write"].function(session, {"path": "x", "mode": 0o600, "overwrite": True}, 4)
        (temporary,) = home.glob(".goldcrest-*")
        sink.abort()
        temporary.symlink_to(outside / "file")
        run(f, session, "fs.write", b"data", path="x", mode=0o600, overwrite=True)
        assert (outside / "file").read_bytes() == b"secret\n"
        assert temporary.is_symlink()


def test_nothing_is_left_of_a_killed_writer(f: Any, session: Any, home: Path) -> None:
    """Where the file system has files without names: not even for a while."""
    child = os.fork()
    if child == 0:
        sink = f.OPERATIONS["fs.write"].function(session, {"path": "x", "mode": 0o600, "overwrite": True}, 4)
        sink.write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert sorted(path.name for path in home.iterdir()) == ["own", "own.tar"]


def test_relative_paths_begin_in_the_home_folder(
    f: Any, session: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the passwd entry, wherever the process is; errors speak the words of the request."""
    monkeypatch.chdir("/")
    assert run(f, session, "fs.stat", path=".", dereference=True)[0]["ino"] == home.stat().st_ino
    assert run(f, session, "fs.read", path="./own", offset=0, length=9)[1] == b"own\n"
    with pytest.raises(FileNotFoundError) as error:
        run(f, session, "fs.stat", path="a/b", dereference=True)
    assert f.error_path(error.value, {"path": "a/b"}) == "a/b"
    session.roots = [b"/nowhere"]
    with pytest.raises(PermissionError):
        run(f, session, "fs.stat", path="own", dereference=True)


def test_a_full_copy_leaves_no_half_file(f: Any, session: Any, home: Path) -> None:
    """Ended in between, nothing has the name."""
    (home / "large").write_bytes(os.urandom(5 * 2**20))
    steps = f.fs_copy(session, {"source": "large", "target": "new"}, b"")
    next(steps)
    next(steps)
    steps.close()
    assert not (home / "new").exists()
    assert subprocess.run(["ls", "-A", home], capture_output=True, text=True, check=True).stdout.split() == [
        "large",
        "own",
        "own.tar",
    ]
