"""promtool, which checks alert rules: the one on the PATH, else out of Debian's package, which is not installed (it would start a server)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from goldcrest_bed.command import logged, succeeds
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report

NAME: Final = "promtool"
_PACKAGE: Final = "prometheus"


def promtool(paths: Paths) -> Path | None:
    """Where it is; None when it was not fetched yet."""
    on_path = shutil.which(NAME)
    kept = _kept(paths)
    return Path(on_path) if on_path else kept if kept.exists() else None


def fetch(paths: Paths, report: Report) -> Path:
    """Fetch it where it is missing.

    :raises BedError: not Debian, or the package cannot be had.
    """
    there = promtool(paths)
    if there is not None:
        return there
    if shutil.which("apt-get") is None:
        raise BedError(f"{NAME} is missing, and this is not a Debian machine: put it on the PATH")
    kept, log = _kept(paths), paths.logs / f"{NAME}.log"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with report.step(NAME, f"fetching Debian's package {_PACKAGE}", log=log), tempfile.TemporaryDirectory() as folder:
        if not succeeds(["apt-get", "download", "--print-uris", _PACKAGE], timeout=60) and os.geteuid() == 0:
            logged(["apt-get", "update"], log)
        logged(["apt-get", "-o", "APT::Sandbox::User=root", "download", _PACKAGE], log, cwd=Path(folder))
        (package,) = Path(folder).glob("*.deb")
        logged(["dpkg-deb", "--extract", str(package), folder], log)
        shutil.copy2(Path(folder) / "usr" / "bin" / NAME, kept.with_suffix(".new"))
        kept.with_suffix(".new").replace(kept)
    return kept


def _kept(paths: Paths) -> Path:
    return paths.cache / "builds" / "promtool-vDebian" / NAME
