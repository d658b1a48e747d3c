"""kill -9 of the operator at every step of submitting: no job is lost, none runs twice."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator

import pytest

from bed import Bed
from goldcrest_bed.component import HostProcess, tcp_ready

pytestmark = pytest.mark.faults

OPERATOR = "goldcrest-operator"
POINTS = ["before-intent", "after-intent", "before-submit", "after-submit", "after-persist", "after-release"]
JOBS = int(os.environ.get("FAULT_JOBS", "3"))  # under way at each point; `make faults` takes hundreds in all
SCRIPT = "#!/bin/bash\necho ran >> {file}\nsleep 1\n"


@pytest.fixture
def operator_back(bed: Bed) -> Iterator[None]:
    """Whatever happens, the next test has an ordinary operator."""
    yield
    bed.faults.restart(OPERATOR)


@pytest.mark.timeout(600 + 10 * JOBS)
@pytest.mark.parametrize("point", POINTS)
def test_killed_at(bed: Bed, point: str, operator_back: None) -> None:
    """The operator dies at this point under the first of some jobs; an ordinary one takes over; each job ran once."""
    bed.faults.restart(OPERATOR, {"GOLDCREST_OPERATOR_FAULT_POINT": point, "GOLDCREST_OPERATOR_ALLOW_FAULTS": "true"})
    names = [bed.name("killed") for _ in range(JOBS)]
    for name in names:
        made = bed.apply_job(name, script={"inline": SCRIPT.format(file=f"/scratch/alice/{name}.runs")})
        assert made.returncode == 0, made.stderr
    bed.until(lambda: bed.faults.alive(OPERATOR), lambda alive: not alive, seconds=30)
    bed.faults.restart(OPERATOR)
    for name in names:
        _ran_once(bed, name, seconds=120 + 2 * JOBS)
        assert bed.node("cat", f"/scratch/alice/{name}.runs") == "ran\n"


def test_two_operators_at_once(bed: Bed, operator_back: None) -> None:
    """A second operator waits for the Lease and does nothing; when the first is killed it takes over."""
    first = bed.faults.components[OPERATOR]
    assert isinstance(first, HostProcess)
    second = dataclasses.replace(
        first,
        name="goldcrest-operator-second",
        needs=(),
        extra_env={"GOLDCREST_OPERATOR_HEALTH_PORT": "28111", "GOLDCREST_OPERATOR_METRICS_PORT": "28112"},
        ready=tcp_ready("127.0.0.1", 28111),
    )
    second.start()
    try:
        before = bed.name("two")
        assert bed.apply_job(before).returncode == 0
        _ran_once(bed, before)
        assert before not in second.log.read_text(), "the one without the Lease must not act"
        bed.faults.kill(OPERATOR)
        after = bed.name("two")
        assert bed.apply_job(after).returncode == 0
        _ran_once(bed, after)
        assert after in second.log.read_text()
    finally:
        second.stop()


def test_frozen_and_woken(bed: Bed, operator_back: None) -> None:
    """An operator that was stopped for longer than its Lease and wakes up writes nothing over its successor's work."""
    first = bed.faults.components[OPERATOR]
    assert isinstance(first, HostProcess)
    second = dataclasses.replace(
        first,
        name="goldcrest-operator-second",
        needs=(),
        extra_env={"GOLDCREST_OPERATOR_HEALTH_PORT": "28111", "GOLDCREST_OPERATOR_METRICS_PORT": "28112"},
        ready=tcp_ready("127.0.0.1", 28111),
    )
    pid = first.pid()
    assert pid is not None
    second.start()
    try:
        os.kill(pid, signal.SIGSTOP)
        name = bed.name("frozen")
        assert bed.apply_job(name, script={"inline": "#!/bin/bash\nsleep 3\n"}).returncode == 0
        bed.job_when(name, lambda status: status.get("jobId"), seconds=60)
        os.kill(pid, signal.SIGCONT)
        _ran_once(bed, name)
    finally:
        os.kill(pid, signal.SIGCONT)
        second.stop()


def _ran_once(bed: Bed, name: str, *, seconds: float = 120) -> None:
    job = bed.job_finished(name, seconds=seconds)
    assert job["status"]["phase"] == "Succeeded", job["status"]
    ran = [row for row in bed.slurm_jobs_of(job["status"]["submission"]["token"]) if row["State"] == "COMPLETED"]
    assert [row["JobID"] for row in ran] == [job["status"]["jobId"]]
