"""T3: which certificates are accepted, and the reason of each refusal."""

from __future__ import annotations

import base64
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from component.ssh_filter.certificates import Certificate, force_command, string

from .conftest import command

pytestmark = pytest.mark.unit

NOW = 1030


def check(f: Any, session: Any, data: bytes, now: int = NOW) -> dict[str, Any]:
    """What the channel does with a request's certificate, but for replay."""
    accepted = session.check_command(f.parse_certificate(data), now)
    session.check_operation(accepted)
    return dict(accepted)


def reason(f: Any, session: Any, certificate: Certificate, now: int = NOW) -> str:
    with pytest.raises(f.Refused) as refused:
        check(f, session, certificate.build(), now)
    return str(refused.value.reason)


def test_a_good_certificate_is_accepted(f: Any, session: Any, certificate: Certificate) -> None:
    """The command comes out as it was signed."""
    assert check(f, session, certificate.build()) == command()


@pytest.mark.parametrize("make", ["ecdsa", "rsa-256", "rsa-512"])
def test_other_kinds_of_ca_are_accepted(f: Any, session: Any, certificate: Certificate, make: str) -> None:
    """P-256 and RSA CAs work like Ed25519 ones."""
    ca: Any = ec.generate_private_key(ec.SECP256R1()) if make == "ecdsa" else rsa.generate_private_key(65537, 2048)
    made = certificate.but(ca=ca, rsa_hash=256 if make == "rsa-256" else 512).build()
    blob = f.parse_certificate(made).ca_key
    for libcrypto in (None, f.Libcrypto()):
        keys = {blob: f.TrustedKey(blob, libcrypto)}
        session._ca_keys = SimpleNamespace(value=lambda keys=keys: keys)
        assert check(f, session, made) == command()


def test_one_bit_changed_anywhere_is_refused(f: Any, session: Any, certificate: Certificate) -> None:
    """No byte of a certificate can be altered, whichever check notices it."""
    whole = certificate.build()
    for position in range(len(whole)):
        for bit in (0x01, 0x80):
            changed = bytearray(whole)
            changed[position] ^= bit
            with pytest.raises(f.Refused):
                check(f, session, bytes(changed))


def test_unknown_ca(f: Any, session: Any, certificate: Certificate) -> None:
    """A certificate by any other CA."""
    assert reason(f, session, certificate.but(ca=ed25519.Ed25519PrivateKey.generate())) == "unknown-ca"


def test_signature_of_somebody_else_under_the_name_of_the_ca(f: Any, session: Any, certificate: Certificate) -> None:
    """The CA's name in a certificate is not its signature."""
    forged = certificate.but(ca=ed25519.Ed25519PrivateKey.generate(), claimed_ca=certificate.ca)
    assert reason(f, session, forged) == "signature"


def test_nothing_is_trusted_while_the_ca_file_is_broken(f: Any, session: Any, certificate: Certificate) -> None:
    """A CA file that others could write trusts nobody, and does not end the process."""

    def broken() -> None:
        raise f.Misconfigured("writable by others")

    session._ca_keys = SimpleNamespace(value=broken)
    assert reason(f, session, certificate) == "unknown-ca"


@pytest.mark.parametrize("kind", [0, 2, 3, 2**32 - 1])
def test_host_certificate(f: Any, session: Any, certificate: Certificate, kind: int) -> None:
    """Only type 1 is a user certificate."""
    assert reason(f, session, certificate.but(type=kind)) == "not-user-certificate"


@pytest.mark.parametrize("line", ["serial: 5", "serial: 0x5", "serial: 1-9", "id: goldcrest/alice/uid-1/trace-1"])
def test_revoked(f: Any, session: Any, certificate: Certificate, line: str) -> None:
    """By serial, by a range of serials, or by key id; the next serial is not affected."""
    session._revoked = SimpleNamespace(value=lambda: f.Revoked(line.encode()))
    assert reason(f, session, certificate.but(serial=5)) == "revoked"
    assert check(f, session, certificate.but(serial=10, key_id=b"other").build())


@pytest.mark.parametrize(("now", "expected"), [(999, "not-yet-valid"), (1090, "expired"), (10**9, "expired")])
def test_out_of_its_time(f: Any, session: Any, certificate: Certificate, now: int, expected: str) -> None:
    """From valid-after, included, to valid-before, excluded."""
    assert reason(f, session, certificate, now) == expected
    assert check(f, session, certificate.build(), 1000)
    assert check(f, session, certificate.build(), 1089)


