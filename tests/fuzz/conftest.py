"""Fuzzing: minutes in `make test`, as long as you like by `make fuzz` (FUZZ_EXAMPLES: examples of each test)."""

from __future__ import annotations

import os
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from unit.ssh_filter.conftest import load_filter

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("fuzz")


@pytest.fixture(scope="session")
def f() -> ModuleType:
    """The filter as a module."""
    return load_filter()
