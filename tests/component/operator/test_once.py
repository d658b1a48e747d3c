"""T10: a job runs exactly once, whoever dies, is frozen, or loses an answer, and wherever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from component.operator.fake_questions import BatchJob
from component.operator.fake_slurm import CLUSTER, Effect, fails, lost_after, lost_before, output, says
from component.operator.world import NAMESPACE, Crash, World
from goldcrest.errors import AnswerLost, LeaseNotHeld, SystemUnreachable
from goldcrest.wellknown import Kind, submission_token
from goldcrest_operator.controller import Key
from goldcrest_operator.faults import SEEN, Point
from goldcrest_operator.lease import LeaseLost
from goldcrest_operator.reconcile.certainty import LATE_SECONDS, STORED_SECONDS
from goldcrest_operator.reconcile.job import LOOK_AGAIN_SECONDS

pytestmark = pytest.mark.component

ON_THE_WAY = tuple(
    f"{when}-{step}"
    for step in ("intent", "submit", "persist", "release", "status", "end")
    for when in ("before", "after")
)


def started(world: World) -> int:
    return sum(job.ran for job in world.slurm.jobs.values())


@pytest.mark.parametrize(
    ("point", "fence"),
    [(point, "Hold") for point in (*ON_THE_WAY, SEEN)]
    + [
        (point, "None") for point in ON_THE_WAY if not point.endswith("-release")
    ],  # without a fence nothing is released
)
async def test_killed_on_the_way(world: World, point: Point, fence: str) -> None:
    """An operator killed at any point of a submission is followed by one that brings it to its end: one run, right state."""
    world.add_system(submitFence=fence)
    world.add_job()
    first = await world.operator(fault=point)
    await world.until(lambda: first.dead)
    assert isinstance(first.died_of, Crash)
    await first.kill()
    if fence == "None":
        world.epoch_offset = STORED_SECONDS + 1  # without a fence nothing is repeated before
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert started(world) == 1
    assert len(world.slurm.jobs) == 1
    assert ("Adopted" in world.events()) == (point in ("after-submit", "before-persist"))


async def test_killed_at_every_point_in_turn(world: World) -> None:
    """Seven operators in a row, each killed at the next point, still make one run."""
    world.add_system()
    world.add_job()
    for point in ("before-intent", "after-intent", "before-submit", "after-submit", "after-persist", "after-release"):
        operator = await world.operator(fault=point)
        await world.quiet()
        await operator.kill()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    assert started(world) == 1


async def test_killed_while_letting_go(world: World) -> None:
    """Killed between cancel and finalizer: the successor lets the resource go, and the job is cancelled."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    first = await world.operator(fault="before-finalizer-removal")
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    await world.delete()
    await world.until(lambda: first.dead)
    await first.kill()
    assert world.job() is not None
    await world.operator()
    await world.until(lambda: world.job() is None)
    assert world.slurm.jobs[101].state == "CANCELLED"


@pytest.mark.parametrize("point", ["before-cancel", "after-cancel", "before-end", "after-end"])
async def test_killed_while_cancelling(world: World, point: Point) -> None:
    """Killed around scancel, and around the write of what came of it: cancelled once in the end."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    first = await world.operator(fault=point)
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    world.kube.edit(Kind.JOB, "hello", namespace=NAMESPACE, cancel=True)
    await world.until(lambda: first.dead)
    assert isinstance(first.died_of, Crash)
    await first.kill()
    await world.operator()
    await world.until(lambda: world.phase() == "Cancelled")
    assert [job.state for job in world.slurm.jobs.values()] == ["CANCELLED"]


@pytest.mark.parametrize("point", ["before-hold", "after-hold"])
async def test_killed_while_holding(world: World, point: Point) -> None:
    """Killed around the hold: held in the end, and let go when that is wanted."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    first = await world.operator(fault=point)
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    await world.until(lambda: world.phase() == "Queued")
    world.kube.edit(Kind.JOB, "hello", namespace=NAMESPACE, suspend=True)
    await world.until(lambda: first.dead)
    assert isinstance(first.died_of, Crash)
    await first.kill()
    await world.operator()
    await world.until(lambda: world.slurm.jobs[101].held)
    world.kube.edit(Kind.JOB, "hello", namespace=NAMESPACE, suspend=False)
    await world.until(lambda: not world.slurm.jobs[101].held)
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")
    assert started(world) == 1


