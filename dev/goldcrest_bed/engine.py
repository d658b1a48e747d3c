"""The container engine: podman with a store of its own, or docker."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldcrest_bed import apt
from goldcrest_bed.command import output, succeeds
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.processes import boot_id
from goldcrest_bed.report import Report

PODMAN_PACKAGES = (
    "podman",
    "runc",  # crun refuses hybrid cgroups
    "catatonit",
    "golang-github-containers-common",  # policy.json, without which nothing is built
    "iproute2",
)
CGROUP_PARENT = "goldcrest-bed"
_RUNC_STATE = Path("/run/runc")


@dataclass(frozen=True)
class Engine:
    """``command`` is the argument list that every call begins with."""

    name: str
    command: tuple[str, ...]

    def output(self, *argv: str, timeout: float = 60, stdin: str | None = None) -> str:
        """Standard output of one engine command; BedError if it fails.

        :param timeout: seconds.
        """
        return output([*self.command, *argv], timeout=timeout, stdin=stdin)

    def succeeds(self, *argv: str) -> bool:
        """Whether one engine command ends with 0."""
        return succeeds([*self.command, *argv])

    def has_image(self, tag: str) -> bool:
        """Whether the image is in the local store."""
        return self.succeeds("image", "inspect", tag)

    def has_containers(self) -> bool:
        """Whether there is any container, running or not (another bed's, in the same store)."""
        try:
            return bool(self.output("ps", "--all", "--quiet").strip())
        except BedError:
            return False  # not even installed

    def container_state(self, name: str) -> str:
        """``running``, ``exited``, …; empty if there is no such container."""
        try:
            (found,) = json.loads(self.output("container", "inspect", name))
        except BedError:
            return ""
        return str(found["State"]["Status"])

    def container_label(self, name: str, label: str) -> str:
        """A label's value; empty if there is none."""
        try:
            (found,) = json.loads(self.output("container", "inspect", name))
        except BedError:
            return ""
        return str((found["Config"]["Labels"] or {}).get(label, ""))

    def remove(self, name: str) -> None:
        """Stop (10 s of grace) and remove a container; nothing if there is none."""
        if self.container_state(name):
            if not self.succeeds("stop", "-t", "10", name):
                self.succeeds("kill", name)
            self.output("rm", "-f", name)

    def exec_argv(
        self, container: str, argv: Sequence[str], *, user: str | None = None, stdin: bool = False
    ) -> list[str]:
        """The argument list that runs ``argv`` inside a container."""
        options = [*(("-i",) if stdin else ()), *(("--user", user) if user else ())]
        return [*self.command, "exec", *options, container, *argv]


def run_folder(paths: Paths) -> Path:
    """Podman's run-time folder; it belongs to one store, as podman refuses to use it with another."""
    return Path("/run/goldcrest-bed") / hashlib.sha256(str(paths.cache).encode()).hexdigest()[:8]


def podman(paths: Paths) -> Engine:
    """Podman with its own store, runtime and cgroups, so that the machine's own containers are not touched.

    ``cgroupfs`` because the bed must work without systemd; the run-time folder is emptied after a reboot even where
    /run is an ordinary disk, as podman would believe old mounts and pids otherwise.
    """
    run = run_folder(paths)
    marker = run / "boot-id"
    if marker.exists() and marker.read_text() != boot_id():
        shutil.rmtree(run, ignore_errors=True)
        for container in (paths.cache / "containers" / "overlay-containers").glob("*"):
            shutil.rmtree(_RUNC_STATE / container.name, ignore_errors=True)
    options = {
        "--root": str(paths.cache / "containers"),
        "--runroot": str(run / "storage"),
        "--tmpdir": str(run / "libpod"),
        "--network-config-dir": str(run / "networks"),
        "--runtime": "runc",
        "--cgroup-manager": "cgroupfs",
        "--events-backend": "file",
        "--log-level": "error",
    }
    return Engine("podman", ("podman", *(f"{key}={value}" for key, value in options.items())))


def remove_podman_traces(paths: Paths) -> None:
    """The run-time folder and the empty cgroups that podman leaves behind; call it when no container is left."""
    run = run_folder(paths)
    shutil.rmtree(run, ignore_errors=True)
    cgroups = Path("/sys/fs/cgroup")  # version 2; each folder below it is a tree of version 1
    deadline = time.monotonic() + 3  # seconds: the container's monitor ends a moment after its container
    while True:
        parents = [*cgroups.glob(CGROUP_PARENT), *cgroups.glob(f"*/{CGROUP_PARENT}")]
        folders = [Path(folder) for parent in parents for folder, _, _ in os.walk(parent, topdown=False)]
        for folder in folders:
            with contextlib.suppress(OSError):  # not empty yet, or another bed is in it
                folder.rmdir()
        if not any(folder.exists() for folder in folders) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    with contextlib.suppress(OSError):  # another bed is in it
        run.parent.rmdir()


def docker() -> Engine:
    """Docker as the machine has it."""
    return Engine("docker", ("docker",))


def choose(wanted: str, paths: Paths) -> Engine:
    """The engine by the configuration's word, whether it is installed yet or not.

    :param wanted: ``auto``, ``podman`` or ``docker``.
    """
    if wanted == "docker" or (wanted == "auto" and _only_docker()):
        return docker()
    return podman(paths)


def ensure(engine: Engine, paths: Paths, report: Report) -> None:
    """Install what the engine needs.

    :raises BedError: it cannot be had.
    """
    if engine.name == "docker":
        if not succeeds(["docker", "info"]):
            raise BedError("container.engine is docker, but `docker info` fails: is the daemon running?")
        return
    if os.geteuid() != 0:
        raise BedError("podman in the bed's own network namespace needs root; use docker or run the bed as root")
    apt.ensure(PODMAN_PACKAGES, why="the container engine", log=paths.logs / "apt.log", report=report)
    run = run_folder(paths)
    (run / "networks").mkdir(parents=True, exist_ok=True, mode=0o700)
    (run / "boot-id").write_text(boot_id())


def _only_docker() -> bool:
    podman_possible = os.geteuid() == 0 and (shutil.which("podman") or shutil.which("apt-get"))
    return not podman_possible and succeeds(["docker", "info"])
