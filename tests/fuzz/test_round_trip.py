"""Signed = parsed = run: what the control plane asks for comes through delegation's certificate to the node's programs unchanged."""

from __future__ import annotations

import asyncio
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
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
_path = st.lists(_text, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
_token = st.just("goldcrest:01234567:" + "ab" * 16)
_id = st.from_regex(r"[0-9]{1,9}(_[0-9]{1,4})?", fullmatch=True)
_number = st.integers(-5, 2**40)
_ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "path": _path,
    "jobDirectory": _path,
    "workDirectory": _path,
    "scriptName": st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True) | _text,
    "token": _token,
    "jobId": _id,
    "jobIds": st.lists(_id, max_size=4),
    "keep": st.lists(_id, max_size=4),
    "scope": st.sampled_from(["own", "all", "ALL"]),
    "mode": _number,
    "offset": _number,
    "length": _number,
    "limit": _number,
    "options": st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("jobName", "account", "stdout", "constraint", "timeLimit", "begin", "wckey"), _text),
            **{name: st.integers(-1, 10**8) for name in ("tasks", "cpusPerTask", "nice", "waitAllNodes")},
            "mailType": st.lists(st.sampled_from(["END", "FAIL", "a b"]), max_size=3),
            "requeue": st.booleans(),
            "exclusive": st.sampled_from(["true", "user", "x"]),
        },
    ),
}


@st.composite
def _asked(draw: st.DrawFn, f: ModuleType) -> tuple[str, dict[str, Any]]:
    op = draw(st.sampled_from(sorted(operations())))
    table = f.OPERATIONS[op].arguments
    return op, {
        name: draw(_ARGUMENTS.get(name, st.booleans())) for name, argument in table.items() if not argument.optional
    }


def test_signed_is_parsed_is_run(f: ModuleType) -> None:
    """Each command that the control plane can make is accepted by the node with the very same arguments and payload."""
    reached: set[str] = set()

    @given(data=st.data())
    def try_one(data: st.DataObject) -> None:
        reached.add(_come_through(f, data))

    try_one()
    assert reached >= set(f.OPERATIONS)  # or nearly all that was drawn was nothing that can be asked for


def _come_through(f: ModuleType, data: st.DataObject) -> str:
    """One command from the control plane to the node: its operation, or an empty text when it cannot be asked for."""
    op, args = data.draw(_asked(f))
    payload = Payload.of(b"\0\0\0\x12" + b'{"environment":{}}#!/bin/sh\n') if f.OPERATIONS[op].takes_payload else None
    try:
        command = command_from(op, args, payload)
    except GoldcrestError:
        return ""
    body = command.body(system="cluster", user="alice", sid=_SID)
    draft = CertificateAuthority(_CA).draft(
        public_key=_KEY, user="alice", key_id="goldcrest/a/b/c", filter_path="/x", command=body, now=_NOW
    )
    (made,) = asyncio.run(CertificateAuthority(_CA).sign([draft]))

    session = _session(f)
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
    return op


def _session(f: ModuleType) -> Any:
    session = f.Session.__new__(f.Session)
    session.policy = f.parse_policy(b'{"system": "cluster"}')
    session.user, session.uid, session.groups, session.sid = "alice", 20001, {}, _SID
    session.operations = sorted(f.OPERATIONS)
    session._ca_keys = SimpleNamespace(value=lambda: {_CA.blob: f.TrustedKey(_CA.blob, f.Libcrypto())})
    session._revoked = session.connection_key = None
    session.client_address = b""
    return session
