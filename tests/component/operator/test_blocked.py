"""A user or requester is blocked while their Jobs are in any state, and the block is lifted again."""

from __future__ import annotations

import pytest

from component.operator.world import NAMESPACE, World
from goldcrest.wellknown import Kind

pytestmark = pytest.mark.component

WHY = "Stopped by an administrator: Unix user alice is blocked by the site. It goes on by itself when that is lifted."


def condition(world: World, type_: str) -> tuple[str, str]:
    job = world.job()
    assert job is not None
    found = next(item for item in job.status.conditions if item.type == type_)
    return found.status, found.reason


def message(world: World) -> str:
    job = world.job()
    assert job is not None
    return job.status.message or ""


def shows_blocked(world: World) -> bool:
    job = world.job()
    return bool(job and job.status.conditions) and condition(world, "Ready") == ("False", "Blocked")


def is_held(world: World) -> bool:
    return world.slurm.jobs[101].held


async def queued(world: World) -> None:
    """A Job that waits in the queue, released."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.phase() == "Queued" and not is_held(world))


@pytest.mark.parametrize("known", [True, False], ids=["list-known", "list-unknown"])
async def test_before_submission(world: World, known: bool) -> None:
    """A Job of a blocked user waits and says why, once; nothing is submitted; when the block is lifted it runs, once. Also
    when the operator learns of the block by delegation's refusal alone."""
    world.block("alice")
    world.list_known = known
    world.add_system()
    world.add_job()
    await world.operator()
    await world.until(lambda: shows_blocked(world))
    await world.quiet()
    assert message(world) == WHY
    assert condition(world, "Reconciling") == ("True", "Blocked")
    assert condition(world, "Stalled")[0] == condition(world, "Finished")[0] == "False"
    assert world.phase() == ("Pending" if known else "Submitting")
    assert not world.slurm.jobs
    assert world.events() == ["Blocked"]
    if known:
        assert world.slurm.calls == []
    world.block()
    world.list_known = True
    await world.until(lambda: world.phase() == "Succeeded")
    assert list(world.slurm.jobs) == [101]


async def test_by_the_requester(world: World) -> None:
    """Blocked is who asked for the Job, not the Unix user; another's Job as the same user runs."""
    world.block(requesters=("system:serviceaccount:argocd:controller",))
    world.add_system()
    world.add_job(requestedBy={"via": "Kubernetes", "username": "system:serviceaccount:argocd:controller"})
    world.add_job("other", requestedBy={"via": "Kubernetes", "username": "alice"})
    await world.operator()
    await world.until(lambda: world.phase("other") == "Succeeded")
    await world.until(lambda: shows_blocked(world))
    assert "system:serviceaccount:argocd:controller is blocked by the site" in message(world)
    assert len(world.slurm.jobs) == 1


async def test_in_the_queue(world: World) -> None:
    """A job that waits in the queue is held and shown as suspended with that reason; lifted, it is released and runs."""
    await queued(world)
    world.block("alice")
    await world.until(lambda: is_held(world) and shows_blocked(world))
    assert world.phase() == "Suspended"
    assert condition(world, "Suspended") == ("True", "Blocked")
    assert message(world) == f"Job 101 is held. {WHY}"
    world.slurm.frozen = False
    await world.quiet()
    assert not world.slurm.jobs[101].ran
    assert world.slurm.calls.count("slurm.hold") == 1
    world.block()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert world.events() == ["Submitted", "Blocked", "Resumed", "Started", "Completed"]


async def test_in_the_queue_while_the_operator_is_replaced(world: World) -> None:
    """The successor of an operator that held the job knows it, holds nothing twice, and releases it when the block is lifted."""
    await queued(world)
    world.block("alice")
    await world.until(lambda: world.phase() == "Suspended")
    await world.operators[0].kill()
    await world.operator()
    await world.quiet()
    assert world.phase() == "Suspended"
    assert world.slurm.calls.count("slurm.hold") == 1
    world.slurm.frozen = False
    world.block()
    await world.until(lambda: world.phase() == "Succeeded")
    assert list(world.slurm.jobs) == [101]


async def test_running(world: World) -> None:
    """What runs is left running; without an observer its state is what was seen last, until the block is lifted."""
    await queued(world)
    world.slurm.jobs[101].state, world.slurm.jobs[101].started = "RUNNING", 1.0
    await world.until(lambda: world.phase() == "Running")
    world.block("alice")
    await world.until(lambda: "Job 101 may have started before; it is left as it is" in message(world))
    assert shows_blocked(world)
    assert world.phase() == "Running"
    asked = len(world.slurm.calls)
    await world.quiet()
    assert len(world.slurm.calls) == asked
    assert world.slurm.jobs[101].state == "RUNNING"
    world.slurm.frozen = False
    world.block()
    await world.until(lambda: world.phase() == "Succeeded")


