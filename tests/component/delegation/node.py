"""What a login node says of a certificate: the verification of the real filter, loaded as a module."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib.machinery import SourceFileLoader
from types import SimpleNamespace
from typing import Any

from component.admission.stage import REPOSITORY


@cache
def real_filter() -> Any:
    """The filter; a program without a suffix, so Python does not find it by itself."""
    loader = SourceFileLoader("goldcrest_ssh_filter", str(REPOSITORY / "ssh-filter" / "goldcrest-ssh-filter"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def refusal(
    wire: bytes, *, ca_file: str, user: str = "alice", revocations: str | None = None, now: int, libcrypto: bool = True
) -> str | None:
    """Why a node with this CA file and revocation file refuses the certificate (its constant), or None.

    Args:
        ca_file: public keys, one a line.
        revocations: lines of a revocation file.
        now: epoch seconds.
        libcrypto: signatures are checked with it, or in Python alone.
    """
    module = real_filter()
    session = module.Session.__new__(module.Session)
    session.policy = module.parse_policy(b'{"system": "cluster"}')
    session.user, session.uid, session.groups = user, 20001, {20001: user}
    session.client_address = "192.0.2.7"
    keys = module.parse_ca_keys(ca_file.encode(), module.Libcrypto() if libcrypto else None)
    revoked = module.Revoked((revocations or "").encode())
    session._ca_keys = SimpleNamespace(value=lambda: keys)
    session._revoked = SimpleNamespace(value=lambda: revoked)
    session.connection_key = None
    try:
        session.check_certificate(module.parse_certificate(wire), now)
    except module.Refused as refused:
        return str(refused.reason)
    return None