@pytest.mark.parametrize("fault", [lost_before, lost_after])
async def test_answer_lost(world: World, fault: Any) -> None:
    """When sbatch's answer is lost, the token is looked for first: one job, whether sbatch had acted or not."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [fault]
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1
    assert "slurm.find" in world.slurm.calls


async def test_files_of_an_adopted_job(world: World) -> None:
    """A job that was found again has its files in the status while it waits; asked for once, also when that does not work."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [lost_after]
    world.slurm.frozen = True
    world.add_job()
    await world.operator()
    await world.until(lambda: (job := world.job()) is not None and job.status.files is not None)
    job = world.job()
    assert job is not None
    assert job.status.files is not None
    assert job.status.files.dump() == {
        "directory": "/scratch/x",
        "script": "/scratch/x/job.sh",
        "stdout": "/scratch/x/slurm-101.out",
        "stderr": "/scratch/x/slurm-101.out",
    }
    assert world.phase() == "Queued"
    world.slurm.faults["slurm.submit"] = [lost_after]
    world.slurm.faults["slurm.describe"] = [fails(SystemUnreachable("no host answers"))]
    world.add_job("other")
    await world.until(lambda: world.slurm.jobs.get(102) and not world.slurm.jobs[102].held)
    await world.quiet()
    assert world.slurm.calls.count("slurm.describe") == 2
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == world.phase("other") == "Succeeded")


@pytest.mark.parametrize("acted", [True, False])
async def test_socket_timed_out(world: World, acted: bool) -> None:
    """sbatch's own time-out says nothing about what the controller did: looked for, then adopted, or in the end submitted again."""
    world.add_system()
    words = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    world.slurm.faults["slurm.submit"] = [says(output(status=1, stderr=words), acts=acted)]
    world.add_job()
    await world.operator()
    if not acted:
        await world.until(lambda: "slurm.find" in world.slurm.calls)
        await world.quiet()
        assert not world.slurm.jobs
        assert (world.job().status.message or "").startswith("Not submitted again yet")  # type: ignore[union-attr]
        look(world, LATE_SECONDS + 1)
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1
    await world.quiet()
    assert ("Adopted" in world.events()) == acted


async def test_controller_away(world: World) -> None:
    """sbatch that certainly submitted nothing is repeated without looking and without waiting, although the node remembers it."""
    world.add_system()
    words = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    world.slurm.faults["slurm.submit"] = [says(output(status=1, stderr=words))] * 3
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1
    assert world.slurm.calls.count("slurm.submit") == 4
    assert "slurm.find" not in world.slurm.calls


async def test_not_looked_for_half(world: World) -> None:
    """While accounting does not answer, a lost submission is neither repeated nor failed; it goes on when it answers."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [lost_after]
    world.slurm.accounting_down = True
    world.add_job()
    await world.operator()
    await world.until(lambda: _reason(world) == "SchedulerUnavailable")
    await world.quiet()
    assert len(world.slurm.jobs) == 1
    world.slurm.accounting_down = False
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1


async def test_ambiguous_without_fence(world: World) -> None:
    """Without a fence an unreliable search stalls the Job as SubmissionAmbiguous, until it can be told."""
    world.add_system(submitFence="None")
    world.slurm.faults["slurm.submit"] = [lost_before]
    world.slurm.accounting_down = True
    world.add_job()
    await world.operator()
    await world.until(lambda: _reason(world) == "SubmissionAmbiguous")
    job = world.job()
    assert job is not None
    assert {item.type: item.status for item in job.status.conditions}["Stalled"] == "True"
    assert not world.slurm.jobs
    world.slurm.accounting_down = False
    world.epoch_offset = STORED_SECONDS + 1
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("observer", [None, "watcher"])
async def test_two_operators(world: World, observer: str | None, remembers: bool) -> None:
    """A frozen operator's sbatch comes after its successor's: the node starts none; where it does not remember, the double is cancelled."""
    world.slurm.remembers = remembers
    world.add_system(**({"observer": observer} if observer else {}))
    go_on = asyncio.Event()

    async def late(effect: Effect) -> dict[str, Any]:
        await go_on.wait()
        return effect()

    world.slurm.faults["slurm.submit"] = [late]
    world.add_job()
    first = await world.operator()
    await world.until(lambda: "slurm.submit" in world.slurm.calls)
    first.freeze_lease()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: 101 in world.slurm.jobs and not world.slurm.jobs[101].held)
    go_on.set()
    if not remembers:  # else it has nothing left to do, for which it would look at the Lease
        await world.until(lambda: first.dead)
        assert isinstance(first.died_of, LeaseLost)
        await world.until(lambda: world.slurm.jobs[102].state == "CANCELLED")
    await world.quiet()
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert started(world) == 1
    assert len(world.slurm.jobs) == (1 if remembers else 2)
    assert ("DoubleCancelled" in world.events()) != remembers


async def test_delegation_knows_another_holder(world: World) -> None:
    """An operator that delegation no longer signs for looks at the Lease and ends; the Job is its successor's, and is run once."""
    world.add_system()
    go_on = asyncio.Event()

    async def refused(_: Effect) -> dict[str, Any]:
        await go_on.wait()
        raise LeaseNotHeld("operator-0 does not hold the Lease goldcrest-operator-default; operator-1 does")

    world.slurm.faults["slurm.submit"] = [refused]
    world.add_job()
    first = await world.operator()
    await world.until(lambda: "slurm.submit" in world.slurm.calls)
    first.freeze_lease()
    await world.operator()
    go_on.set()
    await world.until(lambda: first.dead)
    assert isinstance(first.died_of, LeaseLost)
    await world.until(lambda: world.phase() == "Succeeded")
    assert started(world) == 1


