"""Debian packages that the bed needs on the host."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from goldcrest_bed.command import logged, output, succeeds
from goldcrest_bed.errors import BedError
from goldcrest_bed.report import Report

_lock = threading.Lock()


def installed(package: str) -> bool:
    """Whether dpkg has it fully installed."""
    try:
        return output(["dpkg-query", "-W", "-f=${db:Status-Abbrev}", package]).startswith("ii")
    except BedError:
        return False


def ensure(packages: Sequence[str], *, why: str, log: Path, report: Report) -> None:
    """Install what is missing.

    :raises BedError: not Debian, or not root: says what to install by hand.
    """
    with _lock:
        missing = [package for package in packages if not installed(package)]
        if not missing:
            return
        by_hand = f"{why} needs {' '.join(missing)}: install them"
        if shutil.which("apt-get") is None:
            raise BedError(f"{by_hand} (this is not a Debian machine; names may differ)")
        if os.geteuid() != 0:
            raise BedError(f"{by_hand} (`apt-get install {' '.join(missing)}`), or run the bed as root")
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        with report.step("apt", f"installing {' '.join(missing)}", log=log):
            if not succeeds([*install[:2], "--simulate", *missing], timeout=60):
                logged(["apt-get", "update"], log, env=env)
            logged(install, log, env=env)
