"""What a channel remembers of the certificates that it has accepted."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.unit


def test_used_certificates_are_known(f: Any) -> None:
    """From the moment of their acceptance."""
    used = f.UsedCertificates()
    used.add(SimpleNamespace(serial=5, valid_before=time.time() + 60))
    assert 5 in used
    assert 6 not in used


def test_only_what_is_long_over_is_forgotten(f: Any) -> None:
    """Memory stays bounded, and nothing that could still be valid, or be so with the clock set back, is forgotten."""
    used = f.UsedCertificates()
    now = time.time()
    used.add(SimpleNamespace(serial=1, valid_before=now + 60))
    used.add(SimpleNamespace(serial=2, valid_before=now - 300))
    for serial in range(10, 10 + 2 * used.FORGET_EVERY):
        used.add(SimpleNamespace(serial=serial, valid_before=now - 1000))
    assert 1 in used
    assert 2 in used
    assert len(used._valid_before) <= used.FORGET_EVERY
