"""`#SBATCH` lines: read as sbatch reads them, and nothing that could be read in two ways (T9).

The rules are those of slurm's src/sbatch/opt.c; ssh-filter has the same parser. Both are run on tests/data/directives.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from goldcrest.errors import InvalidInput
from goldcrest.sbatch.options import OPTIONS, Kind, SubmitOptions, Value

C_BLANKS: Final = " \t\v\f\r"  # isspace(3), without the newline

PATH_LIMIT: Final = 4096  # bytes

# Our own command line says these, or they change only what sbatch prints.
IGNORED: Final = frozenset({"comment", "parsable", "quiet", "verbose", "ignore-pbs"})
_IGNORED_WITH_VALUE: Final = frozenset({"comment"})

_NOT_OTHERS: Final = "the job runs as the user of the request"
_NOT_ELSEWHERE: Final = "the job runs on the system of the request"
_NOT_SIGNED: Final = "sbatch would read a file that nobody has signed"
_ENVIRONMENT: Final = "the job's environment is that of the request"
_NO_SUBMISSION: Final = "sbatch would not submit anything"

FORBIDDEN: Final[Mapping[str, str]] = {
    "hold": "it would be released again; submit with spec.suspend instead",
    "priority": "it would undo the hold under which jobs are submitted; use --nice",
    "wait": "sbatch would not answer before the end of the job",
    "wrap": "the script itself is what runs",
    "uid": _NOT_OTHERS,
    "gid": _NOT_OTHERS,
    "clusters": _NOT_ELSEWHERE,
    "cluster": _NOT_ELSEWHERE,
    "cluster-constraint": _NOT_ELSEWHERE,
    "get-user-env": f"{_ENVIRONMENT}; a login shell as interpreter (#!/bin/bash -l) loads more",
    "export-file": _ENVIRONMENT,
    "nodefile": f"{_NOT_SIGNED}; use --nodelist",
    "bbf": f"{_NOT_SIGNED}; use --bb",
    "reboot": "nodes are not rebooted for a job",
    "test-only": _NO_SUBMISSION,
    "help": _NO_SUBMISSION,
    "usage": _NO_SUBMISSION,
    "version": _NO_SUBMISSION,
}

_HETEROGENEOUS: Final = "heterogeneous jobs cannot be submitted"

_SHORT: Final[Mapping[str, str]] = {
    **{option.short: option.flag for option in OPTIONS.values() if option.short},
    "D": "chdir",
    "Q": "quiet",
    "v": "verbose",
    "H": "hold",
    "W": "wait",
    "M": "clusters",
    "F": "nodefile",
    "h": "help",
    "u": "usage",
    "V": "version",
}

_NAMES: Final[Mapping[str, str]] = {
    **{option.flag: name for name, option in OPTIONS.items()},
    **{option.alias: name for name, option in OPTIONS.items() if option.alias},
    **{f"no-{option.flag}": name for name, option in OPTIONS.items() if option.kind is Kind.SWITCH},
}


@dataclass(frozen=True, slots=True)
class Directives:
    """What the lines of a script ask for.

    Attributes:
        work_directory: absolute path (``--chdir``).
        lines: number of the line that set an option last, by name.
    """

    options: SubmitOptions = field(default_factory=SubmitOptions)
    work_directory: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)


def directives_of(script: bytes) -> Directives:
    """What the `#SBATCH` lines of a script say; the last one of an option counts, as for sbatch.

    Raises:
        InvalidInput: "line 3 of the script: …" for an unknown, forbidden, malformed or ambiguous one.
    """
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    work_directory: str | None = None
    for number, words in _lines(script):
        for flag, text in _options(number, deque(words)):
            if flag in IGNORED:
                continue
            if flag == "chdir":
                work_directory = _directory(number, text)
            elif flag == "export":
                _check_export(number, text)
            else:
                name, value = _value(number, flag, text)
                values[name] = _with(values.get(name), value)
                lines[name] = number
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return Directives(SubmitOptions.load(given), work_directory, lines)


def _with(before: Value | None, value: Value) -> Value:
    """Events for mail add up; everything else is replaced."""
    if isinstance(before, tuple) and isinstance(value, tuple):
        return tuple(dict.fromkeys((*before, *value)))
    return value


def _lines(script: bytes) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line that sbatch obeys: up to the first that is neither blank nor a comment."""
    for number, raw in enumerate(io.BytesIO(script), 1):
        # C sees the end of a line at NUL. (sbatch takes no script with a NUL, in its own words.)
        line = raw.rstrip(b"\n").partition(b"\0")[0].decode(errors="surrogateescape")
        if line.startswith("#SBATCH"):
            yield number, _words(number, line.removeprefix("#SBATCH"))
        elif line.startswith("#SLURM"):  # the old name; without an option behind it such a line is a remark
            if re.search(rf"(^#SLURM|[{C_BLANKS}\"'])-", line):
                yield number, _words(number, line.removeprefix("#SLURM"))
        else:
            content = line.lstrip(C_BLANKS)
            if content and not content.startswith("#"):
                return


