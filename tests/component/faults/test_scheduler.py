"""The scheduler loses, garbles, swallows or delays what it says: no job is lost, none runs twice, and who looks is told why it waits."""

from __future__ import annotations

import time

import pytest

from component.faults.jobs import JOBS
from component.faults.rig import Rig

pytestmark = pytest.mark.component

ANSWERS = ["lost", "killed", "empty", "garbage", "slow", "late", "refused-later", "standby"]


def test_answers_of_sbatch(rig: Rig) -> None:
    """sbatch's answer is lost with the connection or the program, is nothing, no text, or late; or it acts when it was long given up, or
    has no controller: each job is adopted or submitted again, and runs once."""
    with rig.slurm.faults("sbatch", ANSWERS * JOBS, seconds=7):
        names = rig.add_many(len(ANSWERS) * JOBS)
        waiting = rig.until(lambda: _waiting(rig, names), what="one of them says what it waits for")
        rig.finished(*names, seconds=180 + 10 * JOBS)
    assert waiting <= {"SchedulerUnavailable", "SystemUnreachable"}, waiting
    rig.ran_once(*names)
    assert sum("Adopted" in rig.events_of(name) for name in names) >= 5 * JOBS  # all but slow and refused-later
    rig.settled(*names)


def test_listings(rig: Rig) -> None:
    """Listings of running jobs are no text, empty, cut, or refused: Ready is Unknown or False with the reason, and the phase stays."""
    rig.slurm.run_for(600)
    names = rig.add_many(JOBS)
    for kind in ("garbage", "empty", "half", "down"):
        rig.until(lambda: all(rig.ready(name) == ("False", "Running") for name in names), what=f"seen before {kind}")
        with rig.slurm.fault(kind, "squeue", "scontrol", "sacct"):
            rig.until(lambda: all(rig.ready(name)[1] == "SchedulerUnavailable" for name in names), what=kind)
            # It says itself that it has no controller, or nobody knows anything of the jobs.
            assert {rig.ready(name)[0] for name in names} == {"False" if kind in ("down", "half") else "Unknown"}
            assert {rig.phase(name) for name in names} == {"Running"}
            assert all(rig.status(name)["message"] for name in names)
    rig.slurm.end_all()
    rig.finished(*names)
    rig.ran_once(*names)


def test_accounting_down_while_jobs_end(rig: Rig) -> None:
    """slurmdbd is down while jobs end, and the controller forgets them: they wait for its record, and say so; then they are over."""
    rig.slurm.run_for(600)
    names = rig.add_many(JOBS)
    rig.until(lambda: all(rig.phase(name) == "Running" for name in names))
    with rig.slurm.fault("dbd", "sacct"):
        rig.slurm.forget_after(0)
        rig.slurm.end_all()
        rig.until(lambda: all(rig.ready(name) == ("Unknown", "SchedulerUnavailable") for name in names))
        assert all("slurm_persist_conn" in rig.status(name)["message"] for name in names), rig.status(names[0])
        assert {rig.phase(name) for name in names} == {"Running"}
    rig.finished(*names)
    rig.ran_once(*names)
    rig.settled(*names)


def test_its_clock_is_off(rig: Rig) -> None:
    """The scheduler's clock is ten minutes ahead, and then behind: each job is known again and followed to its end."""
    names = []
    for seconds in (600, -600):
        rig.slurm.clock_off(seconds)
        with rig.slurm.faults("sbatch", ["lost"]):
            names += rig.add_many(JOBS)
            rig.finished(*names)
    rig.slurm.clock_off(0)
    rig.ran_once(*names)


def test_deleted_while_the_system_is_away(rig: Rig) -> None:
    """Jobs are deleted while nobody can reach the System: they stay and say why; then they are cancelled, and go. None runs on."""
    rig.slurm.run_for(600)
    names = rig.add_many(JOBS)
    rig.until(lambda: all(rig.phase(name) == "Running" for name in names))
    tokens = [rig.status(name)["submission"]["token"] for name in names]
    rig.machine.stop_sshd()
    rig.machine.run("pkill", "-KILL", "-f", "^sshd-goldcrest: ", check=False)
    try:
        rig.until(lambda: rig.ready(names[0]) == ("Unknown", "ConnectionRefused"))
        for name in names:
            rig.delete(name)
        rig.until(lambda: all("deletionTimestamp" in (rig.job(name) or {})["metadata"] for name in names))
        rig.until(lambda: all(rig.ready(name) == ("Unknown", "ConnectionRefused") for name in names))
        rig.restart_operator(kill=True)  # the wait outlives the process
        time.sleep(1)  # nothing can be waited for where nothing is to happen
        assert all(rig.job(name) for name in names)
    finally:
        rig.machine.start_sshd()
    rig.until(lambda: not any(rig.job(name) for name in names), what="they are gone")
    assert all(job["cancelled"] for token in tokens for job in rig.slurm.carrying(token))


def _waiting(rig: Rig, names: list[str]) -> set[str]:
    """Reasons of those that wait for something."""
    return {rig.ready(name)[1] for name in names} - {"", "Accepted", "Submitting", "Queued", "Running", "Completed"}
