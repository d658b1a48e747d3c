"""What the GNU programs of contract section 4.3 say when a system call fails: the ``error`` of an answer. Made from errno, never read.

Spelled as coreutils in the C locale, which quotes with apostrophes.
"""

from __future__ import annotations

import errno as errno_table
import os
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A system call that failed in a program.

    Args:
        program: as named in this module, e.g. ``mv``.
        errno_name: e.g. ``ENOENT``.
        path: the path of the request that it failed on, or one below it.
        source: of operations with two paths.
        target: likewise.
    """

    program: str
    errno_name: str
    path: str
    source: str = ""
    target: str = ""

    @property
    def at_source(self) -> bool:
        """Whether it is the source that could not be worked with."""
        return bool(self.source) and self.path != self.target and _within(self.path, self.source)


@dataclass(frozen=True, slots=True)
class _Program:
    """Sentences of one program. Those for an errno win over ``usual``, and ``of_source`` counts where the source failed."""

    usual: str
    by_errno: dict[str, str] = field(default_factory=dict)
    of_source: _Program | None = None


def _each(sentence: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, sentence)


# EACCES: of a folder on the way; a file's own mode keeps nobody from changing its attributes.
_NO_WAY_TO: Final = ("ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EACCES")
_ENDS_WRITING: Final = ("ENOSPC", "EDQUOT", "EFBIG", "EIO")
_READING: Final = "cannot open '{path}' for reading: {reason}"
_MV: Final = _each("mv: cannot overwrite '{target}': {reason}", "EEXIST", "ENOTEMPTY") | {
    "EISDIR": "mv: cannot overwrite directory '{target}' with non-directory",
    "EINVAL": "mv: cannot move '{source}' to a subdirectory of itself, '{target}'",
}
_CP: Final = {
    "EISDIR": "cp: cannot overwrite directory '{target}' with non-directory",
    "EINVAL": "cp: cannot copy a directory, '{source}', into itself, '{target}'",
}
_PROGRAMS: Final = {
    "ls": _Program(
        "ls: cannot access '{path}': {reason}", {"EACCES": "ls: cannot open directory '{path}': {reason}"}
    ),
    "mkdir": _Program("mkdir: cannot create directory '{path}': {reason}"),
    "mv": _Program(
        "mv: cannot move '{source}' to '{target}': {reason}",
        _MV,
        _Program("mv: cannot stat '{path}': {reason}", _MV | _each("mv: cannot move '{source}' to '{target}': {reason}", "EACCES", "EPERM")),
    ),
    "cp": _Program(
        "cp: cannot create regular file '{path}': {reason}",
        _CP | _each("cp: error writing '{path}': {reason}", *_ENDS_WRITING),
        _Program("cp: cannot stat '{path}': {reason}", _CP | {"EACCES": f"cp: {_READING}"}),
    ),
    "chmod": _Program(
        "chmod: changing permissions of '{path}': {reason}", _each("chmod: cannot access '{path}': {reason}", *_NO_WAY_TO)
    ),
    "chown": _Program(
        "chown: changing ownership of '{path}': {reason}", _each("chown: cannot access '{path}': {reason}", *_NO_WAY_TO)
    ),
    "file": _Program("cannot open `{path}' ({reason})"),
    "head": _Program(f"head: {_READING}", {"EISDIR": "head: error reading '{path}': {reason}"}),
    "tail": _Program(f"tail: {_READING}", {"EISDIR": "tail: error reading '{path}': {reason}"}),
    "stat": _Program("stat: cannot stat '{path}': {reason}"),
    "ln": _Program("ln: failed to create symbolic link '{path}': {reason}"),
    "rm": _Program("rm: cannot remove '{path}': {reason}"),
    "sha256sum": _Program("sha256sum: {path}: {reason}"),
    "base64": _Program("base64: {path}: {reason}", {"EISDIR": "base64: read error: {reason}"}),
    "cat": _Program("bash: {path}: {reason}", _each("cat: write error: {reason}", *_ENDS_WRITING)),
    "id": _Program("id: {reason}"),
    "tar": _Program("tar: {path}: Cannot open: {reason}"),
}  # fmt: skip


def text(failed: Failed) -> str:
    """The sentence, without a newline."""
    program = _PROGRAMS[failed.program]
    if failed.at_source and program.of_source is not None:
        program = program.of_source
    return program.by_errno.get(failed.errno_name, program.usual).format(
        path=failed.path, source=failed.source, target=failed.target, reason=reason(failed.errno_name)
    )


def reason(errno_name: str) -> str:
    """strerror(3) of an errno's name; the name itself where this system has none."""
    number = getattr(errno_table, errno_name, None)
    return os.strerror(number) if isinstance(number, int) else errno_name


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
