"""kill -9 of the operator at every step of submitting: no job is lost, none runs twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bed import Bed
from goldcrest_bed import faults

pytestmark = pytest.mark.faults

POINTS = ["before-intent", "after-intent", "before-submit", "after-submit", "after-persist", "after-release"]
SCRIPT = "#!/bin/bash\necho ran >> {file}\nsleep 1\n"


@pytest.fixture(scope="module")
def bed() -> Bed:
    return Bed.running()


@pytest.fixture
def operator_back() -> Iterator[None]:
    """Whatever happens, the next test has an ordinary operator."""
    yield
    faults.restart_operator()


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(bed: Bed, point: str, operator_back: None) -> None:
    """The operator dies at this point under the first of three jobs; an ordinary one takes over; each job ran once."""
    faults.restart_operator(fault_point=point)
    names = [bed.name("killed") for _ in range(3)]
    for name in names:
        made = bed.apply_job(name, script={"inline": SCRIPT.format(file=f"/scratch/alice/{name}.runs")})
        assert made.returncode == 0, made.stderr
    bed.until(faults.operator_alive, lambda alive: not alive, seconds=30)
    faults.restart_operator()
    for name in names:
        job = bed.job_finished(name, seconds=120)
        assert job["status"]["phase"] == "Succeeded", job["status"]
        token = job["status"]["submission"]["token"]
        ran = [row for row in bed.slurm_jobs_of(token) if row["State"] == "COMPLETED"]
        assert len(ran) == 1, ran
        assert bed.node("cat", f"/scratch/alice/{name}.runs") == "ran\n"


def test_two_operators_at_once(bed: Bed, operator_back: None) -> None:
    """A second operator waits for the Lease and does nothing; when the first is killed it takes over."""
    with faults.second_operator() as second:
        name = bed.name("two")
        assert bed.apply_job(name).returncode == 0
        assert bed.job_finished(name)["status"]["phase"] == "Succeeded"
        faults.kill_component("goldcrest-operator")
        name = bed.name("two")
        assert bed.apply_job(name).returncode == 0
        job = bed.job_finished(name, seconds=90)
        assert job["status"]["phase"] == "Succeeded"
        assert len(bed.slurm_jobs_of(job["status"]["submission"]["token"])) == 1
        assert second.poll() is None
