"""AES-GCM of SSH packets: the same bytes as asyncssh's own class makes and takes, both ways."""

from __future__ import annotations

import importlib
import os

import pytest
from asyncssh.encryption import GCMEncryption, get_encryption

from goldcrest.ssh.gcm import Gcm

pytestmark = pytest.mark.unit

HEADER = 4


@pytest.mark.parametrize(("cipher", "size"), [("aes128-gcm", 16), ("aes256-gcm", 32)])
@pytest.mark.parametrize("counter", [0, 2**64 - 2])
def test_the_same_bytes(cipher: str, size: int, counter: int) -> None:
    """Packet by packet, also where the counter begins anew."""
    key, iv = os.urandom(size), os.urandom(4) + counter.to_bytes(8, "big")
    ours, theirs = Gcm.new(cipher, key, iv), GCMEncryption.new(cipher, key, iv)
    reader, their_reader = Gcm.new(cipher, key, iv), GCMEncryption.new(cipher, key, iv)
    for number in range(4):
        packet = os.urandom(16 * (number + 1))
        header = len(packet).to_bytes(HEADER, "big")
        sealed = b"".join(ours.encrypt_packet(number, header, packet))
        assert sealed == b"".join(theirs.encrypt_packet(number, header, packet))
        first, rest, mac = sealed[:16], sealed[16:-16], sealed[-16:]
        assert reader.decrypt_header(number, first, HEADER) == (first, header)
        for one in (reader, their_reader):
            assert one.decrypt_packet(number, first, rest, HEADER, mac) == packet


@pytest.mark.parametrize("place", [0, 3, 4, 20, -1])
def test_a_changed_byte(place: int) -> None:
    """Of length, packet or tag: nothing is taken."""
    key, iv = os.urandom(16), os.urandom(12)
    header = (32).to_bytes(HEADER, "big")
    sealed = bytearray(b"".join(Gcm.new("", key, iv).encrypt_packet(0, header, bytes(32))))
    sealed[place] ^= 1
    first, rest, mac = bytes(sealed[:16]), bytes(sealed[16:-16]), bytes(sealed[-16:])
    assert Gcm.new("", key, iv).decrypt_packet(0, first, rest, HEADER, mac) is None


def test_asyncssh_uses_it() -> None:
    """For both ciphers that we offer, once there is somebody who logs in."""
    importlib.import_module("goldcrest.ssh.login")
    for name, size in ((b"aes128-gcm@openssh.com", 16), (b"aes256-gcm@openssh.com", 32)):
        assert isinstance(get_encryption(name, bytes(size), bytes(12)), Gcm)
