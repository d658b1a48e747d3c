"""What the login node refuses, through every route of ``/utilities``: status, description, error and header (contract 3.6, 3.7, 4.1).

``@`` stands for the folder of the test: its files are alice's own, or root's, and only of this test. Nothing of it may be changed by what
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bed import Bed
from integration.door import Door, told

pytestmark = pytest.mark.integration

USER = "alice"
MIB_5 = 5 * 2**20  # bytes; the contract's limit, which the bed's System has
NO_PATH = ("X-Permission-Denied", "User does not have permissions to access path")
NO_MACHINE_OR_PATH = ("X-Permission-Denied", "User does not have permissions to access machine or path")
INVALID = ("X-Invalid-Path", "path is an invalid path")
INVALID_DOT = ("X-Invalid-Path", "path is an invalid path.")
BOTH_INVALID = ("X-Invalid-Path", "sourcePath and/or targetPath are invalid paths")
NOT_FOUND = ("X-Not-Found", "sourcePath not found")
NO_PATTERN = ("X-Not-Found", "pattern not found")
EXISTS = ("X-Exists", "targetPath already exists")
A_DIRECTORY = ("X-A-Directory", "path is a directory, can't checksum directories")
NOT_A_DIRECTORY = ("X-Not-A-Directory", "targetPath is not a directory")
TIMED_OUT = "Command has finished with timeout signal"
TOO_MUCH = f"Command output exceeded buffer limit ({MIB_5})"

MADE = r"""
umask 022; mkdir "$1"; cd "$1"
mkdir folder full full/folder full/folder/within over over/file
printf 'one\ntwo\nthree\n' > file; printf '\377\376' > binary; ln -s loop loop; ln -s nowhere dead
truncate -s 5242881 large; truncate -s 64G huge
cp file damaged.tar; cp file x.rar; touch "$1-up"; tar -P -cf evil.tar "../${1##*/}-up"; rm "$1-up"; tar -czf good.tgz file
"""
OF_ROOT = r"""
cd "$1"; umask 022; mkdir -m 700 closed; mkdir locked; touch closed/file locked/file of-root
echo secret > secret; chmod 600 secret; mkdir "$2"; touch "$2/file"; chmod 777 "$2"
"""


def found(bed: Bed, path: str) -> str:
    return bed.node("find", path, "-printf", "%P %y %s %m %u %l\n")


@pytest.fixture(scope="module")
def outside(bed: Bed) -> str:
    """A folder that anybody may write to, but outside of what the node serves."""
    return f"/var/tmp/{bed.name('outside')}"


@pytest.fixture(scope="module")
def tree(bed: Bed, outside: str) -> Iterator[str]:
    path = f"/scratch/{USER}/{bed.name('refused')}"
    try:
        bed.node("sh", "-ec", MADE, "sh", path, user=USER)
        bed.node("sh", "-ec", OF_ROOT, "sh", path, outside)
        before = found(bed, path)
        yield path
        assert found(bed, path) == before
        assert found(bed, outside).count("\n") == 2
        bed.node("test", "!", "-e", f"{path}-up")
    finally:
        bed.node("rm", "-rf", path, outside)


@pytest.fixture(scope="module")
def door(bed: Bed) -> Door:
    return Door(bed)


def to(path: str, **more: str) -> dict[str, str]:
    return {"targetPath": path, **more}


def from_to(source: str, target: str, **more: str) -> dict[str, str]:
    return {"sourcePath": source, "targetPath": target, **more}


Row = tuple[str, str, dict[str, str], tuple[str, str] | None, str]
ROWS: list[Row] = [
    ("GET", "ls", to("@no"), INVALID, "ls: cannot access '@no': No such file or directory"),
    ("GET", "ls", to("@file/x"), INVALID, "ls: cannot access '@file/x': Not a directory"),
    ("GET", "ls", to("@loop/x"), INVALID, "ls: cannot access '@loop/x': Too many levels of symbolic links"),
    ("GET", "ls", to("@folder", followLinks="true", recursive="true") | to("@dead"), INVALID, "ls: cannot access '@dead': No such file or directory"),
    ("GET", "ls", to("@closed"), NO_PATH, "ls: cannot open directory '@closed': Permission denied"),
    ("GET", "ls", to("@", recursive="true"), NO_PATH, "ls: cannot open directory '@closed': Permission denied"),
    ("GET", "ls", to("%outside"), NO_MACHINE_OR_PATH, "ls: cannot access '%outside': Operation not permitted"),
    ("POST", "mkdir", to("@folder"), EXISTS, "mkdir: cannot create directory '@folder': File exists"),
    ("POST", "mkdir", to("@file", p=""), EXISTS, "mkdir: cannot create directory '@file': File exists"),
    ("POST", "mkdir", to("@no/x"), BOTH_INVALID, "mkdir: cannot create directory '@no/x': No such file or directory"),
    ("POST", "mkdir", to("@file/x"), NOT_A_DIRECTORY, "mkdir: cannot create directory '@file/x': Not a directory"),
    ("POST", "mkdir", to("@locked/x"), NO_PATH, "mkdir: cannot create directory '@locked/x': Permission denied"),
    ("POST", "mkdir", to("%outside/x"), NO_MACHINE_OR_PATH, "mkdir: cannot create directory '%outside/x': Operation not permitted"),
    ("PUT", "rename", from_to("@no", "@x"), NOT_FOUND, "mv: cannot stat '@no': No such file or directory"),
    ("PUT", "rename", from_to("@file", "@no/x"), BOTH_INVALID, "mv: cannot move '@file' to '@no/x': No such file or directory"),
    ("PUT", "rename", from_to("@file", "@locked/x"), NO_PATH, "mv: cannot move '@file' to '@locked/x': Permission denied"),
    ("PUT", "rename", from_to("@locked/file", "@x"), NO_PATH, "mv: cannot move '@locked/file' to '@x': Permission denied"),
    ("PUT", "rename", from_to("@folder", "@folder/x"), A_DIRECTORY, "mv: cannot move '@folder' to a subdirectory of itself, '@folder/x'"),
    ("PUT", "rename", from_to("@folder", "@full"), EXISTS, "mv: cannot overwrite '@full': Directory not empty"),
    ("PUT", "rename", from_to("@file", "@over"), A_DIRECTORY, "mv: cannot overwrite directory '@over' with non-directory"),
    ("PUT", "rename", from_to("@file", "@binary/x"), NOT_A_DIRECTORY, "mv: cannot move '@file' to '@binary/x': Not a directory"),
    ("POST", "copy", from_to("@no", "@x"), NOT_FOUND, "cp: cannot stat '@no': No such file or directory"),
    ("POST", "copy", from_to("@file", "@no/x"), BOTH_INVALID, "cp: cannot create regular file '@no/x': No such file or directory"),
    ("POST", "copy", from_to("@file", "@locked/x"), NO_PATH, "cp: cannot create regular file '@locked/x': Permission denied"),
    ("POST", "copy", from_to("@secret", "@x"), NO_PATH, "cp: cannot open '@secret' for reading: Permission denied"),
    ("POST", "copy", from_to("@folder", "@folder/x"), A_DIRECTORY, "cp: cannot copy a directory, '@folder', into itself, '@folder/x'"),
    ("POST", "copy", from_to("@file", "@over"), A_DIRECTORY, "cp: cannot overwrite directory '@over' with non-directory"),
    ("PUT", "chmod", to("@file"), None, "'mode' not specified"),
    ("PUT", "chmod", to("@file", mode=""), None, "'mode' is empty"),
    ("PUT", "chmod", to("@file", mode="7;7"), None, "'mode' has invalid char"),
    ("PUT", "chmod", to("@file", mode="rwx"), ("X-Invalid-Mode", "mode is an invalid mode"), "chmod: invalid mode: 'rwx'"),
    ("PUT", "chmod", to("@no", mode="700"), INVALID, "chmod: cannot access '@no': No such file or directory"),
    ("PUT", "chmod", to("@file/x", mode="700"), INVALID, "chmod: cannot access '@file/x': Not a directory"),
    ("PUT", "chmod", to("@closed/file", mode="700"), INVALID, "chmod: cannot access '@closed/file': Permission denied"),
    ("PUT", "chmod", to("@of-root", mode="777"), NO_MACHINE_OR_PATH, "chmod: changing permissions of '@of-root': Operation not permitted"),
    ("PUT", "chown", to("@file", owner="nosuchuser"), ("X-Invalid-Owner", "owner is an invalid user"), "chown: invalid user: 'nosuchuser'"),
    ("PUT", "chown", to("@file", group="nosuchgroup"), ("X-Invalid-Group", "group is an invalid group"), "chown: invalid group: 'nosuchgroup'"),
    ("PUT", "chown", to("@file", owner="bob"), NO_MACHINE_OR_PATH, "chown: changing ownership of '@file': Operation not permitted"),
    ("PUT", "chown", to("@of-root", owner=USER), NO_MACHINE_OR_PATH, "chown: changing ownership of '@of-root': Operation not permitted"),
    ("PUT", "chown", to("@no", owner=USER), INVALID, "chown: cannot access '@no': No such file or directory"),
    ("PUT", "chown", to("@closed/file", owner=USER), INVALID, "chown: cannot access '@closed/file': Permission denied"),
    ("GET", "file", to("@no"), INVALID, "cannot open `@no' (No such file or directory)"),
    ("GET", "file", to("@secret"), NO_PATH, "cannot open `@secret' (Permission denied)"),
    ("GET", "file", to("@closed/file"), NO_PATH, "cannot open `@closed/file' (Permission denied)"),
    ("GET", "stat", to("@no"), NOT_FOUND, "stat: cannot stat '@no': No such file or directory"),
    ("GET", "stat", {"sourcePath": "@no"}, NOT_FOUND, "stat: cannot stat '@no': No such file or directory"),
    ("GET", "stat", to("@dead", dereference="yes"), NOT_FOUND, "stat: cannot stat '@dead': No such file or directory"),
    ("GET", "stat", to("@file/x"), NOT_A_DIRECTORY, "stat: cannot stat '@file/x': Not a directory"),
    ("GET", "stat", to("@closed/file"), NO_PATH, "stat: cannot stat '@closed/file': Permission denied"),
    ("GET", "checksum", to("@no"), INVALID, "sha256sum: @no: No such file or directory"),
    ("GET", "checksum", to("@folder"), A_DIRECTORY, "sha256sum: @folder: Is a directory"),
    ("GET", "checksum", to("@secret"), NO_PATH, "sha256sum: @secret: Permission denied"),
    ("GET", "checksum", to("@huge"), ("X-Timeout", TIMED_OUT), TIMED_OUT),
    ("POST", "symlink", to("x", linkPath="@file"), EXISTS, "ln: failed to create symbolic link '@file': File exists"),
    ("POST", "symlink", to("x", linkPath="@no/x"), INVALID, "ln: failed to create symbolic link '@no/x': No such file or directory"),
    ("POST", "symlink", to("x", linkPath="@file/x"), NOT_A_DIRECTORY, "ln: failed to create symbolic link '@file/x': Not a directory"),
    ("POST", "symlink", to("x", linkPath="@locked/x"), NO_PATH, "ln: failed to create symbolic link '@locked/x': Permission denied"),
    ("DELETE", "rm", to("@no"), INVALID_DOT, "rm: cannot remove '@no': No such file or directory"),
    ("DELETE", "rm", to("@file/x"), NOT_A_DIRECTORY, "rm: cannot remove '@file/x': Not a directory"),
    ("DELETE", "rm", to("@locked"), NO_PATH, "rm: cannot remove '@locked/file': Permission denied"),
    ("DELETE", "rm", to("%outside/file"), NO_MACHINE_OR_PATH, "rm: cannot remove '%outside/file': Operation not permitted"),
    ("POST", "compress", from_to("@no", "@x.tgz"), INVALID, "tar: @no: Cannot open: No such file or directory"),
    ("POST", "compress", from_to("@folder", "@no/x.tgz"), INVALID, "tar: @no/x.tgz: Cannot open: No such file or directory"),
    ("POST", "compress", from_to("@folder", "@locked/x.tgz"), NO_PATH, "tar: @locked/x.tgz: Cannot open: Permission denied"),
    ("POST", "compress", from_to("@secret", "@x.tgz"), NO_PATH, "tar: @secret: Cannot open: Permission denied"),
    ("POST", "compress", from_to("@file", "@folder"), A_DIRECTORY, "tar: @folder: Cannot open: Is a directory"),
    ("POST", "extract", from_to("@x.rar", "@folder"), None, "Unsupported file format in @x.rar."),
    ("POST", "extract", from_to("@good.tgz", "@folder", extension=".7z"), None, "Unsupported file format in @good.tgz."),
    ("POST", "extract", from_to("@no.tar", "@folder"), INVALID, "tar: @no.tar: Cannot open: No such file or directory"),
    ("POST", "extract", from_to("@good.tgz", "@no"), INVALID, "tar: @no: Cannot open: No such file or directory"),
    ("POST", "extract", from_to("@good.tgz", "@file"), NOT_A_DIRECTORY, "tar: @file: Cannot open: Not a directory"),
    ("POST", "extract", from_to("@good.tgz", "@locked"), NO_PATH, "tar: @locked/file: Cannot open: Permission denied"),
]  # fmt: skip


def filled(value: Any, tree: str, outside: str) -> Any:
    """With the real paths."""
    if isinstance(value, dict):
        return {key: filled(one, tree, outside) for key, one in value.items()}
    return value.replace("%outside", outside).replace("@", f"{tree}/") if isinstance(value, str) else value


def _name(row: Row) -> str:
    return f"{row[1]}: {row[4]}"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_refused(door: Door, tree: str, outside: str, row: Row) -> None:
    """400, with the one header of the table."""
    method, route, fields, header, error = row
    answer = door.ask(method, f"/utilities/{route}", filled(fields, tree, outside))
    body = {"description": f"Error on {route} operation", "error": filled(error, tree, outside)}
    assert told(answer) == (400, body, dict([header]) if header else {})


def test_chown_to_nobody(door: Door, tree: str) -> None:
    """One of the two is needed; the contract's description has another word here."""
    body = {"description": "Error in chown operation", "error": "group or owner must be set"}
    assert told(door.ask("PUT", "/utilities/chown", {"targetPath": f"{tree}/file"})) == (400, body, {})


