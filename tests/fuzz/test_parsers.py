"""Parsers of what comes from outside: whatever the bytes are, the answer is a value or the parser's own refusal, never another error."""

from __future__ import annotations

import contextlib
import json
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from component.ssh_filter.certificates import Certificate
from goldcrest.canonical import canonical
from goldcrest.commands import command_from
from goldcrest.commands.base import Payload, operations
from goldcrest.commands.outputs import duration, parse_account, parse_describe, parse_queue, parse_submitted
from goldcrest.errors import GoldcrestError
from goldcrest.ssh.frames import BrokenFrame, FrameParser
from goldcrest.ssh.hello import HelloFinder, NoHello
from goldcrest_admission.review import parse_review

pytestmark = pytest.mark.fuzz

_CA, _KEY = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
_GOOD = Certificate(
    ca=_CA,
    key=_KEY,
    command={
        "kind": "command",
        "system": "c",
        "user": "alice",
        "op": "fs.stat",
        "args": {},
        "payload": {},
        "sid": "0" * 32,
    },
    principals=(b"alice",),
).build()

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=20,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A good message with pieces replaced, cut out or doubled."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        data[start:end] = draw(st.binary(max_size=40) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)


@given(st.binary(max_size=600) | damaged(_GOOD))
def test_certificates_on_the_node(f: ModuleType, data: bytes) -> None:
    """The filter's parser of certificates and of the command in them."""
    with contextlib.suppress(f.Refused):
        certificate = f.parse_certificate(data)
        if b"force-command" in certificate.critical_options:
            f.parse_command(certificate)


@given(damaged(_GOOD))
def test_a_damaged_certificate_is_never_good(f: ModuleType, data: bytes) -> None:
    """Whatever was changed in what is signed, the CA's signature does not fit any more."""
    if data == _GOOD:
        return
    try:
        certificate = f.parse_certificate(data)
    except f.Refused:
        return
    good = f.parse_certificate(_GOOD)
    (blob,) = {good.ca_key}
    verified = f.TrustedKey(blob).verify(certificate.signature_format, certificate.signature, certificate.signed)
    assert not verified or certificate.signed == good.signed


@given(_json)
def test_commands_on_the_node(f: ModuleType, command: Any) -> None:
    """Arbitrary JSON where the command should be."""
    try:
        data = json.dumps(command, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return
    certificate = f.parse_certificate(_GOOD)
    certificate.critical_options = {b"force-command": b"/x v1." + f.base64url(data)}
    with contextlib.suppress(f.Refused):
        f.parse_command(certificate)


@given(st.sampled_from(sorted(operations())), st.dictionaries(st.text(max_size=12), _json, max_size=6), st.booleans())
def test_both_sides_refuse_the_same_arguments(f: ModuleType, op: str, args: dict[str, Any], with_payload: bool) -> None:
    """What the control plane accepts as arguments, the node's own table accepts too."""
    try:
        command = command_from(op, args, Payload.of(b"x") if with_payload else None)
    except GoldcrestError:
        return
    f.check_arguments(f.OPERATIONS[op].arguments, json.loads(canonical(command.args())))


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_frames_in_the_client(pieces: list[bytes]) -> None:
    """A login node that sends garbage."""
    parser = FrameParser(limit=1 << 16)
    with contextlib.suppress(BrokenFrame):
        for piece in pieces:
            list(parser.feed(piece))


@given(st.lists(st.binary(max_size=400) | st.just(b"\nGOLDCREST-FILTER "), max_size=10))
def test_hellos_in_the_client(pieces: list[bytes]) -> None:
    """Start-up files that print whatever they like."""
    finder = HelloFinder()
    with contextlib.suppress(NoHello):
        for piece in pieces:
            finder.feed(piece)


@given(st.binary(max_size=400) | _json.map(lambda value: json.dumps(value).encode()))
def test_reviews(body: bytes) -> None:
    """Admission's parser of what claims to come from the API server."""
    with contextlib.suppress(GoldcrestError):
        parse_review(body)


@given(st.text(max_size=500) | st.text("\x1f|=,:[]()0123456789abcJobId \n", max_size=500))
def test_output_of_slurm(text: str) -> None:
    """Whatever a wrapped, broken or malicious squeue prints."""
    for parse in (parse_queue, parse_account, parse_describe, parse_submitted, duration):
        with contextlib.suppress(GoldcrestError):
            parse(text)
