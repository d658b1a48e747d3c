"""Pinned host keys."""

from __future__ import annotations

import asyncssh
import pytest

from goldcrest.errors import InvalidInput
from goldcrest.ssh.hostkeys import Endpoint, HostKeyWatch

pytestmark = pytest.mark.unit

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCsYoBjspO3uFQPMyqKmqkpZBtW3Q5KkHCwXFJSJb1c"


def line_of(algorithm: str) -> str:
    key = asyncssh.generate_private_key(algorithm)
    return " ".join(key.export_public_key().decode().split()[:2])


def endpoint(*keys: str, authorities: tuple[str, ...] = (), address: str = "login.example.org") -> Endpoint:
    return Endpoint(address, 2222, keys, authorities)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("login.example.org", "login.example.org:2222"),
        ("10.0.0.1", "10.0.0.1:2222"),
        ("2001:db8::1", "[2001:db8::1]:2222"),
    ],
)
def test_names(address, name):
    """Hosts are named as people write them."""
    assert endpoint(ED25519, address=address).name == name


def test_only_algorithms_of_pinned_keys_are_offered():
    """sshd must pick a key that is pinned, and RSA is never used with SHA-1."""
    assert endpoint(ED25519).algorithms == ["ssh-ed25519"]
    assert endpoint(line_of("ssh-rsa"), ED25519).algorithms == ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
    with_authority = endpoint(authorities=(ED25519,)).algorithms
    assert "ssh-ed25519-cert-v01@openssh.com" in with_authority
    assert all(name.endswith("-cert-v01@openssh.com") for name in with_authority)
    assert not any(name.startswith("ssh-rsa") for name in with_authority)


def test_pins_are_all_that_is_known():
    """Keys, CAs and nothing revoked; no file is looked at."""
    keys, authorities, revoked = endpoint(ED25519, authorities=(line_of("ecdsa-sha2-nistp256"),)).known_hosts
    assert (len(keys), len(authorities), len(revoked)) == (1, 1, 0)


@pytest.mark.parametrize("keys", [(), ("ssh-ed25519 AAAA",)])
def test_unusable_pins(keys):
    """No pin, or one that cannot be read, names the host."""
    with pytest.raises(InvalidInput, match=r"login\.example\.org:2222"):
        _ = endpoint(*keys).known_hosts


def test_no_key_is_ever_accepted_by_asking():
    """asyncssh asks about keys that are not pinned; the answer is always no."""
    watch = HostKeyWatch()
    key = asyncssh.import_public_key(ED25519)
    assert watch.validate_host_public_key("host", "10.0.0.1", 22, key) is False
    assert watch.validate_host_ca_key("host", "10.0.0.1", 22, key) is False
    assert "SHA256:" in watch.what_was_shown


def test_other_pins_make_another_endpoint():
    """A connection opened under old pins is not found under new ones."""
    assert endpoint(ED25519) != endpoint(line_of("ssh-ed25519"))
    assert hash(endpoint(ED25519)) == hash(endpoint(ED25519))
