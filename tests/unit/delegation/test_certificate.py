from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_identity,
)

from goldcrest.canonical import b64url, canonical
from goldcrest.errors import InvalidInput
from goldcrest_delegation.ca import CertificateAuthority, certificate_key_id
from goldcrest_delegation.ca_key import FileKey, make_ca_key
from goldcrest_delegation.certificate import ssh_string, to_be_signed

pytestmark = pytest.mark.unit

USER_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
USER_RAW = USER_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
COMMAND: dict[str, Any] = {"kind": "session", "system": "cluster", "user": "alice", "op": "session"}
KEYS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=3072),
}


def issue(authority: CertificateAuthority, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "public_key": USER_RAW,
        "user": "alice",
        "key_id": "goldcrest/alice/0/1",
        "filter_path": "/opt/filter",
        "command": COMMAND,
        "now": 1_900_000_000,
    }
    draft = authority.draft(**{**values, **changes})
    return asyncio.run(authority.sign([draft]))[0].wire


def parsed(wire: bytes) -> SSHCertificate:
    identity = load_ssh_public_identity(b"ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(wire))
    assert isinstance(identity, SSHCertificate)
    return identity


@pytest.mark.parametrize("kind", KEYS)
def test_cryptography_reads_it(kind: str) -> None:
    """Every kind of CA key gives a certificate with a valid signature, and exactly what was asked for."""
    certificate = parsed(issue(CertificateAuthority(FileKey(KEYS[kind]))))
    certificate.verify_cert_signature()
    assert certificate.type is SSHCertificateType.USER
    assert certificate.valid_principals == [b"alice"]
    assert (certificate.valid_after, certificate.valid_before) == (1_900_000_000 - 30, 1_900_000_000 + 60)
    assert certificate.key_id == b"goldcrest/alice/0/1"
    assert certificate.serial != 0
    assert certificate.extensions == {}
    force_command = f"/opt/filter v1.{b64url(canonical(COMMAND))}".encode()
    assert certificate.critical_options == {b"force-command": force_command}


@pytest.mark.parametrize("kind", KEYS)
def test_ssh_keygen_reads_it(kind: str, tmp_path: Path) -> None:
    """OpenSSH's own tool shows the same, with the CA's fingerprint."""
    authority = CertificateAuthority(FileKey(KEYS[kind]))
    path = tmp_path / "id-cert.pub"
    wire = issue(authority)
    path.write_text("ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(wire).decode())
    (tmp_path / "ca.pub").write_text(authority.public_line)
    environment = {**os.environ, "TZ": "UTC"}

    def keygen(*arguments: str) -> str:
        return subprocess.run(
            ["ssh-keygen", *arguments], check=True, capture_output=True, text=True, timeout=20, env=environment
        ).stdout

    shown = keygen("-L", "-f", str(path))
    assert keygen("-l", "-f", str(tmp_path / "ca.pub")).split()[1] in shown
    assert "Valid: from 2030-03-17T17:46:10 to 2030-03-17T17:47:40" in shown
    assert "Extensions: (none)" in shown


def test_the_same_bytes_as_the_reference() -> None:
    """But for nonce and signature the bytes are those that the builder of `cryptography` makes."""
    key = KEYS["ed25519"]
    reference = (
        SSHCertificateBuilder()
        .public_key(USER_KEY.public_key())
        .serial(77)
        .type(SSHCertificateType.USER)
        .key_id(b"id")
        .valid_principals([b"alice"])
        .valid_after(1000)
        .valid_before(2000)
        .add_critical_option(b"force-command", b"do")
        .sign(key)
    )
    wire = base64.b64decode(reference.public_bytes().split(b" ")[1])
    head = len(ssh_string(b"ssh-ed25519-cert-v01@openssh.com"))
    nonce = wire[head + 4 : head + 4 + int.from_bytes(wire[head : head + 4], "big")]
    ours = to_be_signed(
        public_key=USER_RAW,
        authority=ssh_string(b"ssh-ed25519") + ssh_string(key.public_key().public_bytes_raw()),
        nonce=nonce,
        serial=77,
        key_id="id",
        principal="alice",
        valid_after=1000,
        valid_before=2000,
        force_command="do",
    )
    assert wire.startswith(ours)


def test_only_from_where_we_are(tmp_path: Path) -> None:
    """Networks that are configured are a critical option, behind the command, as OpenSSH's own tool reads it; a mistake is no network."""
    networks = [ip_network("192.0.2.0/28"), ip_network("2001:db8::7")]
    wire = issue(CertificateAuthority(FileKey(KEYS["ed25519"]), source_addresses=networks))
    options = parsed(wire).critical_options
    assert list(options) == [b"force-command", b"source-address"]
    assert options[b"source-address"] == b"192.0.2.0/28,2001:db8::7/128"
    path = tmp_path / "id-cert.pub"
    path.write_text("ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(wire).decode())
    shown = subprocess.run(["ssh-keygen", "-L", "-f", path], check=True, capture_output=True, text=True).stdout
    assert "source-address 192.0.2.0/28,2001:db8::7/128" in shown


def test_no_two_alike() -> None:
    """Serials and nonces differ from certificate to certificate."""
    authority = CertificateAuthority(FileKey(KEYS["ed25519"]))
    assert len({parsed(issue(authority)).serial for _ in range(100)}) == 100


def test_too_large_a_command() -> None:
    """A command that does not fit into 64 KiB is refused, saying what to do."""
    with pytest.raises(InvalidInput, match="put large values into its payload"):
        issue(CertificateAuthority(FileKey(KEYS["ed25519"])), command={**COMMAND, "args": {"path": "x" * 60_000}})


@pytest.mark.parametrize(
    ("requester", "expected"),
    [
        ("alice", "goldcrest/alice/u/t"),
        ("system:serviceaccount:argocd:controller", "goldcrest/system:serviceaccount:argocd:controller/u/t"),
        ("https://idp/a b\n", "goldcrest/https:__idp_a_b_/u/t"),
        ("é" * 300, "goldcrest/" + "_" * 128 + "/u/t"),
    ],
)
def test_key_ids(requester: str, expected: str) -> None:
    """A requester's name cannot add a part or a line to the key id."""
    assert certificate_key_id(requester=requester, origin="u", trace="t") == expected


def test_ca_keys(tmp_path: Path) -> None:
    """`init` makes a CA key once; short RSA keys, other curves and rubbish are refused by name."""
    path = tmp_path / "ca"
    assert make_ca_key(path)
    assert not make_ca_key(path)
    assert (tmp_path / "ca.pub").read_text().startswith("ssh-ed25519 ")
    assert FileKey.load(path).public_line in (tmp_path / "ca.pub").read_text()
    for key in (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        weak = tmp_path / "weak"
        weak.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        weak.chmod(0o400)
        with pytest.raises(InvalidInput, match="must be Ed25519, ECDSA P-256, or RSA of at least 3072"):
            FileKey.load(weak)
        weak.unlink()
    weak.write_bytes(b"rubbish")
    weak.chmod(0o400)
    with pytest.raises(InvalidInput, match="not an unencrypted private key"):
        FileKey.load(weak)
