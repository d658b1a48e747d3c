"""The table of operations here and the typed commands of the control plane: the same operations, the same arguments."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest.commands import Payload, command_from
from goldcrest.commands.base import operations
from goldcrest.errors import InvalidInput
from unit.ssh_filter.test_arguments import GOOD

pytestmark = pytest.mark.unit

PAYLOAD = {"fs.write", "slurm.submit"}
FILE_OPERATIONS = [op for op in GOOD if op.startswith(("fs.", "sys."))]
# Values that some argument takes and others do not.
VALUES: list[Any] = [
    True, False, 0, 1, -1, 0o7777, 0o10000, 10, 10**6, 10**6 + 1, 64 * 2**20, 64 * 2**20 + 1, 2**53 - 1, 2**53, None, 1.5, [], {},
    "", "a", "/a", ".", "..", "a/..", "../a", "/a/../b", "a/", "a\0b", "a\nb", "\x1b[2J", "~", "-x", "a:b", "ü", "\udc80",
    "a\\xff", "a\\xc3\\xa9", "a\\x5cb", "\\x5cx5c", "a" * 256, "a" * 257, "a" * 4095, "a" * 4096, "a" * 4097, "\\xff" * 4096,
    "0644", "644", "0", "00644", "000644", "0888", "u+x", "u+x,g-w", "a=rX", "+x", "=", "u=g", "u+rwx-s", "g+5", "rw", "u+x,", "x+u",
    "tar", "tgz", "bz2", "zip", "gz", "rar", "--reference=x", "u+x\n",
]  # fmt: skip


def accepted_there(f: Any, op: str, args: dict[str, Any]) -> bool:
    try:
        f.check_arguments(f.OPERATIONS[op].arguments, args)
    except f.Refused:
        return False
    return True


def accepted_here(op: str, args: dict[str, Any]) -> bool:
    try:
        command_from(op, args, Payload.of(b"x") if op in PAYLOAD else None)
    except InvalidInput:
        return False
    return True


def test_the_same_operations(f: Any) -> None:
    """What one side has and the other lacks could never be used, or never be signed."""
    assert set(f.OPERATIONS) == set(operations())
    assert {op for op, operation in f.OPERATIONS.items() if operation.takes_payload} == PAYLOAD
    streams = {op for op, command in operations().items() if command.streams_payload}
    assert {op for op, operation in f.OPERATIONS.items() if operation.streams} == streams


@pytest.mark.parametrize(("op", "name"), [(op, name) for op in FILE_OPERATIONS for name in GOOD[op]])
def test_the_same_arguments(f: Any, op: str, name: str) -> None:
    """Each argument with many values: both sides say the same of each."""
    good = {
        key: value for key, value in GOOD[op].items() if (op, key) not in {("fs.head", "bytes"), ("fs.tail", "bytes")}
    }
    if name == "bytes":
        good = {key: value for key, value in GOOD[op].items() if key != "lines"}
    assert accepted_here(op, good) and accepted_there(f, op, good)
    for value in VALUES:
        args = {**good, name: value}
        assert accepted_here(op, args) is accepted_there(f, op, args), value
    left = {key: value for key, value in good.items() if key != name}
    assert accepted_here(op, left) is accepted_there(f, op, left)


@pytest.mark.parametrize(
    "name", [b"plain", b"a\\b", b"\xff\\xff", b"\\x5c\\\xe9", "Größe 😀".encode(), bytes(range(1, 256))]
)
def test_the_same_names(f: Any, name: bytes) -> None:
    """One form of a name on both sides."""
    from goldcrest.commands.names import name_bytes, name_text

    assert f.name_text(name) == name_text(name)
    assert f.name_bytes(name_text(name)) == name_bytes(name_text(name)) == name
