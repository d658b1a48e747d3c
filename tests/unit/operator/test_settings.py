"""Settings come from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from goldcrest_operator.settings import OperatorSettings

pytestmark = pytest.mark.unit


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested settings are read with two underscores."""
    monkeypatch.setenv("GOLDCREST_OPERATOR_DELEGATION__URL", "unix:/run/delegation.sock")
    monkeypatch.setenv("GOLDCREST_OPERATOR_TRACKER__HOT_SECONDS", "0.5")
    settings = OperatorSettings()
    assert settings.tracker.hot_seconds == 0.5
    assert settings.lease.duration_seconds == 15


def test_lease_times_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lease times that would let two operators act at once are refused."""
    monkeypatch.setenv("GOLDCREST_OPERATOR_DELEGATION__URL", "unix:/run/delegation.sock")
    monkeypatch.setenv("GOLDCREST_OPERATOR_LEASE__RENEW_DEADLINE_SECONDS", "20")
    with pytest.raises(ValidationError, match="renew_deadline_seconds"):
        OperatorSettings()