# Of head, tail and view: {op} in the error is the program, and view looks at the size first.
PARTS: list[tuple[str, dict[str, str], str, tuple[str, str] | None, str]] = [
    (route, fields, f"{program}{' with grep' if 'grep' in fields else ''}", header, error.format(op=program))
    for route, program in (("head", "head"), ("tail", "tail"), ("view", "head"))
    for fields, header, error in (
        (to("@file", bytes="1", lines="1"), None, "Can not specify both 'bytes' and 'lines'"),
        (to("@file", lines="x"), ("X-Error", f"{program}: invalid number of lines: 'x'"), "{op}: invalid number of lines: 'x'"),
        (to("@file", bytes="1Z"), ("X-Error", f"{program}: invalid number of bytes: '1Z'"), "{op}: invalid number of bytes: '1Z'"),
        (to("@folder"), A_DIRECTORY, "{op}: error reading '@folder': Is a directory"),
        (to("@secret"), NO_PATH, "{op}: cannot open '@secret' for reading: Permission denied"),
        (to("@secret", grep="s"), NO_PATH, "{op}: cannot open '@secret' for reading: Permission denied"),
        *(() if route == "view" else (
            (to("@no"), INVALID, "{op}: cannot open '@no' for reading: No such file or directory"),
            (to("@no", grep="x"), INVALID, "{op}: cannot open '@no' for reading: No such file or directory"),
            (to("@closed/file"), NO_PATH, "{op}: cannot open '@closed/file' for reading: Permission denied"),
            (to("@large", bytes="5242881"), ("X-Error", TOO_MUCH), TOO_MUCH),
        )),
    )
] + [
    ("view", to("@no"), "fsize", NOT_FOUND, "stat: cannot stat '@no': No such file or directory"),
    ("view", to("@closed/file"), "fsize", NO_PATH, "stat: cannot stat '@closed/file': Permission denied"),
    ("download", {"sourcePath": "@no"}, "fsize", NOT_FOUND, "stat: cannot stat '@no': No such file or directory"),
    ("download", {"sourcePath": "@file/x"}, "fsize", NOT_A_DIRECTORY, "stat: cannot stat '@file/x': Not a directory"),
    ("download", {"sourcePath": "@closed/file"}, "fsize", NO_PATH, "stat: cannot stat '@closed/file': Permission denied"),
    ("download", {"sourcePath": "@secret"}, "base64", NO_PATH, "base64: @secret: Permission denied"),
    ("download", {"sourcePath": "@folder"}, "base64", A_DIRECTORY, "base64: read error: Is a directory"),
    ("download", {"targetPath": "@file"}, "fsize", None, "'sourcePath' not specified"),
]  # fmt: skip


