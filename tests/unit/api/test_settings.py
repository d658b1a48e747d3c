"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from goldcrest_api.settings import Settings

pytestmark = pytest.mark.unit

LEAST = {"GOLDCREST_API_IDENTITY_FILE": "/etc/identity.toml", "GOLDCREST_API_DELEGATION__URL": "unix:/run/d.sock"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_least_settings(environment: pytest.MonkeyPatch) -> None:
    """Two settings are enough."""
    settings = Settings()
    assert settings.identity_file == Path("/etc/identity.toml")
    assert settings.listen.port == 8080
    assert settings.limits.body_bytes == 5 * 2**20


def test_nested_settings(environment: pytest.MonkeyPatch) -> None:
    """Two underscores lead to a nested one."""
    environment.setenv("GOLDCREST_API_LIMITS__BODY_BYTES", "2048")
    environment.setenv("GOLDCREST_API_SSH__CONNECT_SECONDS", "3")
    settings = Settings()
    assert (settings.limits.body_bytes, settings.ssh.connect_seconds) == (2048, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOLDCREST_API_FIRECREST_VERSION", "demo"),
        ("GOLDCREST_API_FIRECREST_VERSION", ""),
        ("GOLDCREST_API_LIMITS__BODY_BYTES", "0"),
        ("GOLDCREST_API_LIMITS__NO_SUCH", "1"),
        ("GOLDCREST_API_LISTEN__TLS_KEY_FILE", "/key.pem"),
    ],
)
def test_settings_that_are_not_usable(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Refused at start, not at the first request."""
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()
