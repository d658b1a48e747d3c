"""The table of ``/utilities`` (contract 4.1)."""

from __future__ import annotations

from typing import Any, Final

from goldcrest_api.dialects.firecrest_v1 import (
    utilities_archives,
    utilities_changing,
    utilities_listing,
    utilities_looking,
    utilities_reading,
    utilities_transfer,
)
from goldcrest_api.dialects.firecrest_v1.described import MACHINE, TEXT, Adder, form, in_query

_NAMES: Final = {
    "in": "header",
    "name": "X-Goldcrest-Names",
    "schema": {"type": "string", "enum": ["escaped"]},
    "description": "The paths of this request are written as /utilities/ls writes names: any byte as a backslash and three octal digits.",
}
_COMMON: Final[list[dict[str, Any]]] = [MACHINE, _NAMES]
_PATH: Final = in_query("targetPath", "Absolute, or relative to the home directory.", required=True)
_BYTES: Final = in_query("bytes", "So many bytes, with a unit where wanted (K, KB, M …).")
_LINES: Final = in_query("lines", "So many lines; 10 when neither is said.")
_GREP: Final = in_query("grep", "Only lines with this text.")


def _switch(name: str, description: str) -> dict[str, Any]:
    return in_query(name, f"true: {description}")


def _fields(*names: str, required: tuple[str, ...]) -> dict[str, Any]:
    return form("application/x-www-form-urlencoded", required=required, **dict.fromkeys(names, TEXT))


def add_to(add: Adder) -> None:
    """Add all of them."""
    _add_reading(add)
    _add_changing(add)


def _add_reading(add: Adder) -> None:
    listing = [
        _switch("showhidden", "also names that begin with a dot."),
        _switch("recursive", "all below it."),
        _switch("numericUid", "numbers of users and groups instead of names."),
        _switch("followLinks", "attributes of what links point to."),
        _switch("unsorted", "names only, as the file system has them."),
        _switch("notListing", "names only."),
        in_query("pageSize", "Entries of a page; with pageNumber."),
        in_query("pageNumber", "Which page; the first is 1."),
    ]
    part = [_PATH, _BYTES, _LINES, _GREP]
    for path, endpoint, takes in (
        ("ls", utilities_listing.ls, [_PATH, *listing]),
        ("head", utilities_reading.head, [*part, _switch("skip_ending", "all but so much of the end.")]),
        ("tail", utilities_reading.tail, [*part, _switch("skip_beginning", "what begins with that line or byte.")]),
        ("view", utilities_reading.view, part),
        ("stat", utilities_looking.stat, [_PATH, _switch("dereference", "of the file that a link points to.")]),
        ("file", utilities_looking.file, [_PATH]),
        ("checksum", utilities_looking.checksum, [_PATH]),
        ("download", utilities_transfer.download, [in_query("sourcePath", "The file.", required=True)]),
    ):
        add("GET", f"/utilities/{path}", endpoint, "utilities", takes=[*_COMMON, *takes])
    add("GET", "/utilities/whoami", utilities_looking.whoami, "utilities",
        takes=[MACHINE, _switch("groups", "ids and groups as well.")])  # fmt: skip
    add("GET", "/utilities/quota", utilities_looking.quota, "utilities", takes=[MACHINE])
    add("GET", "/utilities/status", utilities_looking.status, "utilities")


def _add_changing(add: Adder) -> None:
    both = ("sourcePath", "targetPath")
    for method, path, endpoint, status, fields, required in (
        ("POST", "mkdir", utilities_changing.mkdir, 201, ("targetPath", "p"), ("targetPath",)),
        ("PUT", "rename", utilities_changing.rename, 200, both, both),
        ("PUT", "chmod", utilities_changing.chmod, 200, ("targetPath", "mode"), ("targetPath", "mode")),
        ("PUT", "chown", utilities_changing.chown, 200, ("targetPath", "owner", "group"), ("targetPath",)),
        ("POST", "copy", utilities_changing.copy, 201, both, both),
        ("POST", "symlink", utilities_changing.symlink, 201, ("targetPath", "linkPath"), ("targetPath", "linkPath")),
        ("DELETE", "rm", utilities_changing.rm, 204, ("targetPath",), ("targetPath",)),
        ("POST", "compress", utilities_archives.compress, 201, (*both, "dereference"), both),
        ("POST", "extract", utilities_archives.extract, 201, (*both, "extension", "type"), both),
    ):
        body = _fields(*fields, required=required)
        add(method, f"/utilities/{path}", endpoint, "utilities", status=status, takes=_COMMON, form=body)
    content = {"type": "string", "format": "binary", "description": "The file."}
    add("POST", "/utilities/upload", utilities_transfer.upload, "utilities", status=201, takes=_COMMON,
        form=form("multipart/form-data", targetPath=TEXT, file=content))  # fmt: skip