@pytest.mark.parametrize(
    ("after", "before"), [(1000, 1301), (0, 2**64 - 1), (1090, 1000), (1000, 1000), (2**64 - 1, 0)]
)
def test_window(f: Any, session: Any, certificate: Certificate, after: int, before: int) -> None:
    """At most 300 seconds, whatever the time is; never an empty or a negative window."""
    assert reason(f, session, certificate.but(valid_after=after, valid_before=before)) == "window"


@pytest.mark.parametrize(
    "principals",
    [(), (b"bob",), (b"alice", b"bob"), (b"bob", b"alice"), (b"alice", b"alice"), (b"Alice",), (b"alice\0",), (b"",)],
)
def test_principals(f: Any, session: Any, certificate: Certificate, principals: tuple[bytes, ...]) -> None:
    """Exactly one, and exactly the user: no list in OpenSSH means everybody."""
    assert reason(f, session, certificate.but(principals=principals)) == "principal"


def test_command_for_another_user(f: Any, session: Any, certificate: Certificate) -> None:
    """The user in the command must be the principal too."""
    assert reason(f, session, certificate.but(command=command(user="bob"))) == "principal"


def test_users_below_the_least_uid(f: Any, session: Any, certificate: Certificate) -> None:
    """root and system accounts are not served, even with a certificate."""
    session.uid = 999
    assert reason(f, session, certificate) == "uid"


def test_groups(f: Any, session: Any, certificate: Certificate) -> None:
    """With a list of groups, one of the user's own must be in it."""
    session.policy.allowed_groups = ["staff"]
    assert reason(f, session, certificate) == "group"
    session.policy.allowed_groups = ["staff", "project"]
    assert check(f, session, certificate.build())


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_key_of_another_connection(f: Any, session: Any, certificate: Certificate, kind: str) -> None:
    """A certificate that was made for another process' key is of no use here."""
    other: Any = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    assert reason(f, session, certificate.but(key=other)) == "key"


@pytest.mark.parametrize("name", [b"permit-pty", b"permit-port-forwarding", b"unknown@example.org"])
def test_extensions(f: Any, session: Any, certificate: Certificate, name: bytes) -> None:
    """Not even harmless ones: our certificates have none."""
    assert reason(f, session, certificate.but(extensions=string(name) + string(b""))) == "extension"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ((b"source-address", b"192.0.2.7"),),
        ((b"force-command", force_command(command())), (b"verify-required", b"")),
        ((b"force-command", force_command(command())), (b"unknown@example.org", b"x")),
        ((b"force-command", force_command(command())), (b"source-address", b"198.51.100.0/24")),
        ((b"force-command", force_command(command())), (b"source-address", b"")),
        ((b"force-command", force_command(command())), (b"source-address", b"192.0.2.7/33")),
    ],
)
def test_critical_options(f: Any, session: Any, certificate: Certificate, options: Any) -> None:
    """force-command must be there, source-address must match, and what is not known cannot be obeyed."""
    assert reason(f, session, certificate.but(critical=options)) == "critical-option"


@pytest.mark.parametrize("networks", [b"192.0.2.7", b"192.0.2.0/24", b"198.51.100.1,192.0.2.4/30", b"0.0.0.0/0"])
def test_source_address(f: Any, session: Any, certificate: Certificate, networks: bytes) -> None:
    """The client's address in one of the networks."""
    options = ((b"force-command", force_command(command())), (b"source-address", networks))
    assert check(f, session, certificate.but(critical=options).build())


@pytest.mark.parametrize(
    ("address", "networks", "verdict"),
    [
        (b"2001:db8::7", b"2001:db8::/32", True),
        (b"fe80::1%eth0", b"fe80::/10", True),
        (b"2001:db9::7", b"2001:db8::/32", False),
        (b"192.0.2.7", b"::/0", False),
        (b"", b"0.0.0.0/0", False),
        (b"192.0.2.7", b"192.0.2.7/-1", False),
        (b"192.0.2.7", b"x,192.0.2.7", False),
        (b"UNKNOWN", b"0.0.0.0/0", False),
    ],
)
def test_networks(f: Any, address: bytes, networks: bytes, verdict: bool) -> None:
    """IPv6 too; what cannot be read matches nothing."""
    assert f.address_within(address, networks) is verdict


