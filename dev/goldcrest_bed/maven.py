"""Files from Maven repositories, by Maven itself, so that a site's own mirror settings count."""

from __future__ import annotations

import tempfile
from pathlib import Path

from goldcrest_bed import apt
from goldcrest_bed.command import logged
from goldcrest_bed.context import Bed

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"


def fetch(bed: Bed, name: str, *, kind: str) -> Path:
    """An artifact named in ``versions.toml`` under ``[maven.NAME]``, kept in the cache.

    :param kind: Maven's type, such as ``tar.gz``.
    """
    entry = bed.versions.maven[name]
    target = bed.paths.cache / "maven" / f"{entry['artifact']}-{entry['version']}.{kind}"
    if target.exists():
        return target
    log = bed.paths.logs / f"build-{name}.log"
    packages = ["maven", bed.versions.toolchain["java_package"]]
    apt.ensure(packages, why=name, log=bed.paths.logs / "apt.log", report=bed.report)
    target.parent.mkdir(parents=True, exist_ok=True)
    coordinates = f"{entry['group']}:{entry['artifact']}:{entry['version']}:{kind}"
    with (
        bed.report.step(name, f"downloading {entry['version']}", log=log),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".downloading-") as folder,
    ):
        logged(["mvn", "-B", "-q", _COPY, f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}"], log)
        (found,) = Path(folder).iterdir()
        found.rename(target)
    return target
