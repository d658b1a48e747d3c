"""The controller fails over to another one: real slurmctld, twice, over one folder of state."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from bed import Bed

pytestmark = [pytest.mark.integration, pytest.mark.profile("hard"), pytest.mark.timeout(240)]

# It has a name of its own, by which slurmctld knows which of the two it is, and a folder for its pid.
STANDS_BY = """
set -e
hostname backup
mount -t tmpfs tmpfs /run/slurm
chown slurm:slurm /run/slurm
(cat /etc/hosts; echo 127.0.0.2 backup) > /run/slurm/hosts
mount --bind /run/slurm/hosts /etc/hosts
exec setpriv --reuid slurm --regid slurm --clear-groups slurmctld -D
"""


@pytest.fixture
def backup(bed: Bed) -> Iterator[None]:
    """The controller that stands by; the other one is in charge again at the end."""
    argv = [
        "nsenter",
        "-t",
        str(bed.faults.node_pid()),
        "-m",
        "-n",
        "-i",
        "-p",
        "unshare",
        "--uts",
        "--mount",
        "bash",
        "-c",
        STANDS_BY,
    ]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        bed.until(lambda: _up(bed), lambda up: up == {"cluster", "backup"}, seconds=30)
        yield
    finally:
        bed.faults.node_daemon("start", "slurmctld")
        bed.until(lambda: _up(bed), lambda up: "cluster" in up, seconds=60)
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _up(bed: Bed) -> set[str]:
    lines = bed.node("scontrol", "ping", check=False).splitlines()
    return {line.split()[2] for line in lines if line.startswith("Slurmctld") and line.endswith("UP")}


def test_jobs_over_a_failover(bed: Bed, backup: None) -> None:
    """One that runs when the controller dies, one that is submitted into the gap, one on the other controller, one when the first is
    back: each runs once and is followed to its end."""
    marks = f"{bed.facts['users']['alice']['scratch']}/{bed.name('failover')}"

    def submit(what: str, seconds: int = 0) -> str:
        name = bed.name(what)
        script = f"#!/bin/bash\necho {what} >> {marks}\nsleep {seconds}\n"
        assert bed.apply_job(name, script={"inline": script}, timeLimit="5").returncode == 0
        return name

    running = submit("running", 30)
    bed.job_when(running, lambda status: status.get("phase") == "Running", seconds=60)
    bed.slurm_has_saved()
    bed.faults.node_daemon("kill", "slurmctld")
    into_the_gap = submit("gap")
    bed.until(lambda: _up(bed), lambda up: up == {"backup"}, seconds=60)
    on_the_backup = submit("backup")
    for name in (running, into_the_gap, on_the_backup):
        assert bed.job_finished(name, seconds=120)["status"]["phase"] == "Succeeded", name
    bed.faults.node_daemon("start", "slurmctld")
    bed.until(lambda: _up(bed), lambda up: "cluster" in up, seconds=60)
    back = submit("back")
    assert bed.job_finished(back, seconds=120)["status"]["phase"] == "Succeeded"
    assert sorted(bed.node("cat", marks).split()) == ["back", "backup", "gap", "running"]
