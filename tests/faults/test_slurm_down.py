"""Slurm's own daemons are restarted, killed, and down for a while: jobs wait and say for what, and each runs once."""

from __future__ import annotations

import os
import time

import pytest

from bed import Bed

pytestmark = pytest.mark.faults

JOBS = int(os.environ.get("FAULT_JOBS", "3"))
HELD = 4  # as many as the nodes surely hold at once
DOWN_SECONDS = 60 if "FAULT_JOBS" in os.environ else 8
SCRIPT = "#!/bin/bash\necho ran >> {file}\nsleep {seconds}\n"


def made(bed: Bed, *, seconds: int = 1, number: int = JOBS) -> list[str]:
    """Names of Jobs that note each of their runs in a file."""
    names = [bed.name("down") for _ in range(number)]
    for name in names:
        script = {"inline": SCRIPT.format(file=f"/scratch/alice/{name}.runs", seconds=seconds)}
        applied = bed.apply_job(name, script=script)
        assert applied.returncode == 0, applied.stderr
    return names


def running(bed: Bed, *, seconds: int = 25) -> list[str]:
    """As :func:`made`, of jobs that run. Not merely begun: Slurm itself puts back and holds what it was launching when it was stopped."""
    names = made(bed, seconds=seconds, number=min(JOBS, HELD))
    for name in names:
        bed.job_when(name, lambda status: status.get("phase") == "Running")
    return names


def ran_once(bed: Bed, names: list[str]) -> None:
    for name in names:
        status = bed.job_finished(name, seconds=180 + 3 * JOBS)["status"]
        assert status["phase"] == "Succeeded", status
        assert bed.node("cat", f"/scratch/alice/{name}.runs") == "ran\n"
        assert _completed(bed, status["submission"]["token"]) == [status["jobId"]]


def _completed(bed: Bed, token: str) -> list[str]:
    """Ids, once accounting knows of them."""

    def ids() -> list[str]:
        return [row["JobID"] for row in bed.slurm_jobs_of(token) if row["State"] == "COMPLETED"]

    found: list[str] = bed.until(ids, bool, seconds=60)
    return found


def reason(bed: Bed, name: str) -> tuple[str, str]:
    conditions = (bed.job(name).get("status") or {}).get("conditions", [])
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("", ""))


@pytest.mark.timeout(600 + 10 * JOBS)
def test_controller_restarted(bed: Bed) -> None:
    """slurmctld is restarted while jobs are submitted and run."""
    names = running(bed)
    bed.faults.node_daemon("restart", "slurmctld")
    ran_once(bed, names + made(bed))


@pytest.mark.timeout(600 + 10 * JOBS)
def test_controller_killed(bed: Bed) -> None:
    """slurmctld is killed and started again while jobs run. None ends close to the kill: an end that slurmctld took and had not saved is told
    to it by nobody again, and it holds such a job for running for minutes."""
    names = running(bed, seconds=45)
    bed.slurm_has_saved()
    bed.faults.node_daemon("kill", "slurmctld")
    names += made(bed, number=1)
    bed.faults.node_daemon("start", "slurmctld")
    ran_once(bed, names)


@pytest.mark.timeout(600 + 10 * JOBS)
def test_controller_down_for_long(bed: Bed) -> None:
    """Running jobs are shown as not seen, waiting ones as waiting for the scheduler; none fails; then all go on."""
    seen_running = made(bed, seconds=DOWN_SECONDS + 40, number=min(JOBS, HELD))
    for name in seen_running:
        bed.job_when(name, lambda status: status.get("phase") == "Running")
    with bed.faults.daemon_down("slurmctld"):
        waiting = made(bed)
        for name in (seen_running[0], *waiting):
            bed.until(lambda name=name: reason(bed, name), lambda seen: seen[1] == "SchedulerUnavailable", seconds=90)
        time.sleep(DOWN_SECONDS)
        assert {bed.job(name)["status"]["phase"] for name in seen_running} == {"Running"}
        assert not {bed.job(name)["status"]["phase"] for name in waiting} & {"Failed", "Succeeded", "Cancelled"}
    ran_once(bed, [*seen_running, *waiting])


@pytest.mark.timeout(600 + 10 * JOBS)
def test_accounting_down_while_jobs_end(bed: Bed) -> None:
    """slurmdbd is down: jobs are submitted, run and end as ever, as the controller knows of them."""
    names = made(bed, seconds=2)
    with bed.faults.daemon_down("slurmdbd"):
        names += made(bed, seconds=2)
        for name in names:
            assert bed.job_finished(name, seconds=120)["status"]["phase"] == "Succeeded"
    ran_once(bed, names)
