"""What answers look like, by operation: a node that says something else is not believed, and breaks nothing. Pure.

Of the operations that a REST request waits for; what comes as content is read by its own parser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from goldcrest.commands.base import SHA256
from goldcrest.errors import AnswerUnusable

_SIZES: Final = {"files": int, "bytes": int}
_READ: Final = {"size": int, "fileSize": int}
_RUN: Final = {"exit": int, "stdout": str, "stderr": str}
_SHAPES: Final[Mapping[str, Mapping[str, type]]] = {
    "sys.whoami": {"user": str, "uid": int, "gid": int, "groups": list},
    "fs.stat": dict.fromkeys(("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime"), int),
    "fs.ls": {"count": int, "directory": bool, "skipped": list, "skippedCount": int},
    "fs.read": _READ,
    "fs.head": _READ | {"matched": bool},
    "fs.tail": _READ | {"matched": bool},
    "fs.checksum": {"sha256": str, "size": int},
    "fs.type": {"text": str},
    "fs.write": {"size": int, "sha256": str},
    "fs.copy": _SIZES,
    "fs.chmod": {"before": int, "after": int},
    "fs.chown": dict.fromkeys(("ownerBefore", "groupBefore", "owner", "group"), str),
    "fs.rm": {"removed": int},
    "fs.compress": {"bytes": int},
    "fs.extract": _SIZES,
    "fs.quota": _RUN,
    "rsv.list": _RUN,
    "rsv.create": _RUN,
    "rsv.update": _RUN,
    "rsv.delete": _RUN,
}


def check_answer(op: str, answer: Mapping[str, Any]) -> None:
    """Look whether an answer is one. What it has beside its fields is of a newer node, and ignored.

    Raises:
        AnswerUnusable: naming the field, never what stands in it.
    """
    for name, kind in _SHAPES.get(op, {}).items():
        value = answer.get(name)
        if type(value) is not kind:  # a bool is no number here
            raise AnswerUnusable(f"the system's answer cannot be understood: {name} of {op}")
        if name == "sha256" and not SHA256.fullmatch(str(value)):
            raise AnswerUnusable(f"the system's answer cannot be understood: {name} of {op}")
    if op == "sys.whoami":
        _check_groups(answer["groups"])


def _check_groups(groups: list[Any]) -> None:
    for group in groups:
        if (
            not isinstance(group, dict)
            or type(group.get("id")) is not int
            or not isinstance(group.get("name"), str | int)
        ):
            raise AnswerUnusable("the system's answer cannot be understood: groups of sys.whoami")