async def test_double_after_the_end(world: World) -> None:
    """A held double that shows up after the Job has ended is swept too; the finished Job is not written."""
    world.add_system(observer="watcher")
    world.add_job()
    await world.operator()
    await world.until(lambda: (seen := world.job()) is not None and seen.status.usage is not None)
    job = world.job()
    assert job is not None
    assert job.status.submission is not None
    writes = len(world.kube.status_writes)
    stray = type(world.slurm.jobs[101])(999, "alice", job.status.submission.token, True, "COMPLETED")
    world.slurm.jobs[999] = stray
    await world.until(lambda: stray.state == "CANCELLED")
    await world.quiet()
    assert not stray.ran
    assert len(world.kube.status_writes) == writes


async def test_cancelled_after_a_lost_answer(world: World) -> None:
    """cancel: true after a lost answer: the submission is found and cancelled; it never runs."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [lost_after]
    world.slurm.accounting_down = True
    world.add_job()
    await world.operator()
    await world.until(lambda: _reason(world) == "SchedulerUnavailable")
    world.edit(cancel=True)
    world.slurm.accounting_down = False
    await world.until(lambda: world.phase() == "Cancelled")
    assert started(world) == 0
    assert all(job.state == "CANCELLED" for job in world.slurm.jobs.values())


async def test_deleted_after_a_lost_answer(world: World) -> None:
    """Deleted after a lost answer: what carries the token is cancelled, and the resource stays until nothing can come late."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [lost_after]
    world.slurm.accounting_down = True
    world.add_job()
    operator = await world.operator()
    await world.until(lambda: _reason(world) == "SchedulerUnavailable")
    await world.delete()
    await world.until(lambda: world.slurm.jobs[101].state == "CANCELLED")
    await world.quiet()
    assert world.job() is not None
    world.epoch_offset = STORED_SECONDS + 1
    job = world.job()
    assert job is not None
    operator.queue.add(Key(Kind.JOB, job.uid))
    await world.until(lambda: world.job() is None)
    assert started(world) == 0


async def test_job_that_nobody_claims(world: World) -> None:
    """A job of ours whose resource is not there, as after the restore of a snapshot, is reported once and left alone; others' are nobody's
    business, and what is cancelled with its resource is not worth a word."""
    world.add_system(observer="watcher")
    world.slurm.frozen = True
    await world.operator()
    lost = submission_token(CLUSTER, "0" * 32)
    for number, token in ((900, lost), (901, submission_token("another-cluster", "0" * 32)), (902, "a comment")):
        world.slurm.jobs[number] = BatchJob(number, "bob", token, False, "COMPLETED")
    world.add_job()
    await world.until(lambda: world.phase() == "Queued")
    await world.delete()
    await world.until(lambda: "Unclaimed" in world.events())
    await world.quiet()
    (said,) = [event["message"] for event in world.kube.events if event["reason"] == "Unclaimed"]
    assert "900 (bob, PENDING)" in said
    assert not any(number in said for number in ("901", "902", "101"))
    assert world.slurm.jobs[900].state == "PENDING"
    assert 'unclaimed_jobs{system="cluster"} 1.0' in world.operators[-1].metrics.measures.page().decode()


async def test_many_under_way(world: World) -> None:
    """Twenty Jobs under way when the operator is killed: each runs once."""
    world.add_system(observer="watcher")
    for number in range(20):
        world.add_job(f"job-{number}")
    world.slurm.faults["slurm.submit"] = [lost_after, lost_before] * 3
    first = await world.operator(fault="after-persist")
    await world.until(lambda: first.dead)
    await first.kill()
    await world.operator()
    await world.until(lambda: all(world.phase(f"job-{number}") == "Succeeded" for number in range(20)))
    await world.quiet()
    tokens = [job.comment for job in world.slurm.jobs.values() if job.ran]
    assert len(tokens) == len(set(tokens)) == 20
    assert all(job.ran or job.state == "CANCELLED" for job in world.slurm.jobs.values())