def test_other_system(f: Any, session: Any, certificate: Certificate) -> None:
    """A certificate for a system that shares users and CA is refused here."""
    assert reason(f, session, certificate.but(command=command(system="other"))) == "system"


@pytest.mark.parametrize("kind", ["session", "", "COMMAND", "stream"])
def test_kind(f: Any, session: Any, certificate: Certificate, kind: str) -> None:
    """Above all: what opens a connection is no command."""
    assert reason(f, session, certificate.but(command=command(kind=kind))) == "kind"


def test_session_certificate_in_a_frame(f: Any, session: Any, certificate: Certificate) -> None:
    """The real form of a session certificate, without a sid."""
    opening = {"kind": "session", "system": "cluster", "user": "alice", "op": "session", "args": {}, "payload": {}}
    assert reason(f, session, certificate.but(command=opening)) == "kind"


@pytest.mark.parametrize("sid", ["f" * 32, "", "0123456789ABCDEF" * 2, 5])
def test_other_channel(f: Any, session: Any, certificate: Certificate, sid: Any) -> None:
    """The id of this channel and of no other: so a certificate works once, in one place."""
    assert reason(f, session, certificate.but(command=command(sid=sid))) == "session-id"


def test_without_channel(f: Any, session: Any, certificate: Certificate) -> None:
    """A command without a sid would be good for every channel."""
    without = command()
    del without["sid"]
    assert reason(f, session, certificate.but(command=without)) == "session-id"


@pytest.mark.parametrize("op", ["fs.remove", "", "session", "__class__", "FS.STAT"])
def test_unknown_operation(f: Any, session: Any, certificate: Certificate, op: str) -> None:
    """Only names in the filter's own table."""
    assert reason(f, session, certificate.but(command=command(op))) == "operation"


def test_disabled_operation(f: Any, session: Any, certificate: Certificate) -> None:
    """The policy of the node has the last word."""
    session.operations = ["fs.stat"]
    assert reason(f, session, certificate) == "operation"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"/x",
        b"/x ",
        b"/x v2.e30",
        b"x v1.e30",
        b"/x v1.e30=",
        b"/x v1.e30 more",
        b"/x  v1.e30",
        b"/x v1.",
        b"/x v1." + base64.urlsafe_b64encode(b"[]").rstrip(b"="),
        b"/x v1." + base64.urlsafe_b64encode(b'{"kind":"command"}').rstrip(b"="),
        b"/x v1." + base64.urlsafe_b64encode(b"{" * 20000).rstrip(b"="),
        b"/x v1." + base64.urlsafe_b64encode(b"[" * 20000 + b"]" * 20000).rstrip(b"="),
        b"/x v1." + base64.urlsafe_b64encode(b"\xff\xfe").rstrip(b"="),
        b"/x v1." + base64.urlsafe_b64encode(b"NaN").rstrip(b"="),
        b"/x v1." + b"e" * 70000,
    ],
)
def test_force_command_of_another_form(f: Any, session: Any, certificate: Certificate, text: bytes) -> None:
    """Whatever is not a path and one command of version 1 is malformed."""
    assert reason(f, session, certificate.but(critical=((b"force-command", text),))) == "malformed"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"kind":', b'"kind": '),
        lambda text: text[:-1] + b',"sid":"x"}',
        lambda text: text.replace(b'{"args"', b'{"args":{},"args"'),
        lambda text: text.replace(b"alice", b"\\u0061lice"),
        lambda text: text + b" ",
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b'"args":{}', b'"args":{"n":1.0}'),
        lambda text: text.replace(b'"args":{}', b'"args":{"n":9007199254740992}'),
        lambda text: text.replace(b'"args":{}', b'"args":{"n":' + b"9" * 5000 + b"}"),
        lambda text: text.replace(b'"args":{}', b'"args":{"n":1e2}'),
        lambda text: text.replace(b'"args":{}', b'"args":{"n":-0}'),
        lambda text: text.replace(b'"args":{}', b'"args":null'),
        lambda text: text.replace(b'"args":{}', b'"args":[]'),
        lambda text: text.replace(b'"user":"alice"', b'"user":5'),
        lambda text: text.replace(b'"user":"alice"', b'"user":"\\ud800"'),
        lambda text: text.replace(b'"user"', b'"zuser"'),
    ],
)
def test_command_not_in_canonical_form(f: Any, session: Any, certificate: Certificate, change: Any) -> None:
    """One meaning has one form (RFC 8785): blanks, doubled keys, escapes, floats and large numbers are refused."""
    text = change(f.base64url_decode(force_command(command()).split(b"v1.")[1]))
    options = ((b"force-command", b"/x v1." + f.base64url(text)),)
    assert reason(f, session, certificate.but(critical=options)) == "malformed"


