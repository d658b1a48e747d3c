"""The operator with a scheduler that is not Slurm: reconcilers and tracker as they are, and another implementation of the interface."""

from __future__ import annotations

import pytest

from component.operator.paper_scheduler import PaperScheduler
from component.operator.test_life_of_a_job import condition
from component.operator.world import World
from goldcrest_operator.scheduler.interface import Scheduler

pytestmark = pytest.mark.component


@pytest.fixture
def paper(world: World) -> PaperScheduler:
    """In Slurm's place, which is never asked."""
    paper = PaperScheduler()
    scheduler: Scheduler = paper  # and mypy agrees
    world.scheduler = scheduler
    world.add_system()
    return paper


async def test_from_submission_to_end(world: World, paper: PaperScheduler) -> None:
    """Held, persisted, released, followed."""
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    job = world.job()
    assert job is not None
    assert (job.status.job_id, job.status.exit_code, job.status.message) == ("1", 0, "Sheet 1 is done.")
    assert job.status.scheduler is not None
    assert job.status.scheduler.state == "done"
    assert world.slurm.calls == []


async def test_once_although_the_answer_was_lost(world: World, paper: PaperScheduler) -> None:
    """It is looked for by its token, and found."""
    paper.lose_next_answer = True
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    assert list(paper.sheets) == ["1"]


async def test_hold_and_cancel(world: World, paper: PaperScheduler) -> None:
    """Suspended while it waits, let go, cancelled."""
    paper.closed = True
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Queued" and not paper.sheets["1"].held)
    world.edit(suspend=True)
    await world.until(lambda: paper.sheets["1"].held)
    world.edit(suspend=False)
    await world.until(lambda: not paper.sheets["1"].held)
    world.edit(cancel=True)
    await world.until(lambda: world.phase() == "Cancelled")
    assert paper.sheets["1"].state == "struck out"


async def test_refused_for_now(world: World, paper: PaperScheduler) -> None:
    """In its own words, with a reason that says that trying again makes sense."""
    paper.full = True
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Failed")
    assert condition(world, "Failed") == ("True", "RejectedForNow")
    job = world.job()
    assert job is not None
    assert job.status.message == "The desk is full: come back tomorrow."


async def test_throttled(world: World, paper: PaperScheduler) -> None:
    """A scheduler that puts questions off is no failure of a job: it is said, asked again, and goes on."""
    paper.throttled = 1_000_000
    world.add_job()
    await world.operator()
    await world.until(lambda: condition(world, "Ready") == ("False", "SchedulerUnavailable"))
    assert world.phase() == "Queued"
    paper.throttled = 0
    await world.until(lambda: world.phase() == "Succeeded")
