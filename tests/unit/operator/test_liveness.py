"""When the platform is told to restart the operator: its watch brings nothing although it should."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from goldcrest_operator.process import _complaint

pytestmark = pytest.mark.unit


def context(*, age: float, systems: Any) -> Any:
    return SimpleNamespace(
        store=SimpleNamespace(systems=systems),
        watch=SimpleNamespace(age=age),
        settings=SimpleNamespace(watch_silence_seconds=900.0),
    )


def test_silence() -> None:
    """Health of Systems is written every five minutes; silence of fifteen is a watch that is dead."""
    assert _complaint(context(age=899, systems={"daint": {}})) is None
    assert _complaint(context(age=901, systems={"daint": {}})) == "the watch has brought nothing for 901 s"


def test_nothing_to_hear() -> None:
    """Without Systems nobody writes anything, and silence means nothing."""
    assert _complaint(context(age=10_000, systems={})) is None
