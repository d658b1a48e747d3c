"""Systems whose answers are none: well-formed frames with garbage in them. Frames that are garbage: tests/component/ssh."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from component.api.gateway import Gateway
from goldcrest.commands import Command
from goldcrest.ssh import Answer

pytestmark = pytest.mark.component

_BOTH = {"sourcePath": "/b.tar", "targetPath": "/a"}
_RESERVATION = {
    "reservation": "a", "account": "b", "numberOfNodes": "1", "nodeType": "c",
    "starttime": "2090-01-01T00:00:00", "endtime": "2090-01-02T00:00:00",
}  # fmt: skip
ROUTES: list[tuple[str, str, dict[str, str] | None]] = [
    *(
        ("GET", f"/utilities/{name}?targetPath=/a", None)
        for name in ("ls", "stat", "file", "checksum", "head", "tail", "view")
    ),
    ("GET", "/utilities/ls?targetPath=/a&unsorted=true", None),
    ("GET", "/utilities/whoami", None),
    ("GET", "/utilities/whoami?groups=true", None),
    ("GET", "/utilities/download?sourcePath=/a", None),
    ("PUT", "/utilities/chmod", {"targetPath": "/a", "mode": "644"}),
    ("PUT", "/utilities/chown", {"targetPath": "/a", "owner": "x"}),
    ("POST", "/utilities/copy", _BOTH),
    ("DELETE", "/utilities/rm", {"targetPath": "/a"}),
    ("POST", "/utilities/compress", _BOTH),
    ("POST", "/utilities/extract", _BOTH),
    ("GET", "/reservations", None),
    ("POST", "/reservations", _RESERVATION),
    ("PUT", "/reservations/abc", _RESERVATION),
    ("DELETE", "/reservations/abc", None),
]
_NAMES = (
    "mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime", "user", "groups", "text", "sha256", "count",
    "directory", "skipped", "skippedCount", "fileSize", "matched", "before", "after", "owner", "group", "ownerBefore", "groupBefore",
    "files", "bytes", "removed", "exit", "stdout", "stderr",
)  # fmt: skip
SECRET = "/home/others/secret"
GARBAGE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "nulls": dict.fromkeys(_NAMES),
    "lists": {name: [SECRET] for name in _NAMES},
    "objects": {name: {"a": SECRET} for name in _NAMES},
    "texts": dict.fromkeys(_NAMES, SECRET) | {"user": 7, "text": 7, "sha256": 7, "stdout": 7, "owner": 7},
    "fractions": dict.fromkeys(_NAMES, 1.5),
    "truths": dict.fromkeys(_NAMES, True) | {"directory": 1, "matched": 1},
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_in_answers(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """400 with a code that says that it may have been done; never a fault of ours, never a success, nothing of what was in it."""

    async def run(command: Command, **_: object) -> Answer:
        return Answer(dict(GARBAGE[name]), data=b"\xff{not json\n" + SECRET.encode())

    monkeypatch.setattr(gateway.node, "run", run)
    for method, path, form in ROUTES:
        reply = await gateway.request(method, path, data=form)
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "AnswerUnusable"), (method, path, reply)
        assert reply.headers["X-Goldcrest-Retryable"] == "false"
        assert "cannot be understood" in reply.text
        assert SECRET not in reply.text + str(reply.headers)


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"7", b"{}", b'{"name": 7}', b"\xff", b"{", b'{"name": "a", "type": "-"}']
)
async def test_entries_that_are_none(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    """A list is whole, or none."""

    async def run(command: Command, **_: object) -> Answer:
        return Answer({"count": 1, "directory": True, "skipped": [], "skippedCount": 0}, data=line + b"\n")

    monkeypatch.setattr(gateway.node, "run", run)
    for more in ("", "&unsorted=true"):
        reply = await gateway.request("GET", f"/utilities/ls?targetPath=/a{more}")
        assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "AnswerUnusable"), (more, reply)


@pytest.mark.parametrize("digest", [None, 7, "", "A" * 64, "a" * 63, "a" * 64 + "\r\nX-Other: 1", "a" * 64 + "\n"])
async def test_a_digest_that_is_none(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, digest: object) -> None:
    """It comes into a header: nothing but 64 hexadecimal digits does."""

    async def run(command: Command, **_: object) -> Answer:
        return Answer({"size": 1} if digest is None else {"size": 1, "sha256": digest})

    monkeypatch.setattr(gateway.node, "run", run)
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("targetPath", "/a")
    form.add_field("file", b"x", filename="f")
    reply = await gateway.request("POST", "/utilities/upload", data=form)
    assert (reply.status, reply.headers["X-Goldcrest-Code"]) == (400, "AnswerUnusable"), reply.text
    assert not {"X-Other", "X-Goldcrest-SHA256"} & set(reply.headers)