@pytest.mark.parametrize(("route", "fields", "operation", "header", "error"), PARTS)
def test_content_that_is_not_read(
    door: Door,
    tree: str,
    outside: str,
    route: str,
    fields: dict[str, str],
    operation: str,
    header: tuple[str, str] | None,
    error: str,
) -> None:
    """400; the description names the step that failed."""
    answer = door.ask("GET", f"/utilities/{route}", filled(fields, tree, outside))
    body = {"description": f"Error on {operation} operation".replace(" with grep operation", " operation with grep"),
            "error": filled(error, tree, outside)}  # fmt: skip
    assert told(answer) == (400, body, dict([header]) if header else {})


@pytest.mark.parametrize(("route", "program"), [("head", "head"), ("tail", "tail"), ("view", "head")])
def test_patterns_and_bytes(door: Door, tree: str, route: str, program: str) -> None:
    """A pattern that is not there is 404, one with any character is a pattern (D14); what is no text is said to be none."""
    for pattern in ("four", "'; touch /tmp/x; '", "o.e"):
        body = {"description": f"Error on {program} operation with grep", "error": "pattern not found"}
        answer = door.ask("GET", f"/utilities/{route}", to(f"{tree}/file", grep=pattern))
        assert told(answer) == (404, body, dict([NO_PATTERN]))
    status, body, headers = told(door.ask("GET", f"/utilities/{route}", to(f"{tree}/binary")))
    assert (status, body["description"], headers) == (400, f"Error on {program} operation", {"X-Error": body["error"]})
    assert "codec can't decode byte 0xff" in body["error"]


