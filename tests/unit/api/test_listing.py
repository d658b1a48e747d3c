"""Records of a list are those that the contract's parser makes of the real ls."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from goldcrest.commands.listing import Entry
from goldcrest.commands.names import name_text
from goldcrest_api.dialects.firecrest_v1.listing import line, page, record

pytestmark = pytest.mark.unit

_TYPES = {
    stat.S_IFREG: "-",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFCHR: "c",
}


def entry_of(path: Path, name: str | None = None) -> Entry:
    found = path.lstat()
    kind = _TYPES[stat.S_IFMT(found.st_mode)]
    return Entry(
        name=name_text(os.fsencode(path.name)) if name is None else name,
        type=kind,
        target=str(path.readlink()) if kind == "l" else "",
        mode=stat.S_IMODE(found.st_mode),
        acl=False,
        links=found.st_nlink,
        user=pwd.getpwuid(found.st_uid).pw_name,
        group=grp.getgrgid(found.st_gid).gr_name,
        size=found.st_size,
        mtime=int(found.st_mtime),
        device=(os.major(found.st_rdev), os.minor(found.st_rdev)) if kind in "bc" else None,
    )


def test_as_the_contract_parses_the_real_ls(tmp_path: Path) -> None:
    """Plain files, directories, links, pipes, sockets, sticky and set-user-id bits, awkward names, old times."""
    for name in ("plain", "with space", 'quo"te', "new\nline", "-dash"):
        (tmp_path / name).write_bytes(b"x" * len(name))
    (tmp_path / "plain").chmod(0o4751)
    (tmp_path / "with space").chmod(0o4644)
    os.utime(tmp_path / "plain", (0, 86400 * 365.25 * 13))
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2755)
    (tmp_path / "link").symlink_to("no where")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "socket"))
        real = subprocess.run(
            ["ls", "-l", "-A", "--quoting-style=c", "--time-style=+%Y-%m-%dT%H:%M:%S", "--", str(tmp_path)],
            capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        ).stdout  # fmt: skip
    pattern = re.compile(r"(\S)(\S+)\s+\d+\s+(\S+)\s+(\S+)\s+(\d+|\d+,\s*\d+)\s+(\d{4}-\S+)\s+(.+)")
    expected = []
    for each in real.splitlines()[1:]:
        match = pattern.fullmatch(each)
        assert match is not None, each
        words = shlex.split(match[7])
        expected.append(
            {
                "type": match[1],
                "permissions": match[2],
                "user": match[3],
                "group": match[4],
                "size": match[5],
                "last_modified": match[6],
                "name": words[0],
                "link_target": words[2] if len(words) == 3 else "",
            }
        )
    ours = [record(entry_of(path)) for path in tmp_path.iterdir()]
    assert sorted(ours, key=lambda each: each["name"]) == sorted(expected, key=lambda each: each["name"])


def test_device() -> None:
    """A record like others; major and minor number instead of a size."""
    assert record(entry_of(Path("/dev/null")))["size"] == "1, 3"


def test_acl() -> None:
    """The plus of ls."""
    whole = {"name": "f", "type": "-", "target": "", "mode": 0o640, "links": 1, "user": "a", "group": "b", "size": 0, "mtime": 0, "device": None}  # fmt: skip
    assert record(Entry(acl=True, **whole))["permissions"] == "rw-r-----+"  # type: ignore[arg-type]


def test_line() -> None:
    """A name between quotes, whatever its bytes."""
    assert line(entry_of(Path("/dev/null"), name="a\\xffb\n")) == '"a\\377b\\n"'


@pytest.mark.parametrize(
    ("size", "number", "expected"),
    [
        ("2", "1", [1, 2]),
        ("2", "3", [5]),
        ("2", "4", [1, 2, 3, 4, 5]),
        ("2", "0", [1, 2, 3, 4, 5]),
        ("0", "1", [1, 2, 3, 4, 5]),
        ("-2", "1", [1, 2, 3, 4, 5]),
        ("x", "1", [1, 2, 3, 4, 5]),
        ("2", None, [1, 2, 3, 4, 5]),
        (None, "2", [1, 2, 3, 4, 5]),
        ("100", "1", [1, 2, 3, 4, 5]),
    ],
)
def test_pages(size: str | None, number: str | None, expected: list[int]) -> None:
    """Counted from 1; whatever is no page is the whole list."""
    assert list(page([1, 2, 3, 4, 5], size=size, number=number)) == expected
