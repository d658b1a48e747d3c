"""The process's own key."""

from __future__ import annotations

import base64

import asyncssh
import pytest

from goldcrest.errors import DelegationUnavailable
from goldcrest.ssh.keys import EphemeralKey

pytestmark = pytest.mark.unit


def certificate_for(key: EphemeralKey) -> bytes:
    public = b"ssh-ed25519 " + base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + key.public)
    authority = asyncssh.generate_private_key("ssh-ed25519")
    return authority.generate_user_certificate(asyncssh.import_public_key(public), "id", principals=["a"]).public_data


def test_each_start_has_a_key_of_its_own():
    """Two processes never share a key."""
    assert EphemeralKey().public != EphemeralKey().public
    assert len(EphemeralKey().public) == 32


def test_logs_in_with_its_certificate():
    """A certificate of this key makes a pair to log in with."""
    key = EphemeralKey()
    [(private, certificate)] = key.client_keys(certificate_for(key))
    assert certificate.key.public_data == private.public_data


def test_other_answers_are_not_used():
    """Rubbish, or a certificate of another key, is delegation's mistake and never sent to a host."""
    key = EphemeralKey()
    for answer in (b"", b"rubbish", certificate_for(EphemeralKey())):
        with pytest.raises(DelegationUnavailable):
            key.client_keys(answer)


def test_it_is_not_shown():
    """The key does not appear in logs by accident."""
    key = EphemeralKey()
    assert key.public.hex() not in repr(key)
