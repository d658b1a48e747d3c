"""Reading SSH's wire types and certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from component.ssh_filter.certificates import Certificate, mpint, string

pytestmark = pytest.mark.unit


def test_reader_reads_what_was_written(f: Any) -> None:
    """Each type comes back as it was put in, and the end is noticed."""
    reader = f.Reader((7).to_bytes(4, "big") + (2**63).to_bytes(8, "big") + string(b"abc") + mpint(255))
    assert (reader.u32(), reader.u64(), reader.string(), reader.positive_integer()) == (7, 2**63, b"abc", 255)
    assert reader.at_end()


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\5abcd", b"\xff\xff\xff\xffabc"])
def test_reader_refuses_what_ends_early(f: Any, data: bytes) -> None:
    """A length that points behind the end is a refusal, not a short value."""
    with pytest.raises(f.Refused) as refused:
        f.Reader(data).string()
    assert refused.value.reason == "malformed"


@pytest.mark.parametrize("encoded", [b"", b"\0", b"\0\x7f", b"\x80", b"\xff\xff"])
def test_reader_refuses_integers_in_another_form(f: Any, encoded: bytes) -> None:
    """Zero, negative and padded numbers are not accepted: one number, one form."""
    with pytest.raises(f.Refused):
        f.Reader(string(encoded)).positive_integer()


@given(st.binary(max_size=200))
def test_base64url_round_trip(f: Any, data: bytes) -> None:
    """What is encoded decodes to itself."""
    assert f.base64url_decode(f.base64url(data)) == data


@pytest.mark.parametrize("text", [b"YQ==", b"YR", b"Y", b"Y Q", b"Y\nQ", b"+w", b"/w", b"YQ.", b"YQ\0"])
def test_base64url_has_one_form(f: Any, text: bytes) -> None:
    """Padding, blanks, the other alphabet and stray bits are refused, so one command has one certificate text."""
    with pytest.raises(f.Refused):
        f.base64url_decode(text)


def test_fields_of_a_certificate(f: Any, certificate: Certificate) -> None:
    """Every field that is checked later is taken from its place."""
    made = certificate.but(serial=5, key_id=b"id", critical=((b"force-command", b"x"), (b"source-address", b"y")))
    parsed = f.parse_certificate(made.build())
    assert (parsed.serial, parsed.type, parsed.key_id, parsed.principals) == (5, 1, b"id", [b"alice"])
    assert (parsed.valid_after, parsed.valid_before, parsed.extensions) == (1000, 1090, b"")
    assert parsed.critical_options == {b"force-command": b"x", b"source-address": b"y"}


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_certificates_of_another_implementation(f: Any, kind: str) -> None:
    """Certificates built by the library `cryptography` parse and verify, for each kind of user key."""
    key: Any = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    ca = ed25519.Ed25519PrivateKey.generate()
    made = (
        serialization.SSHCertificateBuilder()
        .public_key(key.public_key())
        .serial(77)
        .type(serialization.SSHCertificateType.USER)
        .key_id(b"goldcrest/alice/1/2")
        .valid_principals([b"alice"])
        .valid_after(1000)
        .valid_before(1090)
        .add_critical_option(b"force-command", b"/x v1.e30")
        .sign(ca)
    )
    import base64

    parsed = f.parse_certificate(base64.b64decode(made.public_bytes().split()[1]))
    assert (parsed.serial, parsed.principals, parsed.critical_options) == (
        77,
        [b"alice"],
        {b"force-command": b"/x v1.e30"},
    )
    assert f.TrustedKey(parsed.ca_key).verify(parsed.signature_format, parsed.signature, parsed.signed)


def test_certificates_of_openssh(f: Any, tmp_path: Path) -> None:
    """A certificate made by ssh-keygen parses and verifies; its default extensions are seen."""
    import base64

    for name in ("ca", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", "ca", "-I", "id", "-n", "alice", "-z", "9", "-O", "force-command=/x", "user.pub"],
        check=True,
        cwd=tmp_path,
    )
    parsed = f.parse_certificate(base64.b64decode((tmp_path / "user-cert.pub").read_text().split()[1]))
    assert (parsed.serial, parsed.key_id, parsed.critical_options) == (9, b"id", {b"force-command": b"/x"})
    assert b"permit-pty" in parsed.extensions
    assert f.TrustedKey(parsed.ca_key).verify(parsed.signature_format, parsed.signature, parsed.signed)


def test_a_certificate_cut_anywhere_is_refused(f: Any, certificate: Certificate) -> None:
    """Every shorter prefix, and one byte more, is a refusal and never another exception."""
    whole = certificate.build()
    for data in [whole[:length] for length in range(len(whole))] + [whole + b"\0"]:
        with pytest.raises(f.Refused):
            f.parse_certificate(data)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(f: Any, data: bytes) -> None:
    """No bytes make the parser fail in another way than by a refusal."""
    with pytest.raises(f.Refused):
        f.parse_certificate(data)
    with pytest.raises(f.Refused):
        f.parse_certificate(string(b"ssh-ed25519-cert-v01@openssh.com") + data)


def test_options_out_of_order_or_doubled_are_refused(f: Any, certificate: Certificate) -> None:
    """PROTOCOL.certkeys demands order; two force-commands would leave open which one counts."""
    for options in (
        ((b"source-address", b"1"), (b"force-command", b"2")),
        ((b"force-command", b"1"), (b"force-command", b"2")),
    ):
        with pytest.raises(f.Refused):
            f.parse_certificate(certificate.but(critical=options).build())


def test_reserved_field_must_be_empty(f: Any, certificate: Certificate) -> None:
    """What it will mean one day is not known, so it cannot be obeyed."""
    with pytest.raises(f.Refused):
        f.parse_certificate(certificate.but(reserved=b"x").build())