def test_extra_field_of_a_command(f: Any, session: Any, certificate: Certificate) -> None:
    """A field that this version does not know could change what is meant."""
    assert reason(f, session, certificate.but(command=command(dryRun=True))) == "malformed"


def test_text_beyond_ascii_is_canonical_as_it_is(f: Any, session: Any, certificate: Certificate) -> None:
    """Names with umlauts travel as UTF-8, and quotes and control characters in the escapes of RFC 8785."""
    args = {"path": '/home/alice/Größe "x"\n\t\x01\\😀\x7f', "dereference": True}
    assert check(f, session, certificate.but(command=command("fs.stat", args)).build())["args"] == args


@pytest.mark.parametrize(
    "payload",
    [
        {"sha256": "0" * 64},
        {"size": 1},
        {"sha256": "0" * 64, "size": -1},
        {"sha256": "0" * 64, "size": True},
        {"sha256": "0" * 64, "size": "1"},
        {"sha256": "A" * 64, "size": 1},
        {"sha256": "0" * 63, "size": 1},
        {"sha256": "0" * 64, "size": 1, "stream": 1},
        {"stream": -1},
        {"stream": True},
        {"stream": "1"},
        {"stream": 1, "size": 1},
        {"sha256": "0" * 64, "size": 5 * 1024**3 + 1},
        {},
    ],
)
def test_form_of_the_payload(f: Any, session: Any, certificate: Certificate, payload: dict[str, Any]) -> None:
    """fs.write needs a digest and a size within the limit, and nothing else."""
    args = {"path": "/home/alice/x", "mode": 0o644, "overwrite": False}
    assert reason(f, session, certificate.but(command=command("fs.write", args, payload=payload))) == "payload"


def test_a_streamed_payload(f: Any, session: Any, certificate: Certificate) -> None:
    """Its most bytes are signed, and the node's own limit counts as well. Only operations that use it as it comes may have one."""
    args = {"path": "/home/alice/x", "mode": 0o644, "overwrite": False}
    for most, limit in ((0, 0), (100, 100), (2**50, 5 * 1024**3)):
        made = check(f, session, certificate.but(command=command("fs.write", args, payload={"stream": most})).build())
        assert session.check_operation(made)[1:] == (None, limit)
    submit = {
        "token": "goldcrest:00000000:" + "0" * 32,
        "jobDirectory": "/home/alice/j",
        "workDirectory": "/home/alice",
        "scriptName": "job",
        "hold": True,
        "options": {},
    }
    assert (
        reason(f, session, certificate.but(command=command("slurm.submit", submit, payload={"stream": 9}))) == "payload"
    )


def test_payload_where_none_belongs(f: Any, session: Any, certificate: Certificate) -> None:
    """An operation without a payload refuses one, so that nothing unsigned travels along."""
    made = certificate.but(command=command(payload={"sha256": "0" * 64, "size": 0}))
    assert reason(f, session, made) == "payload"


def test_a_certificate_that_is_too_long(f: Any, session: Any, certificate: Certificate) -> None:
    """Bounded before anything is computed over it."""
    assert reason(f, session, certificate.but(key_id=b"x" * 200000)) == "malformed"


def test_serial_has_64_bits(f: Any, session: Any, certificate: Certificate) -> None:
    """Serials are compared whole: the largest one, too."""
    made = certificate.but(serial=2**64 - 1).build()
    assert f.parse_certificate(made).serial == 2**64 - 1
    assert struct.pack(">Q", 2**64 - 1) in made


def test_a_command_of_a_newer_version(f: Any, session: Any, certificate: Certificate) -> None:
    """A newer control plane is told which version is spoken here, and by which filter."""
    newer = force_command(command()).replace(b" v1.", b" v2.")
    with pytest.raises(f.Refused) as refused:
        check(f, session, certificate.but(critical=((b"force-command", newer),)).build())
    assert refused.value.reason == "malformed"
    assert f"version 1, which this ssh-filter ({f.VERSION}) speaks: the older of the two" in refused.value.message