def _words(number: int, text: str) -> list[str]:
    """Words as sbatch splits them: blanks separate, quotes join, `#` begins a comment."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    for character in text:
        if character == "\\":
            # Its meaning within quotes differs from the shell's: nothing that one could read in two ways.
            _refuse(number, "a backslash is not allowed in a directive")
        if quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character in "\"'":
            quote, word = character, word or ""
        elif character in C_BLANKS:
            if word is not None:
                words.append(word)
            word = None
        elif character == "#":
            break
        else:
            word = (word or "") + character
    if quote:
        _refuse(number, "a quote is not closed")
    if word is not None:
        words.append(word)
    if "" in words:  # sbatch takes no notice of the rest of the line then
        _refuse(number, "there is an empty word")
    return words


def _options(number: int, words: deque[str]) -> Iterator[tuple[str, str | None]]:
    """Long name and value of each option of a line, as getopt_long(3) finds them, but without abbreviations."""
    while words:
        word = words.popleft()
        if word in (":", "hetjob", "packjob"):
            _refuse(number, _HETEROGENEOUS)
        value: str | None
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            attached = bool(equals)
        else:
            flag, value = _SHORT.get(word[1:2], ""), word[2:]
            attached = bool(value)
            if not word.startswith("-") or not flag:
                _refuse(number, f"{word!r} is not an option that can be used in a script")
        if flag in FORBIDDEN:
            _refuse(number, f"--{flag} cannot be used: {FORBIDDEN[flag]}")
        takes = _takes_value(flag)
        if takes is None or (attached and takes == "no"):
            _refuse(number, f"{word!r} is not an option that can be used in a script")
        if not attached:
            value = None
            if takes == "yes":
                if not words:
                    _refuse(number, f"{word} has no value")
                value = words.popleft()
        yield flag, value


def _takes_value(flag: str) -> str | None:
    """Whether an option takes a value: "yes", "no", "maybe"; None when it is unknown."""
    if flag in ("chdir", "export") or flag in _IGNORED_WITH_VALUE:
        return "yes"
    if flag in IGNORED:
        return "no"
    if flag not in _NAMES:
        return None
    option = OPTIONS[_NAMES[flag]]
    if option.kind in (Kind.FLAG, Kind.SWITCH):
        return "no"
    return "maybe" if option.bare else "yes"


def _value(number: int, flag: str, text: str | None) -> tuple[str, Value]:
    name = _NAMES[flag]
    option = OPTIONS[name]
    if option.kind in (Kind.FLAG, Kind.SWITCH):
        return name, flag == option.flag
    try:
        return name, option.read(option.bare if text is None else text)
    except InvalidInput as error:
        _refuse(number, f"--{flag} {error.message}")


def _directory(number: int, text: str | None) -> str | None:
    path = text or ""
    if path in (".", "./"):
        return None  # where it starts anyway
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        size = 0
    if not path.startswith("/") or ".." in path.split("/") or not 0 < size <= PATH_LIMIT:
        _refuse(number, "--chdir must be an absolute path without '..'")
    return path


def _check_export(number: int, text: str | None) -> None:
    # Of the submitting environment there is nothing to export, so ALL and NONE mean the same. Our command line replaces both by
    # ALL: with NONE sbatch would forget the variables of the request.
    if (text or "").upper() not in ("ALL", "NONE"):
        _refuse(number, "--export can only be ALL or NONE; give variables in the request (spec.environment)")


def _refuse(number: int, why: str) -> NoReturn:
    raise InvalidInput(f"line {number} of the script: {why}")