@pytest.mark.parametrize(
    ("route", "field", "description"),
    [
        ("view", "targetPath", "Failed to view file content"),
        ("download", "sourcePath", "Failed to download file"),
    ],
)
def test_files_over_the_limit(door: Door, tree: str, route: str, field: str, description: str) -> None:
    """X-Size-Limit, and no error."""
    answer = told(door.ask("GET", f"/utilities/{route}", {field: f"{tree}/large"}))
    assert answer == (400, {"description": description}, {"X-Size-Limit": "File exceeds size limit"})


@pytest.mark.parametrize(
    ("folder", "name", "header", "error"),
    [
        ("@no", "x", INVALID, "bash: @no/x: No such file or directory"),
        ("@file", "x", NOT_A_DIRECTORY, "bash: @file/x: Not a directory"),
        ("@locked", "x", NO_PATH, "bash: @locked/x: Permission denied"),
        ("@over", "file", A_DIRECTORY, "bash: @over/file: Is a directory"),
        ("%outside", "x", NO_MACHINE_OR_PATH, "bash: %outside/x: Operation not permitted"),
    ],
)
def test_folders_that_take_no_file(
    door: Door, tree: str, outside: str, folder: str, name: str, header: tuple[str, str], error: str
) -> None:
    """Nothing is there afterwards, nor a part of it."""
    answer = told(door.upload({"targetPath": filled(folder, tree, outside)}, b"x", name=name))
    body = {"description": "Error on upload operation", "error": filled(error, tree, outside)}
    assert answer == (400, body, dict([header]))


@pytest.mark.parametrize(
    ("method", "route", "source", "target", "words"),
    [
        ("POST", "extract", "damaged.tar", "folder", "damaged.tar"),
        ("POST", "extract", "evil.tar", "folder", "-up"),
        ("PUT", "rename", "file", "file", "are the same file"),
        ("POST", "copy", "file", "file", "are the same file"),
    ],
)
def test_what_has_no_header_of_its_own(
    door: Door, tree: str, method: str, route: str, source: str, target: str, words: str
) -> None:
    """No archive, one that leads out of the folder, a file onto itself: X-Error with the text (row 19 of 3.7)."""
    status, body, headers = told(
        door.ask(method, f"/utilities/{route}", from_to(f"{tree}/{source}", f"{tree}/{target}"))
    )
    assert (status, body["description"]) == (400, f"Error on {route} operation")
    assert headers == {"X-Error": body["error"]}
    assert words in body["error"]
