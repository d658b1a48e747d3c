"""Files that a process of ours depends on: private keys that nobody else may read, and files that nobody else may write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from goldcrest.errors import InvalidInput

KEY_FILE_LIMIT = 64 * 1024  # bytes


def read_private(path: Path) -> bytes:
    """Bytes of a file that belongs to us and that only we may read (mode 0400 or 0600).

    Raises:
        InvalidInput: naming the file and what to do.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(f"the key file {path} cannot be read: {error.strerror}; `init` makes the keys") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"the key file {path} is not a regular file")
        if status.st_uid != os.geteuid():
            raise InvalidInput(
                f"the key file {path} belongs to uid {status.st_uid}, not to us: chown {os.geteuid()} it"
            )
        if status.st_mode & 0o7177:
            raise InvalidInput(f"the key file {path} has mode {status.st_mode & 0o7777:04o}: chmod 0400 {path}")
        return os.read(descriptor, KEY_FILE_LIMIT)
    finally:
        os.close(descriptor)


def read_guarded(path: Path, *, limit: int) -> bytes:
    """Bytes of a file that decides whom we trust: only root and we may be able to change it.

    Args:
        limit: the most bytes that it may have.

    Raises:
        InvalidInput: naming the file and what to do.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}; correct the path, or put the file there"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"{path} is not a regular file; correct the path")
        if status.st_uid not in (0, os.geteuid()):
            raise InvalidInput(f"{path} belongs to uid {status.st_uid}, who could change it: chown root {path}")
        if status.st_mode & 0o022:
            raise InvalidInput(
                f"{path} has mode {status.st_mode & 0o7777:04o}, others could change it: chmod go-w {path}"
            )
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InvalidInput(f"{path} is larger than {limit} bytes; remove what is not needed")
    return content


def load_ed25519(path: Path) -> Ed25519PrivateKey:
    """An unencrypted Ed25519 key in PEM (PKCS #8).

    Raises:
        InvalidInput: naming the file and what to do.
    """
    try:
        key = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{path} is not an unencrypted private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{path} holds a key of another kind; an Ed25519 key is needed (`init` makes one)")
    return key


def load_public_ed25519(path: Path) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM.

    Raises:
        InvalidInput: naming the file and what to do.
    """
    try:
        key = load_pem_public_key(path.read_bytes()[:KEY_FILE_LIMIT])
    except OSError as error:
        raise InvalidInput(f"the public key {path} cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{path} is not a public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput(f"{path} holds a key of another kind; an Ed25519 public key is needed")
    return key


def public_path(path: Path) -> Path:
    """Where the public half of a key is written: beside it, with ``.pub``."""
    return path.with_name(path.name + ".pub")


def make_ed25519(path: Path) -> bool:
    """Make a key pair unless there is one: ``path`` (0400) and its public half in PEM. Returns whether it was made.

    Raises:
        InvalidInput: the file that is there is not a key of ours.
    """
    made = not path.exists()
    if made:
        key = Ed25519PrivateKey.generate()
        write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o400)
    public = load_ed25519(path).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public_path(path).write_bytes(public)
    return made


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that must not be there yet; folders are made, for us alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
