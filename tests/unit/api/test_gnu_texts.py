"""Texts and headers of failures: those that the contract's table would find in what the real programs say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from goldcrest_api.dialects.firecrest_v1.file_failures import header
from goldcrest_api.dialects.firecrest_v1.gnu_texts import Failed, text

pytestmark = pytest.mark.unit

PROGRAMS = (
    "ls",
    "mkdir",
    "mv",
    "cp",
    "chmod",
    "chown",
    "file",
    "head",
    "tail",
    "stat",
    "ln",
    "rm",
    "sha256sum",
    "base64",
    "cat",
    "tar",
)
TWO_PATHS = ("mv", "cp", "tar")
ERRNOS = ("ENOENT", "EACCES", "EPERM", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ELOOP", "ENAMETOOLONG", "EROFS", "EDQUOT", "ENOSPC", "ESTALE", "EIO")  # fmt: skip


def of_table(said: str) -> str:
    """Rows 5 to 19 of contract 3.7, as written there: the name of the header."""
    rows = [
        ("X-Invalid-Path", lambda: "cannot access" in said),
        ("X-Not-Found", lambda: "No such file" in said and "cannot stat" in said),
        ("X-Invalid-Path", lambda: "No such file" in said),
        ("X-Permission-Denied", lambda: "cannot open" in said or "Permission denied" in said),
        ("X-Exists", lambda: "File exists" in said and ("mkdir: cannot create directory" in said or "ln: failed to create symbolic link" in said)),
        ("X-Not-A-Directory", lambda: "Not a directory" in said),
        ("X-A-Directory", lambda: "directory" in said),
        ("X-Exists", lambda: "overwrite" in said),
        ("X-Permission-Denied", lambda: "not permitted" in said),
    ]  # fmt: skip
    return next((name for name, found in rows if found()), "X-Error")


# Where the table finds a word of the sentence instead of the reason, a client would be told something wrong (D20): the
# reason counts. "mkdir: cannot create directory '/d': No space left on device" is not about a directory that is one.
CHANCE = {
    *((program, name) for program in ("mkdir", "mv", "cp") for name in ("EROFS", "EDQUOT", "ENOSPC", "ESTALE", "EIO", "EPERM", "ELOOP", "ENAMETOOLONG", "EEXIST", "ENOTEMPTY", "EISDIR") if program == "mkdir"),
    *((program, name) for program in ("file", "head", "tail") for name in ERRNOS if name not in ("ENOENT", "EACCES")),
    *(("ls", name) for name in ERRNOS if name not in ("ENOENT", "EACCES", "ENOTDIR", "ELOOP", "ENAMETOOLONG")),
}  # fmt: skip


@pytest.mark.parametrize("errno_name", ERRNOS)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("at", ["source", "target"])
def test_header_is_the_one_of_the_table(program: str, errno_name: str, at: str) -> None:
    """What is told apart by type here gets what the contract finds in the words."""
    if (program, errno_name) in CHANCE:
        return
    source = "/s/source" if program in TWO_PATHS else ""
    path = source if at == "source" and source else "/t/target"
    failed = Failed(program=program, errno_name=errno_name, path=path, source=source, target="/t/target")
    given = header(failed) or {"X-Error": ""}
    assert list(given) == [of_table(text(failed))], text(failed)


@pytest.mark.parametrize(
    ("program", "errno_name", "name"),
    [
        ("mkdir", "ENOSPC", "X-Error"),
        ("mkdir", "EDQUOT", "X-Error"),
        ("mkdir", "EPERM", "X-Permission-Denied"),
        ("head", "ENOTDIR", "X-Not-A-Directory"),
        ("head", "EISDIR", "X-A-Directory"),
        ("ls", "EPERM", "X-Permission-Denied"),
        ("ls", "EIO", "X-Error"),
    ],
)
def test_where_the_table_would_mislead(program: str, errno_name: str, name: str) -> None:
    """The reason counts, not a word that happens to stand in the sentence."""
    failed = Failed(program=program, errno_name=errno_name, path="/p", target="/p")
    assert list(header(failed) or {"X-Error": ""}) == [name]


@pytest.mark.parametrize(
    ("argv", "errno_name", "at"),
    [
        (["ls", "{missing}"], "ENOENT", "missing"),
        (["mkdir", "{folder}"], "EEXIST", "folder"),
        (["mkdir", "{missing}/x"], "ENOENT", "missing/x"),
        (["mkdir", "{file}/x"], "ENOTDIR", "file/x"),
        (["mv", "{missing}", "{file}"], "ENOENT", "missing"),
        (["mv", "{file}", "{missing}/x"], "ENOENT", "missing/x"),
        (["cp", "{missing}", "{file}"], "ENOENT", "missing"),
        (["cp", "{file}", "{missing}/x"], "ENOENT", "missing/x"),
        (["chmod", "0600", "{missing}"], "ENOENT", "missing"),
        (["chown", "0", "{missing}"], "ENOENT", "missing"),
        (["head", "{missing}"], "ENOENT", "missing"),
        (["head", "{folder}"], "EISDIR", "folder"),
        (["tail", "{missing}"], "ENOENT", "missing"),
        (["tail", "{folder}"], "EISDIR", "folder"),
        (["ln", "-s", "x", "{file}"], "EEXIST", "file"),
        (["ln", "-s", "x", "{missing}/x"], "ENOENT", "missing/x"),
        (["rm", "-r", "{missing}"], "ENOENT", "missing"),
        (["rm", "-r", "{file}/x"], "ENOTDIR", "file/x"),
        (["sha256sum", "{folder}"], "EISDIR", "folder"),
        (["sha256sum", "{missing}"], "ENOENT", "missing"),
        (["base64", "{missing}"], "ENOENT", "missing"),
        (["base64", "{folder}"], "EISDIR", "folder"),
    ],
)
def test_as_the_real_programs(tmp_path: Path, argv: list[str], errno_name: str, at: str) -> None:
    """Word for word what coreutils say in the C locale."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    places = {name: str(tmp_path / name) for name in ("missing", "folder", "file")}
    given = [part.format(**places) for part in argv]
    real = subprocess.run(given, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
    source, target = (given[1], given[2]) if argv[0] in ("mv", "cp") else ("", given[-1])
    failed = Failed(program=argv[0], errno_name=errno_name, path=str(tmp_path / at), source=source, target=target)
    assert text(failed) == real.stderr.strip()
