"""fs.head, fs.tail and fs.type: the same as the programs of those names give."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unit.ssh_filter.running import finish, run

pytestmark = pytest.mark.unit

CONTENTS = {
    "nothing": b"",
    "one line": b"one line\n",
    "no line feed": b"a\nb\nlast",
    "only line feeds": b"\n" * 30,
    "many": b"".join(b"line %d\n" % number for number in range(100_000)),
    "one long line": b"x" * 700_000,
    "binary": bytes(range(256)) * 3000,
}


@pytest.fixture
def home(session: Any, tmp_path: Path) -> Path:
    session.roots = [os.path.realpath(str(tmp_path)).encode()]
    session.home = str(tmp_path)
    return tmp_path


def program(*argv: str) -> bytes:
    return subprocess.run(argv, capture_output=True, check=True).stdout


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", ["head", "tail"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("unit", ["bytes", "lines"])
def test_the_same_as_head_and_tail(
    f: Any, session: Any, home: Path, name: str, content: str, skip: bool, unit: str
) -> None:
    """Whatever the file ends with, and however many are asked for."""
    (home / "x").write_bytes(CONTENTS[content])
    size = len(CONTENTS[content])
    sign = {("head", True): "-", ("tail", True): "+"}.get((name, skip), "")
    for count in (0, 1, 2, 3, 29, 30, 31, 99_999, 100_000, 100_001, 262_144, 10**9):
        answer, sent = run(f, session, f"fs.{name}", path="x", limit=2**26, skip=skip, **{unit: count})
        assert sent == program(name, f"--{unit}={sign}{count}", str(home / "x")), count
        assert answer == {"size": len(sent), "fileSize": size, "matched": True}


@pytest.mark.parametrize("name", ["head", "tail"])
def test_ten_lines_by_default(f: Any, session: Any, home: Path, name: str) -> None:
    """As the programs have it."""
    (home / "x").write_bytes(CONTENTS["many"])
    assert run(f, session, f"fs.{name}", path="x", limit=1000, skip=False)[1] == program(name, str(home / "x"))


@pytest.mark.parametrize("content", ["nothing", "no line feed", "many", "only line feeds"])
@pytest.mark.parametrize("text", ["7", "last", "", "nowhere", "-x", "line 5\nline 77", ".", "\n"])
def test_the_same_as_grep(f: Any, session: Any, home: Path, content: str, text: str) -> None:
    """Fixed texts, one a line of what is looked for; nothing found is said."""
    (home / "x").write_bytes(CONTENTS[content])
    expected = subprocess.run(
        ["grep", "--text", "--fixed-strings", f"--regexp={text}"],
        input=CONTENTS[content],
        capture_output=True,
        check=False,
    )
    answer, sent = run(f, session, "fs.head", path="x", limit=2**26, skip=False, bytes=10**9, grep=text)
    assert sent == expected.stdout
    assert answer["matched"] is (expected.returncode == 0)


@pytest.mark.parametrize("arguments", [{"bytes": 11}, {"lines": 3}, {"lines": 2, "grep": "line"}])
def test_more_than_the_limit(f: Any, session: Any, home: Path, arguments: dict[str, Any]) -> None:
    """An error that says the limit, and never a part of what was asked for as if it were all."""
    (home / "x").write_bytes(CONTENTS["many"])
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.head", path="x", limit=10, skip=False, **arguments)
    assert (failed.value.kind, failed.value.details) == ("limit", {"limit": 10})


def test_a_line_here_and_there(f: Any, session: Any, home: Path) -> None:
    """What is found in a large file does not go out in crumbs, which a client takes for an attack."""
    (home / "x").write_bytes((b"y\n" * 200_000 + b"found\n") * 30)
    steps = f.fs_head(session, {"path": "x", "limit": 1000, "skip": False, "bytes": 2**40, "grep": "found"}, b"")
    assert [step for step in steps if step is not f.GO_ON] == [b"found\n" * 30]


def test_a_line_without_end(f: Any, session: Any, home: Path) -> None:
    """It is not collected in memory to look into it."""
    with (home / "x").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(f.Failed) as failed:
        run(f, session, "fs.head", path="x", limit=10, skip=False, bytes=2**34, grep="x")
    assert failed.value.kind == "limit"


def test_a_file_that_grows_and_one_that_shrinks(f: Any, session: Any, home: Path) -> None:
    """What comes later is no part of it; what is gone does not come."""
    for change, expected in ((b"x" * 10**6, 10**6), (b"", 256 * 1024)):
        (home / "x").write_bytes(b"y" * 10**6)
        steps = f.fs_tail(session, {"path": "x", "limit": 2**26, "skip": True, "bytes": 1}, b"")
        sent = next(steps)
        with (home / "x").open("ab" if change else "wb") as file:
            file.write(change)
        answer, rest = finish(f, steps)
        assert len(sent) + len(rest) == answer["size"] == expected


@pytest.mark.parametrize("op", ["fs.head", "fs.tail", "fs.type"])
def test_what_is_no_file(f: Any, session: Any, home: Path, op: str) -> None:
    """An error, and not a channel that hangs on a pipe; fs.type says what it is."""
    os.mkfifo(home / "pipe")
    arguments = {} if op == "fs.type" else {"limit": 10, "skip": False}
    if op == "fs.type":
        assert run(f, session, op, path="pipe")[0] == {"text": "fifo (named pipe)"}
        return
    for name, number in (("pipe", "not a regular file"), (".", "Is a directory")):
        with pytest.raises(OSError, match=number):
            run(f, session, op, path=name, **arguments)


def test_both_counts(f: Any, session: Any, home: Path) -> None:
    """Refused before anything is done."""
    (home / "x").write_bytes(b"")
    with pytest.raises(f.Refused) as refused:
        run(f, session, "fs.head", path="x", limit=1, skip=False, bytes=1, lines=1)
    assert refused.value.reason == "arguments"


def test_the_same_as_file(f: Any, session: Any, home: Path) -> None:
    """Of each kind of file, with each special bit."""
    (home / "empty").write_bytes(b"")
    (home / "text").write_text("#!/bin/sh\necho\n")
    (home / "-x").write_bytes(b"\x7fELF")
    (home / "text 2").write_text("größe\n")
    (home / "gzip").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\3")
    for name, mode in (("set user", 0o4755), ("set group", 0o2755), ("set both", 0o7755), ("sticky", 0o1755)):
        (home / name).write_text("#!/bin/sh\n")
        (home / name).chmod(mode)
        (home / f"folder {name}").mkdir()
        (home / f"folder {name}").chmod(mode)
    (home / "folder").mkdir()
    (home / "link").symlink_to("text")
    (home / "broken").symlink_to("no\nwhere")
    os.mkfifo(home / "pipe")
    if os.geteuid() == 0:
        os.mknod(home / "device", 0o020666, os.makedev(1, 3))
    for path in home.iterdir():
        expected = program("file", "--brief", "--", str(path)).decode()
        said = run(f, session, "fs.type", path=path)[0]["text"]
        assert said.replace("\n", "\\012") + "\n" == expected, path


def test_type_of_a_link_out_of_the_roots(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """Where it leads is its text; whether something is there is nothing to tell."""
    session.roots = [os.fsencode(home / "sub")]
    (home / "sub").mkdir()
    (home / "file").write_bytes(b"")
    for target in ("../file", "../nothing"):
        (home / "sub" / "link").unlink(missing_ok=True)
        (home / "sub" / "link").symlink_to(target)
        said = run(f, session, "fs.type", path=home / "sub" / "link")[0]["text"]
        assert said.endswith(f"symbolic link to {target}")


def test_without_the_program(f: Any, session: Any, home: Path) -> None:
    """It is the node that lacks something, and not the file."""
    (home / "x").write_bytes(b"x")
    steps = f.fs_type(session, {"path": "x"}, b"")
    next(steps)
    with pytest.raises(f.Failed, match="PATH of this node"):
        steps.throw(FileNotFoundError(2, "not found in the PATH of the policy file", "file"))