class Late:
    """An sbatch whose answer is lost, and which takes effect when it is told to."""

    def __init__(self) -> None:
        self.effect: Effect | None = None

    async def __call__(self, effect: Effect) -> dict[str, Any]:
        self.effect = effect
        raise AnswerLost("the connection was cut")


def look(world: World, seconds: float) -> None:
    """Time passes, and what waits in the queue is due."""
    world.epoch_offset = seconds
    job = world.job()
    if job is not None:
        world.operators[-1].queue.add(Key(Kind.JOB, job.uid))


@pytest.mark.parametrize("fence", ["Hold", "None"])
async def test_sbatch_takes_effect_late(world: World, fence: str) -> None:
    """An sbatch that takes effect after its token was looked for, and no mark: one run; with the fence the double is cancelled, even after
    the end."""
    world.slurm.remembers = False
    world.add_system(submitFence=fence)
    late = Late()
    world.slurm.faults["slurm.submit"] = [late]
    world.add_job()
    await world.operator()
    await world.until(lambda: "slurm.find" in world.slurm.calls)
    if fence == "Hold":
        await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert late.effect is not None
    late.effect()
    await world.quiet()
    look(world, LATE_SECONDS + 1)
    await world.until(lambda: world.phase() == "Succeeded")
    await world.until(lambda: all(job.ran or job.state == "CANCELLED" for job in world.slurm.jobs.values()))
    assert started(world) == 1
    assert ("DoubleCancelled" in world.events()) == (fence == "Hold")


@pytest.mark.parametrize("fence", ["Hold", "None"])
@pytest.mark.parametrize("restarted", [True, False])
async def test_sbatch_that_the_node_remembers(world: World, fence: str, restarted: bool) -> None:
    """An sbatch was started, its answer is lost, and it takes effect late: no other is started meanwhile, its job is adopted, none is a double."""
    world.add_system(submitFence=fence)
    late = Late()

    async def marked(effect: Effect) -> dict[str, Any]:
        effect.begin()
        return await late(effect)

    world.slurm.faults["slurm.submit"] = [marked]
    world.add_job()
    first = await world.operator()
    await world.until(lambda: "slurm.find" in world.slurm.calls)
    await world.quiet()
    if restarted:
        await first.kill()
        await world.operator()
        await world.quiet()
    assert not world.slurm.jobs
    assert late.effect is not None
    late.effect.act()
    look(world, LOOK_AGAIN_SECONDS + 1)
    await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert started(world) == len(world.slurm.jobs) == 1
    assert "Adopted" in world.events()


@pytest.mark.parametrize("fence", ["Hold", "None"])
async def test_cancelled_before_it_takes_effect(world: World, fence: str) -> None:
    """Cancelled while an sbatch with a lost answer may still come: the cancel waits for it, says so, and nothing runs."""
    world.add_system(submitFence=fence)
    late = Late()
    world.slurm.faults["slurm.submit"] = [late]
    world.slurm.accounting_down = True
    world.add_job()
    await world.operator()
    await world.until(lambda: late.effect is not None)
    world.edit(cancel=True)
    world.slurm.accounting_down = False
    await world.until(lambda: (world.job().status.message or "").startswith("Being cancelled: what came"))  # type: ignore[union-attr]
    await world.quiet()
    assert world.phase() == "Submitting"
    assert late.effect is not None
    late.effect()
    look(world, LATE_SECONDS + 1)
    await world.until(lambda: world.phase() == "Cancelled")
    assert started(world) == 0
    assert [job.state for job in world.slurm.jobs.values()] == ["CANCELLED"]


async def test_late_job_is_seen_early(world: World) -> None:
    """Without a fence the token is looked for again and again meanwhile: a job that comes late is adopted soon, not only at the end."""
    world.add_system(submitFence="None")
    late = Late()
    world.slurm.faults["slurm.submit"] = [late]
    world.add_job()
    await world.operator()
    await world.until(lambda: "slurm.find" in world.slurm.calls)
    await world.quiet()
    assert late.effect is not None
    late.effect()
    look(world, LOOK_AGAIN_SECONDS + 1)
    await world.until(lambda: world.phase() == "Succeeded")
    assert started(world) == 1
    assert "Adopted" in world.events()


def _reason(world: World) -> str | None:
    job = world.job()
    return next((item.reason for item in job.status.conditions), None) if job else None