async def test_running_is_followed_by_the_observer(world: World) -> None:
    """With an observer account the end of a blocked user's running job is seen, and nothing says that it waits."""
    world.add_system(observer="watcher")
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.phase() == "Queued" and not is_held(world))
    world.slurm.jobs[101].state, world.slurm.jobs[101].started = "RUNNING", 1.0
    await world.until(lambda: world.phase() == "Running")
    world.block("alice")
    await world.quiet()
    assert condition(world, "Ready") == ("False", "Running")
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")


async def test_started_before_it_could_be_held(world: World) -> None:
    """A job that started while it was about to be held is left running, and holding is not tried for ever."""
    await queued(world)
    world.slurm.jobs[101].state = "RUNNING"
    world.block("alice")
    await world.until(lambda: shows_blocked(world))
    await world.quiet()
    assert world.slurm.calls.count("slurm.hold") <= 1
    assert "may have started before" in message(world)
    assert world.slurm.jobs[101].state == "RUNNING"


async def test_suspended_by_the_user_too(world: World) -> None:
    """What the user holds back stays held when the block is lifted."""
    await queued(world)
    world.block("alice")
    await world.until(lambda: world.phase() == "Suspended")
    world.edit(suspend=True)
    await world.until(lambda: condition(world, "Suspended") == ("True", "Suspended"))
    world.block()
    await world.quiet()
    assert is_held(world)
    assert world.phase() == "Suspended"
    world.slurm.frozen = False
    world.edit(suspend=False)
    await world.until(lambda: world.phase() == "Succeeded")


async def test_resumed_by_the_user(world: World) -> None:
    """Setting suspend to false lets nothing start while the block stands."""
    world.add_system()
    world.add_job(suspend=True)
    world.block("alice")
    await world.operator()
    await world.until(lambda: world.phase() == "Suspended")
    assert condition(world, "Suspended") == ("True", "Suspended")
    world.edit(suspend=False)
    await world.until(lambda: shows_blocked(world))
    await world.quiet()
    assert not world.slurm.jobs
    world.block()
    await world.until(lambda: world.phase() == "Succeeded")


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_cancelling_goes_on(world: World, how: str) -> None:
    """A blocked user's job can be cancelled, by field and by deleting: its resource does not hang, and the job is gone."""
    await queued(world)
    world.block("alice")
    await world.until(lambda: world.phase() == "Suspended")
    if how == "cancel":
        world.edit(cancel=True)
        await world.until(lambda: world.slurm.jobs[101].state == "CANCELLED")
        await world.quiet()
        assert world.slurm.calls.count("slurm.cancel") == 1
        world.block()
        await world.until(lambda: world.phase() == "Cancelled")
    else:
        await world.delete()
        await world.until(lambda: world.job() is None)
        assert world.slurm.jobs[101].state == "CANCELLED"


async def test_cancelled_before_submission(world: World) -> None:
    """A Job that waits for a block to be lifted is cancelled without a login node."""
    world.block("alice")
    world.add_system()
    world.add_job()
    await world.operator()
    await world.until(lambda: shows_blocked(world))
    world.edit(cancel=True)
    await world.until(lambda: world.phase() == "Cancelled")
    assert world.slurm.calls == []


async def test_an_orphan_does_not_escape(world: World) -> None:
    """A waiting job whose resource is deleted with Orphan is held, and its resource stays until somebody may release it."""
    await queued(world)
    world.edit(deletionPolicy="Orphan")
    world.block("alice")
    await world.until(lambda: world.phase() == "Suspended")
    await world.delete()
    await world.quiet()
    assert world.job() is not None
    assert is_held(world)
    assert world.slurm.jobs[101].state == "PENDING"
    world.block()
    await world.until(lambda: world.job() is None)
    assert not is_held(world)


async def test_delegation_away(world: World) -> None:
    """While the list cannot be had the last one counts: nothing is released."""
    await queued(world)
    world.block("alice")
    await world.until(lambda: world.phase() == "Suspended")
    world.list_known = False
    world.block()
    await world.quiet()
    assert is_held(world)
    world.slurm.frozen = False
    world.list_known = True
    await world.until(lambda: world.phase() == "Succeeded")


async def test_held_before_it_was_released(world: World) -> None:
    """Blocked between sbatch and release: the fence holds it already, and it is not released."""
    world.add_system()
    world.add_job()
    first = await world.operator(fault="after-persist")
    await world.until(lambda: first.dead)
    world.block("alice")
    await world.operator()
    await world.until(lambda: world.phase() == "Suspended" and shows_blocked(world))
    assert "slurm.release" not in world.slurm.calls
    assert world.kube.look(Kind.JOB, "hello", namespace=NAMESPACE)["status"]["submission"]["released"] is False  # type: ignore[index]
    world.block()
    await world.until(lambda: world.phase() == "Succeeded")
    assert list(world.slurm.jobs) == [101]
