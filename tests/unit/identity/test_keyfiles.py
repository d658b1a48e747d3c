from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from goldcrest.errors import InvalidInput
from goldcrest.identity.keyfiles import load_ed25519, load_public_ed25519, make_ed25519, public_path, read_private

pytestmark = pytest.mark.unit


def test_made_once(tmp_path: Path) -> None:
    """`init` makes a key that only we can read, keeps one that is there, and writes the public half beside it."""
    path = tmp_path / "keys" / "grant"
    assert make_ed25519(path)
    content = path.read_bytes()
    assert not make_ed25519(path)
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o400
    assert load_public_ed25519(public_path(path)) == load_ed25519(path).public_key()


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o644, 0o660, 0o700])
def test_others_may_read_it(tmp_path: Path, mode: int) -> None:
    """A key that others may read is refused, saying the command that mends it."""
    path = tmp_path / "key"
    path.write_bytes(b"x")
    path.chmod(mode)
    with pytest.raises(InvalidInput, match=f"has mode {mode:04o}: chmod 0400"):
        read_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_of_somebody_else(tmp_path: Path) -> None:
    """A key that belongs to somebody else is refused: they can read and replace it."""
    path = tmp_path / "key"
    path.touch(mode=0o400)
    os.chown(path, 12345, -1)
    with pytest.raises(InvalidInput, match="belongs to uid 12345"):
        read_private(path)


def test_no_key(tmp_path: Path) -> None:
    """A missing file, a folder, rubbish and another kind of key are each refused by name."""
    with pytest.raises(InvalidInput, match="`init` makes the keys"):
        read_private(tmp_path / "none")
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(InvalidInput, match="folder"):
        read_private(tmp_path / "folder")
    for content, message in ((b"rubbish", "not an unencrypted private key"), (_p256(), "of another kind")):
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(InvalidInput, match=message):
            load_ed25519(path)


def _p256() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
