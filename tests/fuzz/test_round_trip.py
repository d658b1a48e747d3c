"""Signed = parsed = run: what the control plane asks for comes through delegation's certificate to the node's programs unchanged."""

from __future__ import annotations

import asyncio
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from goldcrest.canonical import canonical
from goldcrest.commands import Payload, command_from
from goldcrest.commands.base import operations
from goldcrest.errors import GoldcrestError
from goldcrest_delegation.ca import CertificateAuthority
from goldcrest_delegation.ca_key import FileKey

pytestmark = pytest.mark.fuzz

_CA = FileKey(ed25519.Ed25519PrivateKey.generate())
_KEY = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
_SID, _NOW = "0123456789abcdef" * 2, 1_000_000

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["$(id)", "`id`", "a'b\"c", "--wrap=x", "-x", "a b", "a\nb", "\0", "%s", "ä€😀", "\x1b[2J", "\u2028", "\\"]
)
# What can be asked for, most of the time; the rest is for both sides to refuse.
_plain = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40)
_value = _plain | _plain | st.sampled_from(["$(id)", "`id`", "a'b\"c", "--wrap=x", "-x", "a b", "%s", "ä€😀", "\\"])
_path = st.lists(_value, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)) | _text
_token = st.just("goldcrest:01234567:" + "ab" * 16)
_id = st.from_regex(r"[0-9]{1,9}(_[0-9]{1,4})?", fullmatch=True)
_time = st.datetimes().map(lambda time: time.replace(microsecond=0).isoformat())
_number = st.integers(-5, 2**40)
_ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "path": _path,
    "jobDirectory": _path,
    "workDirectory": _path,
    "scriptName": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True),
    "token": _token,
    "jobId": _id,
    "jobIds": st.lists(_id, max_size=4),
    "keep": st.lists(_id, max_size=4),
    "scope": st.sampled_from(["own", "all", "ALL"]),
    "mode": _number,
    "offset": _number,
    "lines": _number,
    "source": _path,
    "target": _path,
    "grep": _value | _text,
    "owner": _value | _text,
    "group": _value | _text,
    "format": st.sampled_from(["tar", "tgz", "bz2", "zip", "rar"]),
    "length": _number,
    "limit": _number,
    "command": st.just("rsvmgmt") | _text,
    "name": st.from_regex(r"[a-z_$][a-z0-9_$-]{0,20}", fullmatch=True),
    "account": st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True),
    "nodeType": st.from_regex(r"[A-Za-z0-9]{1,20}", fullmatch=True),
    "nodes": _number,
    "cluster": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True) | _text,
    "names": st.lists(st.from_regex(r"[a-z][a-z0-9]{0,8}(\[[0-9]{1,3}-[0-9]{1,3}\])?", fullmatch=True), max_size=4),
    "start": _time,
    "end": _time,
    "tailBytes": st.integers(0, 70_000),
    "startTime": _time,
    "endTime": _time,
    "options": st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                ("jobName", "account", "stdout", "constraint", "timeLimit", "begin", "wckey"), _value | _value | _text
            ),
            **{name: st.integers(1, 10**7) for name in ("tasks", "cpusPerTask", "nice")},
            "mailType": st.lists(st.sampled_from(["END", "FAIL"]), min_size=1, max_size=3),
            "requeue": st.booleans(),
            "exclusive": st.sampled_from(["true", "user"]),
        },
    ),
}

_OF_ONE: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("fs.chmod", "mode"): st.from_regex(r"[0-7]{1,5}|[ugoa]{0,2}[-+=][rwxXst]{0,3}(,[go][-+=][ugo])?", fullmatch=True),
}


@st.composite
def _asked(draw: st.DrawFn, f: ModuleType, op: str) -> dict[str, Any]:
    table = f.OPERATIONS[op].arguments
    # A script comes in the payload here; every other argument that a node can do without is said, of two that exclude each other one.
    return {
        name: draw(_OF_ONE.get((op, name), _ARGUMENTS.get(name, st.booleans())))
        for name in table
        if name not in ("scriptPath", "scriptSha256", "bytes")
    }


@pytest.mark.parametrize("op", sorted(operations()))
def test_signed_is_parsed_is_run(f: ModuleType, op: str) -> None:
    """Each command that the control plane can make is accepted by the node with the very same arguments and payload."""
    session = _session(f)
    came_through: list[bool] = []

    @settings(max_examples=max(50, settings().max_examples // 10))
    @given(data=st.data())
    def try_one(data: st.DataObject) -> None:
        came_through.append(_comes_through(f, session, op, data))

    try_one()
    assert any(came_through)  # or nothing that was drawn can be asked for


def _comes_through(f: ModuleType, session: Any, op: str, data: st.DataObject) -> bool:
    """One command from the control plane to the node; False when it cannot be asked for."""
    args = data.draw(_asked(f, op))
    payload = Payload.of(b"\0\0\0\x12" + b'{"environment":{}}#!/bin/sh\n') if f.OPERATIONS[op].takes_payload else None
    try:
        command = command_from(op, args, payload)
    except GoldcrestError:
        return False
    body = command.body(system="cluster", user="alice", sid=_SID)
    draft = CertificateAuthority(_CA).draft(
        public_key=_KEY, user="alice", key_id="goldcrest/a/b/c", filter_path="/x", command=body, now=_NOW
    )
    (made,) = asyncio.run(CertificateAuthority(_CA).sign([draft]))

    accepted = session.check_command(f.parse_certificate(made.wire), _NOW)
    _, sha256, size = session.check_operation(accepted)
    assert accepted == json.loads(canonical(body))
    assert (sha256, size) == ((payload.sha256, payload.size) if payload else (None, 0))
    if op == "slurm.submit":
        arguments = f.sbatch_arguments(accepted["args"]["options"])
        assert len(arguments) == len(args["options"])
        for argument in arguments:
            assert argument.startswith("--")
        for name, value in args["options"].items():
            option = f.SBATCH_OPTIONS[name]
            if option.kind == "text" and value != option.bare:
                assert f"--{option.flag}={value}" in arguments
    return True


def _session(f: ModuleType) -> Any:
    session = f.Session.__new__(f.Session)
    session.policy = f.parse_policy(b'{"system": "cluster"}')
    session.user, session.uid, session.groups, session.sid = "alice", 20001, {}, _SID
    session.operations = sorted(f.OPERATIONS)
    session._ca_keys = SimpleNamespace(value=lambda: {_CA.blob: f.TrustedKey(_CA.blob, f.Libcrypto())})
    session._revoked = session.connection_key = None
    session.client_address = b""
    return session
