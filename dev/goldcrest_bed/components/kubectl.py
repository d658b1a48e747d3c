"""kubectl: a recent one from KUBEBUILDER_ASSETS or the PATH, else built."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

from goldcrest_bed.command import output
from goldcrest_bed.component import Component
from goldcrest_bed.components.etcd import from_assets
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError
from goldcrest_bed.versions import as_tuple


class Kubectl(Component):
    """The program that the bed itself and the tests use; no process."""

    name = "kubectl"
    runs = False

    def __init__(self, bed: Bed) -> None:
        self._bed = bed

    @cached_property
    def path(self) -> Path:
        """Where it is; without :meth:`prepare` it may not be there yet."""
        on_path = shutil.which("kubectl")
        for candidate in (from_assets("kubectl"), Path(on_path) if on_path else None):
            if candidate and _version(candidate) >= as_tuple(self._bed.versions.kubectl_minimum):
                return candidate
        return self._bed.builder.built(self._bed.versions.go["kubectl"])

    def prepare(self) -> None:
        if not self.path.exists():
            self._bed.builder.build(self._bed.versions.go["kubectl"])

    def start(self) -> None:
        if not self.path.exists():
            raise BedError(f"{self.path} is gone; run `up` again")

    def stop(self) -> None:
        pass

    def state(self) -> str:
        return "running" if self.path.exists() else "missing"

    def admin(self, *argv: str, stdin: str | None = None, timeout: float = 30) -> str:
        """Standard output of kubectl with the administrator's rights.

        :param timeout: seconds.
        """
        admin = self._bed.paths.kubeconfigs / "admin"
        return output([str(self.path), "--kubeconfig", str(admin), *argv], stdin=stdin, timeout=timeout)

    def facts(self) -> dict[str, Any]:
        return {"kubectl": str(self.path)}


def _version(program: Path) -> tuple[int, ...]:
    try:
        text = output([str(program), "version", "--client", "-o", "json"], timeout=15)
        return as_tuple(json.loads(text)["clientVersion"]["gitVersion"])
    except (BedError, ValueError, KeyError):
        return ()
