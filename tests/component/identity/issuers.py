"""The test bed's OIDC servers for tests: the same components, in a folder and on ports of their own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from component.admission.stage import free_port
from goldcrest_bed import config
from goldcrest_bed.component import HostProcess
from goldcrest_bed.components.keycloak import keycloak
from goldcrest_bed.components.oidc import oidc
from goldcrest_bed.context import Bed
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report
from goldcrest_bed.versions import Versions

_OVERLAY = """
[ports]
oidc = {light}
keycloak = {keycloak}

[oidc.clients.web]
redirect_uris = ["{redirect}"]

[oidc.clients.web-portal]
redirect_uris = ["{portal}/callback", "{process}/callback"]
token_seconds = 20
"""


class Issuers:
    """Both servers; packages and archives come from the bed's cache, and are put there when they are missing."""

    def __init__(self, folder: Path) -> None:
        overlay = folder / "overlay.toml"
        self.redirect_port = free_port()
        self.redirect_uri = f"http://127.0.0.1:{self.redirect_port}/callback"
        self.portal_port = free_port()
        """Of examples/portal. Its tokens end before the 30 s at which it renews them: each request needs a new one."""
        ports = {"light": free_port(), "keycloak": free_port()}
        self.process_port = free_port()
        """Likewise, where it is a process of its own."""
        portals = {
            "portal": f"http://127.0.0.1:{self.portal_port}",
            "process": f"http://127.0.0.1:{self.process_port}",
        }
        overlay.write_text(_OVERLAY.format(**ports, **portals, redirect=self.redirect_uri))
        paths = Paths(cache=Paths.from_environment().cache, state=folder / "state")
        paths.create()
        self.bed = Bed(config.load([overlay]), paths, Versions.load(), Report())
        self._light = oidc(self.bed)
        self._keycloak = keycloak(self.bed)
        self._waiting = threading.Thread(target=self._start_keycloak)
        self._failure: BaseException | None = None

    def start(self, *, keycloak: bool) -> None:
        if keycloak:
            self._waiting.start()
        _start(self._light)

    def stop(self) -> None:
        if self._waiting.ident is not None:
            self._waiting.join()
        for component in (self._keycloak, self._light):
            component.stop()

    def _start_keycloak(self) -> None:
        try:
            _start(self._keycloak)
        except BaseException as error:
            self._failure = error

    @property
    def light_urls(self) -> dict[str, Any]:
        """Addresses, clients and people of the light server."""
        urls: dict[str, Any] = self._light.facts()["oidc"]
        return urls

    @property
    def keycloak_urls(self) -> dict[str, Any]:
        """The same of Keycloak, which may still be starting."""
        urls: dict[str, Any] = self._keycloak.facts()["keycloak"]
        return urls

    def keycloak(self) -> dict[str, Any]:
        """The same, once it answers."""
        self._waiting.join()
        if self._failure is not None:
            raise AssertionError("Keycloak does not run") from self._failure
        return self.keycloak_urls


def _start(component: HostProcess) -> None:
    component.prepare()
    component.start()
