from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from component.identity.identity_stage import IdentityStage
from component.identity.issuers import Issuers
from component.identity.key_server import KeyServer


@pytest.fixture(scope="package")
def issuers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuers]:
    """The bed's two OIDC servers, on free ports; Keycloak, if a test wants it, is still starting, while others are tested."""
    running = Issuers(tmp_path_factory.mktemp("issuers"))
    wanted = any("keycloak" in getattr(item, "fixturenames", ()) for item in request.session.items)
    try:
        running.start(keycloak=wanted)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def key_server() -> Iterator[KeyServer]:
    """Serves the keys of an issuer that a test rotates."""
    with KeyServer() as running:
        yield running


@pytest.fixture(scope="package")
def stage(issuers: Issuers, key_server: KeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityStage]:
    """API server, OPA, delegation, admission and gateway, which trust five issuers."""
    running = IdentityStage(tmp_path_factory.mktemp("stage"), issuers, rotating=key_server.url)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def light(issuers: Issuers) -> dict[str, Any]:
    """Addresses, clients and people of the light OIDC server."""
    return issuers.light_urls


@pytest.fixture(scope="package")
def keycloak(issuers: Issuers) -> dict[str, Any]:
    """The same of Keycloak."""
    return issuers.keycloak()
