"""The operator with a scheduler that is not Slurm: reconcilers and tracker as they are, and another implementation of the interfaces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from component.operator.paper_operations import EVERYBODY, OWN, AskDesk, PaperOperations
from component.operator.paper_scheduler import PaperScheduler, Sheet
from component.operator.test_life_of_a_job import condition
from component.operator.world import World
from goldcrest.commands import Command
from goldcrest.wellknown import Kind
from goldcrest_operator.scheduler.interface import Operations, Scheduler, Target

pytestmark = pytest.mark.component


@pytest.fixture
def paper(world: World) -> PaperScheduler:
    """In Slurm's place, which is never asked."""
    paper = PaperScheduler()
    scheduler: Scheduler = paper  # and mypy agrees
    world.scheduler = scheduler
    world.add_system()
    return paper


@pytest.fixture
def desk(world: World, paper: PaperScheduler, monkeypatch: pytest.MonkeyPatch) -> PaperOperations:
    """The same for Tasks, with sheets of two users; delegation signs whatever it is asked for."""
    desk = PaperOperations(paper)
    operations: Operations = desk
    world.operations = operations
    for number, user in (("1", "alice"), ("2", "bob"), ("3", "alice")):
        paper.sheets[number] = Sheet(number, user, f"token {number}")

    async def vouch(target: Target, command: Command) -> None:
        world.vouched.append(command.op)

    monkeypatch.setattr(world, "vouch", vouch)
    return desk


async def task_ended(world: World, name: str = "ask") -> tuple[str, Any]:
    """Its phase, and its result or the sentence."""
    await world.until(lambda: world.task_phase(name) in ("Succeeded", "Failed"))
    task = world.task(name)
    assert task is not None
    record = task.status.result
    return str(world.task_phase(name)), task.status.message if record is None else json.loads(record.inline or "")


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


async def test_a_listing_and_its_pages(world: World, desk: PaperOperations) -> None:
    """One's own, in pages of one question."""
    for number in (0, 1):
        world.add_task(f"page-{number}", listJobs={"scope": "own", "page": {"size": 1, "number": number}})
    await world.operator()
    for number, sheet in ((0, "1"), (1, "3")):
        phase, listed = await task_ended(world, f"page-{number}")
        assert (phase, listed["total"], [job["jobId"] for job in listed["jobs"]]) == ("Succeeded", 2, [sheet])
    assert desk.asked == [("alice", OWN)]
    assert world.slurm.calls == []


async def test_the_whole_queue_is_shared(world: World, desk: PaperOperations) -> None:
    """Where it is public: asked once as the observer, and vouched for by everybody who asks."""
    world.kube.edit(Kind.SYSTEM, "cluster", scheduler={"type": "Slurm", "queueIsPublic": True, "observer": "watcher"})
    for user in ("alice", "bob"):
        world.add_task(user, run_as=user, listJobs={"scope": "all"})
    await world.operator()
    for user in ("alice", "bob"):
        phase, listed = await task_ended(world, user)
        assert (phase, listed["total"]) == ("Succeeded", 3)
    assert desk.asked == [("watcher", EVERYBODY)]
    assert world.vouched == ["paper.ask"] * 2


async def test_cancelling_by_id(world: World, paper: PaperScheduler, desk: PaperOperations) -> None:
    """One's own; another's is refused in the scheduler's words, and what is no id is not asked for."""
    for name, sheet in (("mine", "3"), ("bobs", "2"), ("none", "blue")):
        world.add_task(name, cancelJob={"jobIds": [sheet]})
    await world.operator()
    assert await task_ended(world, "mine") == ("Succeeded", {"cancelled": "Sheet 3 is struck out."})
    assert await task_ended(world, "bobs") == ("Failed", "There is no such sheet of yours.")
    assert await task_ended(world, "none") == ("Failed", "Sheets have numbers, and blue is none.")
    assert {sheet.id: sheet.state for sheet in paper.sheets.values()} == {"1": "noted", "2": "noted", "3": "struck out"}
    assert ("alice", AskDesk("strike out", "blue")) not in desk.asked


async def test_what_it_does_not_have(world: World, desk: PaperOperations) -> None:
    """A kind of question that it has no answer to ends with a sentence."""
    world.add_task(nodes={})
    await world.operator()
    assert await task_ended(world) == ("Failed", "nobody keeps nodes on paper")
    assert desk.asked == []


async def test_nobody_answers(world: World, paper: PaperScheduler, desk: PaperOperations) -> None:
    """Waited for, and said; then it goes on."""
    paper.away = True
    world.add_task(listJobs={"scope": "own"})
    await world.operator()
    await world.until(lambda: (task := world.task()) is not None and task.status.message == "nobody is at the desk")
    paper.away = False
    assert (await task_ended(world))[0] == "Succeeded"
