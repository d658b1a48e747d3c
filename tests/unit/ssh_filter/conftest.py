"""The filter as a module: it is a program without a suffix, so Python does not find it by itself."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from component.ssh_filter.certificates import Certificate, public_blob
from component.ssh_filter.node import FILTER

USER, UID, SYSTEM, SID = "alice", 20001, "cluster", "0123456789abcdef" * 2


def load_filter() -> ModuleType:
    """The filter, loaded as a module."""
    loader = SourceFileLoader("goldcrest_ssh_filter", str(FILTER))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="session")
def f() -> ModuleType:
    """The module under test."""
    return load_filter()


@pytest.fixture(scope="session")
def ca() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def session(f: Any, ca: ed25519.Ed25519PrivateKey, key: ed25519.Ed25519PrivateKey) -> Any:
    """A session of alice, made without the files and the user that a real one needs."""
    session = f.Session.__new__(f.Session)
    session.policy = f.parse_policy(b'{"system": "cluster"}')
    session.user, session.uid, session.gid = USER, UID, UID
    session.home, session.shell = "/home/alice", "/bin/bash"
    session.groups = {UID: "alice", 30000: "project"}
    session.sid = SID
    session.submissions = f.Submissions()
    session.operations = sorted(f.OPERATIONS)
    session.roots = [b"/home"]
    session.client_address = b"192.0.2.7"
    session.log = f.Log("/nonexistent")
    blob = public_blob(ca)
    session._ca_keys = SimpleNamespace(value=lambda: {blob: f.TrustedKey(blob, f.Libcrypto())})
    session._revoked = None
    session.connection_key = f.parse_certificate(Certificate(ca=ca, key=key, command={}, principals=()).build()).key
    return session


def command(op: str = "sys.whoami", args: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A command for alice on this session."""
    return {
        "kind": "command",
        "system": SYSTEM,
        "user": USER,
        "op": op,
        "args": args or {},
        "payload": {},
        "sid": SID,
        **changes,
    }


@pytest.fixture
def home(session: Any, tmp_path: Path) -> Path:
    """The only root, and the user's home folder."""
    home = tmp_path / "home"
    home.mkdir()
    session.roots = [os.path.realpath(str(home)).encode()]
    session.home = str(home)
    return home


@pytest.fixture
def certificate(ca: ed25519.Ed25519PrivateKey, key: ed25519.Ed25519PrivateKey) -> Certificate:
    """A good certificate, valid from 1000 to 1090."""
    return Certificate(
        ca=ca,
        key=key,
        command=command(),
        principals=(USER.encode(),),
        valid_after=1000,
        valid_before=1090,
    )
