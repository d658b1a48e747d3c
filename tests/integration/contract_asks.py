"""Requests of tables: written in a line, sent to the bed, compared with everything that the contract says of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from bed import Answer, Bed

JOB = b"#!/bin/bash\ntrue\n"
# Contract 3.6, and those that a client would take for one of them.
SPECIAL = frozenset(
    {
        *("X-Machine-Does-Not-Exist", "X-Machine-Does-Not-Exists", "X-Machine-Not-Available", "X-Permission-Denied"),
        *("X-Invalid-Path", "X-Not-Found", "X-Exists", "X-A-Directory", "X-Not-A-Directory", "X-Timeout", "X-Size-Limit"),
        *("X-Invalid-Mode", "X-Invalid-Owner", "X-Invalid-Group", "X-Error", "X-Sbatch-Error", "WWW-Authenticate"),
        *("Retry-After", "Allow", "Location"),
    }
)  # fmt: skip
ALWAYS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. Words in capitals stand for what the tests have made on the bed: see :meth:`named`."""

    line: str
    """Method and path with its query; ``%`` begins what is escaped already."""
    form: Mapping[str, str] | None = None
    script: bytes | None = None
    file_name: str = "job.sh"
    machine: str | None = ""

    def __str__(self) -> str:
        shown = {**(self.form or {}), **({"file": self.script[:12]} if self.script is not None else {})}
        return f"{self.line[:80]} {shown or ''}".strip()[:120]

    def named(self, world: Mapping[str, str]) -> Ask:
        """With the names of this run."""
        form = {name: filled(value, world) for name, value in self.form.items()} if self.form is not None else None
        return replace(self, line=filled(self.line, world), form=form)

    def send(self, bed: Bed, **more: Any) -> Answer:
        """``more``: as of :meth:`Bed.call`."""
        method, _, path = self.line.partition(" ")
        more = {"machine": self.machine, **more}
        if self.script is not None:
            return bed.upload(self.script, name=self.file_name, form=self.form, **more)
        body = urlencode(self.form).encode() if self.form is not None else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        return bed.call(method, quote(path, safe="/?=&,%+[]"), headers=headers, body=body, **more)


def ask(line: str, **more: Any) -> Ask:
    return Ask(line=line, **more)


def upload(script: bytes = JOB, *, name: str = "job.sh", **form: str) -> Ask:
    """``POST /compute/jobs/upload``."""
    return Ask(line="POST /compute/jobs/upload", script=script, file_name=name, form=form)


def by_path(target: str, **form: str) -> Ask:
    """``POST /compute/jobs/path``."""
    return Ask(line="POST /compute/jobs/path", form={"targetPath": target, **form})


def filled(text: str, world: Mapping[str, str]) -> str:
    for word, value in world.items():
        text = text.replace(word, value)
    return text


@dataclass(frozen=True)
class Expected:
    """Everything of an answer that the contract says."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    """``X-Goldcrest-Code``; None: the answer is no error."""

    def of(self, answer: Answer) -> None:
        """Compare; all headers that the contract knows and that are not expected must be absent. A body that is a text is the title of a page."""
        assert answer.status == self.status
        if isinstance(self.body, str):
            assert f"<h1>{self.body}</h1>" in answer.body.decode()
        else:
            assert answer.json == self.body
        kind = {"Content-Type": "text/html; charset=utf-8"} if isinstance(self.body, str) else {}
        assert {name: answer.headers[name] for name in SPECIAL if name in answer.headers} == dict(self.headers)
        assert {name: answer.headers[name] for name in ALWAYS} == ALWAYS | kind
        assert answer.headers["X-Goldcrest-Code"] == self.code
        retryable = {None: None, "ConnectionRefused": "true", "LoginDenied": "true"}.get(self.code, "false")
        assert answer.headers["X-Goldcrest-Retryable"] == retryable
        assert len(answer.headers["X-Request-ID"]) == 32
        assert len(answer.headers["traceparent"]) == 55
        assert answer.body.endswith(b"\n"), "the JSON style of the contract (2.4)"
