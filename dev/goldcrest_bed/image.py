"""The image of the Slurm cluster."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from goldcrest_bed import apt
from goldcrest_bed.command import logged, tail
from goldcrest_bed.engine import Engine
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import DEV, Paths
from goldcrest_bed.report import Report

FOLDER = DEV / "images" / "slurm"


def tag(release: str) -> str:
    """The image's name; its tag changes with every file that goes in."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"localhost/goldcrest-bed-slurm:{release}-{digest.hexdigest()[:12]}"


def ensure(engine: Engine, release: str, base: str, paths: Paths, report: Report) -> str:
    """The image's name, after building it where the engine does not have it."""
    name = tag(release)
    if engine.has_image(name):
        return name
    engine.output("images")  # an engine that is out of order says so here, not after half an image
    log = paths.logs / "build-image.log"
    base_name = _base(engine, release, base, paths, report)
    network = ("--network=host",) if engine.name == "podman" else ()
    with report.step("image", f"building the Slurm image from {base_name}", log=log):
        logged(
            [*engine.command, "build", *network, "--build-arg", f"BASE={base_name}", "-t", name, str(FOLDER)],
            log,
        )
    return name


def _base(engine: Engine, release: str, base: str, paths: Paths, report: Report) -> str:
    """A base image: pulled, or made by debootstrap where no registry answers."""
    base = base.format(release=release)
    local = f"localhost/goldcrest-bed-base:{release}"
    for known in (base, local):
        if engine.has_image(known):
            return known
    try:
        with report.step("image", f"pulling {base}"):
            engine.output("pull", base, timeout=120)
        return base
    except BedError:
        report.line("image", "no registry answers: making the base image with debootstrap")
    log = paths.logs / "build-base.log"
    apt.ensure(["debootstrap"], why="the base image", log=paths.logs / "apt.log", report=report)
    with report.step("image", f"debootstrap {release}", log=log), _scratch(paths) as folder:
        rootfs = Path(folder) / "rootfs"
        logged(["debootstrap", "--variant=minbase", release, str(rootfs)], log)
        _import(engine, rootfs, local, log)
    return local


def _scratch(paths: Paths) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=paths.cache, prefix=".base-")


def _import(engine: Engine, rootfs: Path, name: str, log: Path) -> None:
    tar = shutil.which("tar")
    if tar is None:
        raise BedError("tar is not installed")
    pack, load = [tar, "-C", str(rootfs), "-c", "."], [*engine.command, "import", "-", name]
    with log.open("ab") as out, subprocess.Popen(pack, stdout=subprocess.PIPE, stderr=out) as packing:
        done = subprocess.run(load, stdin=packing.stdout, stdout=out, stderr=out, check=False)
    if done.returncode or packing.returncode:
        raise BedError(f"importing the base image failed; the end of {log}:\n{tail(log)}")
