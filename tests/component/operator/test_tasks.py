"""Tasks from their creation to their deletion: what Slurm is asked, what is stored, and what happens when parts fail."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from component.operator.fake_slurm import fails, lost_after, output, says
from component.operator.world import NAMESPACE, Crash, World
from goldcrest.canonical import sha256_hex
from goldcrest.errors import CommandFailed, LoginDenied, SystemUnreachable
from goldcrest.wellknown import ANNOTATION_READ_AT, Kind
from goldcrest_operator.faults import Point

pytestmark = pytest.mark.component


def result(world: World, name: str = "ask") -> Any:
    """The result in the status."""
    task = world.task(name)
    assert task is not None
    assert task.status.result is not None, task.status
    assert task.status.result.inline is not None
    return json.loads(task.status.result.inline)


async def running(world: World, **scheduler: Any) -> None:
    world.add_system(**scheduler)
    await world.operator()


async def ended(world: World, name: str = "ask") -> str:
    await world.until(lambda: world.task_phase(name) in ("Succeeded", "Failed", "Cancelled"))
    return str(world.task_phase(name))


async def submitted(world: World, number: int = 1) -> None:
    """So many jobs, which stay as they are."""
    world.slurm.frozen = True
    for index in range(number):
        world.add_job(f"job-{index}")
    await world.until(lambda: len(world.slurm.jobs) == number)
    await world.quiet()


async def test_listing(world: World) -> None:
    """One's jobs with their files, in one query and one write; the result has its digest and its moment."""
    await running(world)
    await submitted(world)
    world.add_task(listJobs={"scope": "own", "details": True})
    assert await ended(world) == "Succeeded"
    listed = result(world)
    assert listed["total"] == 1
    assert listed["jobs"][0]["jobId"] == "101"
    assert listed["jobs"][0]["detail"]["stdoutTail"] == "hello\n"
    task = world.task()
    assert task is not None
    record = task.status.result
    assert record is not None
    assert record.sha256 == sha256_hex((record.inline or "").encode())
    assert record.as_of.endswith("Z")
    assert task.status.message == "1 jobs."
    assert [write["kind"] for write in world.kube.status_writes if write["kind"] == "Task"] == ["Task"]
    conditions = {condition.type: condition.status for condition in task.status.conditions}
    assert (conditions["Ready"], conditions["Complete"], conditions["Finished"]) == ("True", "True", "True")


@pytest.mark.parametrize(
    ("operation", "key", "first"),
    [
        ({"accounting": {}}, "accounting", {"jobId": "7", "exitCode": "0:0"}),
        ({"nodes": {}}, "nodes", {"name": "n1", "activeFeatures": ["gpu", "mc"], "state": ["IDLE", "DRAIN"]}),
        ({"partitions": {}}, "partitions", {"name": "normal", "default": "YES"}),
        ({"reservations": {"names": ["lab"]}}, "reservations", {"name": "lab", "features": ["gpu", "mc"]}),
    ],
)
async def test_other_questions(world: World, operation: Any, key: str, first: Any) -> None:
    """Each kind of question has its typed rows."""
    await running(world)
    world.add_task(**operation)
    assert await ended(world) == "Succeeded"
    row = result(world)[key][0]
    assert {name: row[name] for name in first} == first


@pytest.mark.parametrize("kind", ["partitions", "reservations"])
async def test_unknown_names(world: World, kind: str) -> None:
    """An unknown partition or reservation is an empty list, not an error."""
    await running(world)
    world.add_task(**{kind: {"names": ["nowhere"]}})
    assert await ended(world) == "Succeeded"
    assert result(world)[kind] == []


async def test_pages(world: World) -> None:
    """A page holds its part and says how many there are; both pages come of one query."""
    await running(world)
    await submitted(world, 3)
    for number in (0, 1):
        world.add_task(f"page-{number}", listJobs={"scope": "own", "page": {"size": 2, "number": number}})
    assert [await ended(world, f"page-{number}") for number in (0, 1)] == ["Succeeded", "Succeeded"]
    pages = [result(world, f"page-{number}") for number in (0, 1)]
    assert [len(page["jobs"]) for page in pages] == [2, 1]
    assert [page["total"] for page in pages] == [3, 3]
    assert world.slurm.calls.count("slurm.jobs") == 1


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ({"size": 25, "number": -1}, "pageNumber (-1) cannot be a negative number"),
        ({"size": 25, "number": 1}, "pageNumber (1) is greater than total pages (1)"),
        ({"size": 0, "number": 0}, "pageSize (0) must be at least 1"),
    ],
)
async def test_pages_that_are_none(world: World, page: Any, sentence: str) -> None:
    """The Task fails with the contract's sentence."""
    await running(world)
    world.add_task(accounting={"page": page})
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert task.status.message == sentence


async def test_twenty_who_poll_cost_one_query(world: World) -> None:
    """Twenty Tasks with the same question: one query of Slurm, and delegation's word for each of the nineteen others."""
    await running(world)
    await submitted(world)
    for number in range(20):
        world.add_task(f"poll-{number}", listJobs={"scope": "own", "details": True})
    for number in range(20):
        assert await ended(world, f"poll-{number}") == "Succeeded"
    assert world.slurm.calls.count("slurm.jobs") == 1
    assert world.vouched == ["slurm.jobs"] * 19
    as_of = {str(world.task(f"poll-{number}").status.result.as_of) for number in range(20)}  # type: ignore[union-attr]
    assert len(as_of) == 1


async def test_an_answer_is_not_shared_with_whom_delegation_refuses(world: World) -> None:
    """A Task that nobody may have made gets no answer that was there already."""
    await running(world)
    await submitted(world)
    world.store_offset = 60
    world.add_task("mine", listJobs={"scope": "own"})
    assert await ended(world, "mine") == "Succeeded"
    world.slurm.denies_tasks = True
    world.add_task("forged", listJobs={"scope": "own"})
    assert await ended(world, "forged") == "Failed"
    forged = world.task("forged")
    assert forged is not None
    assert forged.status.result is None
    assert "does not follow" in (forged.status.message or "")
    assert world.slurm.calls.count("slurm.jobs") == 1


async def test_where_everybody_sees_all_one_query_is_everybodys(world: World) -> None:
    """The observer's listing answers all users, with delegation's word for each; what is of one user is still asked as that user."""
    await running(world, observer="watcher", queueIsPublic=True)
    for user in ("alice", "bob", "carol"):
        world.add_task(f"all-{user}", run_as=user, listJobs={"scope": "all"})
    world.add_task("own-alice", listJobs={"scope": "own"})
    world.add_task("some-bob", run_as="bob", listJobs={"scope": "all", "jobIds": ["7"]})
    for name in ("all-alice", "all-bob", "all-carol", "own-alice", "some-bob"):
        assert await ended(world, name) == "Succeeded"
    assert world.vouched == ["slurm.jobs"] * 3
    assert sorted(user for op, user in world.slurm.asked if op == "slurm.jobs") == ["alice", "bob", "watcher"]


@pytest.mark.parametrize(
    "scheduler", [{"observer": "watcher"}, {"observer": "watcher", "queueIsPublic": False}, {"queueIsPublic": True}]
)
async def test_nobody_is_answered_by_the_observer_unless_the_system_says_so(
    world: World, scheduler: dict[str, Any]
) -> None:
    """An observer alone, which may see more than users do, says nothing to them; nor does a word without an observer."""
    await running(world, **scheduler)
    world.add_task(run_as="bob", listJobs={"scope": "all"})
    assert await ended(world) == "Succeeded"
    assert [user for op, user in world.slurm.asked if op == "slurm.jobs"] == ["bob"]


async def test_an_observer_who_is_kept_out(world: World) -> None:
    """Its account says nothing of the system: the listing is asked for as the user."""
    await running(world, observer="watcher", queueIsPublic=True)
    world.slurm.faults["slurm.jobs"].append(fails(LoginDenied("login1 refused the login of watcher")))
    world.add_task(run_as="bob", listJobs={"scope": "all"})
    assert await ended(world) == "Succeeded"
    assert [user for op, user in world.slurm.asked if op == "slurm.jobs"] == ["watcher", "bob"]


async def test_a_refused_task_gets_nothing_of_the_observers_listing(world: World) -> None:
    """Delegation is asked for each Task before the observer's answer is given to it."""
    await running(world, observer="watcher", queueIsPublic=True)
    world.store_offset = 60
    world.slurm.denies_tasks = True
    world.add_task("forged", listJobs={"scope": "all"})
    assert await ended(world, "forged") == "Failed"
    assert [op for op, _ in world.slurm.asked if op == "slurm.jobs"] == []


async def test_another_users_question_is_another_query(world: World) -> None:
    """Only the same user shares."""
    await running(world)
    world.add_task("hers", listJobs={"scope": "all"})
    world.add_task("his", run_as="bob", listJobs={"scope": "all"})
    assert [await ended(world, name) for name in ("hers", "his")] == ["Succeeded", "Succeeded"]
    assert world.slurm.calls.count("slurm.jobs") == 2


async def test_ones_own_change_is_seen(world: World) -> None:
    """A job submitted a moment after a listing is in the next one, however soon that comes."""
    await running(world)
    world.add_task("before", listJobs={"scope": "own"})
    await ended(world, "before")
    assert result(world, "before")["total"] == 0
    world.slurm.frozen = True
    world.add_job()
    await world.until(lambda: world.phase() == "Queued")
    world.add_task("after", listJobs={"scope": "own"})
    await ended(world, "after")
    assert result(world, "after")["total"] == 1


async def test_a_large_result_is_in_chunks_of_its_own(world: World) -> None:
    """Above 4 KiB: gzip in TaskResults that belong to the Task; they go with it."""
    await running(world)
    rows = "".join(f"NodeName=n{number} State=IDLE Partitions=normal\n" for number in range(200))
    world.slurm.faults["slurm.nodes"].append(says(output(rows)))
    world.add_task(nodes={})
    assert await ended(world) == "Succeeded"
    task = world.task()
    assert task is not None
    record = task.status.result
    assert record is not None
    assert record.inline is None
    chunks = [world.kube.look(Kind.TASK_RESULT, name, namespace=NAMESPACE) for name in record.names]
    assert all(chunk is not None for chunk in chunks)
    (owner,) = chunks[0]["metadata"]["ownerReferences"]  # type: ignore[index]
    assert (owner["kind"], owner["uid"]) == ("Task", task.uid)
    content = gzip.decompress(b"".join(base64.b64decode(chunk["data"]) for chunk in chunks if chunk))
    assert (len(content), sha256_hex(content)) == (record.size, record.sha256)
    assert len(content) < 16 * 1024
    assert len(json.loads(content)["nodes"]) == 200
    world.epoch_offset = 3700
    world.kube.annotate("ask", namespace=NAMESPACE, kind=Kind.TASK, poke="1")
    await world.until(lambda: world.task() is None)
    assert not world.kube.listed(Kind.TASK_RESULT)


async def test_a_result_that_is_too_large(world: World) -> None:
    """Above 8 MiB nothing is stored, and the Task says what to do."""
    await running(world)
    rows = "".join(f"NodeName=n{number} State=IDLE Partitions={'p' * 4000}\n" for number in range(2200))
    world.slurm.faults["slurm.nodes"].append(says(output(rows)))
    world.add_task(nodes={})
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert "8388608 is the most: ask for less" in (task.status.message or "")
    assert not world.kube.listed(Kind.TASK_RESULT)


async def test_slurm_says_no(world: World) -> None:
    """The Task fails at once, in Slurm's own words."""
    await running(world)
    said = "slurm_load_jobs error: Invalid job id specified\n"
    world.slurm.faults["slurm.jobs"].append(says({"squeue": output(status=1, stderr=said), "jobs": []}))
    world.add_task(jobDetail={"jobId": "999"})
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert task.status.message == said.strip()
    assert world.slurm.calls.count("slurm.jobs") == 1


async def test_a_command_that_takes_too_long(world: World) -> None:
    """The node's time limit is a failure with the contract's words."""
    await running(world)
    world.slurm.faults["slurm.history"].append(fails(CommandFailed("10 s were over", kind="timeout")))
    world.add_task(accounting={})
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert task.status.message == "Command has finished with timeout signal"


async def test_a_system_that_comes_back(world: World) -> None:
    """What passes is waited for, and said; then the Task is answered."""
    await running(world)
    world.slurm.faults["slurm.nodes"] += [fails(SystemUnreachable("login1:2222: connection refused"))] * 3
    world.add_task(nodes={})
    await world.until(lambda: "refused" in str(world.task().status.message))  # type: ignore[union-attr]
    assert await ended(world) == "Succeeded"


async def test_a_system_that_stays_away(world: World) -> None:
    """After half a minute the client is told, rather than left waiting."""
    await running(world)
    world.slurm.faults["slurm.nodes"] += [fails(SystemUnreachable("login1:2222: connection refused"))] * 10_000
    world.add_task(nodes={})
    await world.until(lambda: world.task_phase() == "Pending")
    world.epoch_offset = 31
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert next(one.reason for one in task.status.conditions) == "SystemUnreachable"


async def test_system_that_is_not_there(world: World) -> None:
    """Its creation wakes the Task."""
    await world.operator()
    world.add_task(nodes={})
    await world.until(lambda: "There is no System cluster" in str(world.task().status.message))  # type: ignore[union-attr]
    world.add_system()
    assert await ended(world) == "Succeeded"


async def test_cancelling_by_id(world: World) -> None:
    """scancel's words are the result; the intent is stored before."""
    await running(world)
    await submitted(world)
    world.add_task(cancelJob={"jobIds": ["101"]})
    assert await ended(world) == "Succeeded"
    assert result(world) == {"cancelled": "scancel: Terminating job 101"}
    assert world.slurm.jobs[101].state == "CANCELLED"
    phases = [write["status"]["phase"] for write in world.kube.status_writes if write["kind"] == "Task"]
    assert phases == ["Running", "Succeeded"]


@pytest.mark.parametrize(
    ("job_id", "sentence"),
    [
        ("999", "scancel: Terminating job 999scancel: error: Kill job error on job id 999: Invalid job id specified"),
        ("abc", "scancel: error: Invalid job id abc"),
    ],
)
async def test_cancelling_what_is_not_there(world: World, job_id: str, sentence: str) -> None:
    """In scancel's words, as the contract has them."""
    await running(world)
    world.add_task(cancelJob={"jobIds": [job_id]})
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert task.status.message == sentence


async def test_cancelling_somebody_elses_job(world: World) -> None:
    """Slurm says no; the job goes on."""
    await running(world)
    await submitted(world)
    world.add_task(run_as="bob", cancelJob={"jobIds": ["101"]})
    assert await ended(world) == "Failed"
    task = world.task()
    assert task is not None
    assert task.status.message == "User does not have permission to cancel job"
    assert world.slurm.jobs[101].state != "CANCELLED"


async def test_cancelling_whose_answer_was_lost(world: World) -> None:
    """The second try finds the job ended by the first: that is what was wanted."""
    await running(world)
    await submitted(world)
    world.slurm.faults["slurm.kill"].append(lost_after)
    world.add_task(cancelJob={"jobIds": ["101"]})
    assert await ended(world) == "Succeeded"
    assert world.slurm.calls.count("slurm.kill") == 2


async def test_operator_killed_in_the_middle_of_cancelling(world: World) -> None:
    """Its successor tells the system again, and the Task ends well."""
    await running(world)
    await submitted(world)
    reached, never = asyncio.Event(), asyncio.Event()

    async def stands_still(effect: Any) -> dict[str, Any]:
        effect()
        reached.set()
        await never.wait()
        raise AssertionError

    world.slurm.faults["slurm.kill"].append(stands_still)
    world.add_task(cancelJob={"jobIds": ["101"]})
    await reached.wait()
    await world.operators[0].kill()
    await world.operator()
    assert await ended(world) == "Succeeded"


@pytest.mark.parametrize(
    "point", [f"{when}-task-{step}" for step in ("begin", "carry", "end") for when in ("before", "after")]
)
async def test_operator_killed_at_a_point(world: World, point: Point) -> None:
    """At every step of a Task that cancels a job, and of one that only asks: both end well, and the job is cancelled."""
    await running(world)
    await submitted(world)
    await world.operators[0].kill()
    world.add_task(cancelJob={"jobIds": ["101"]})
    operator = await world.operator(fault=point)
    await world.until(lambda: operator.dead)
    assert isinstance(operator.died_of, Crash)
    await operator.kill()
    await world.operator()
    assert await ended(world) == "Succeeded"
    assert world.slurm.jobs[101].state == "CANCELLED"


async def test_cancelled_before_it_began(world: World) -> None:
    """Nothing is asked of the system."""
    world.add_system()
    world.add_task(nodes={})
    world.kube.edit(Kind.TASK, "ask", namespace=NAMESPACE, cancel=True)
    await world.operator()
    assert await ended(world) == "Cancelled"
    assert "slurm.nodes" not in world.slurm.calls


async def test_blocked_user(world: World) -> None:
    """Told at once, and never carried out later."""
    await running(world)
    await submitted(world)
    world.block("alice")
    await world.until(lambda: world.operators[0].blocks.now.users)
    world.add_task(cancelJob={"jobIds": ["101"]})
    assert await ended(world) == "Failed"
    world.block()
    await world.quiet()
    assert "slurm.kill" not in world.slurm.calls
    task = world.task()
    assert task is not None
    assert (task.status.message or "").startswith("Stopped by an administrator")


async def test_a_read_query_goes_after_ten_minutes(world: World) -> None:
    """Not before; one that nobody read stays an hour."""
    await running(world)
    world.add_task("read", nodes={})
    world.add_task("unread", nodes={})
    for name in ("read", "unread"):
        await ended(world, name)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.kube.annotate("read", namespace=NAMESPACE, kind=Kind.TASK, **{ANNOTATION_READ_AT: stamp})
    world.epoch_offset = 590
    for name in ("read", "unread"):
        world.kube.annotate(name, namespace=NAMESPACE, kind=Kind.TASK, poke="1")
    await world.quiet()
    assert world.task("read") is not None
    world.epoch_offset = 610
    for name in ("read", "unread"):
        world.kube.annotate(name, namespace=NAMESPACE, kind=Kind.TASK, poke="2")
    await world.until(lambda: world.task("read") is None)
    assert world.task("unread") is not None
    world.epoch_offset = 3610
    world.kube.annotate("unread", namespace=NAMESPACE, kind=Kind.TASK, poke="3")
    await world.until(lambda: world.task("unread") is None)


async def test_what_was_cancelled_stays_without_a_ttl(world: World) -> None:
    """It is no query: as a Job, it goes when its maker says so."""
    await running(world)
    await submitted(world)
    world.add_task(cancelJob={"jobIds": ["101"]})
    await ended(world)
    world.epoch_offset = 100_000
    world.kube.annotate("ask", namespace=NAMESPACE, kind=Kind.TASK, poke="1")
    await world.quiet()
    assert world.task() is not None


async def test_reconciling_again_writes_nothing(world: World) -> None:
    """A finished Task is at rest, also for another operator."""
    await running(world)
    world.add_task(nodes={})
    await ended(world)
    writes = len(world.kube.status_writes)
    world.kube.annotate("ask", namespace=NAMESPACE, kind=Kind.TASK, poke="1")
    await world.quiet()
    await world.operators[0].kill()
    await world.operator()
    await world.quiet()
    assert len(world.kube.status_writes) == writes


async def test_those_that_were_read_make_room(world: World) -> None:
    """A user with many Tasks: those that were read half a minute ago go, so that polling for hours never comes to the quota."""
    await running(world)
    for number in range(110):
        world.add_task(f"poll-{number}", nodes={})
    for number in range(110):
        await ended(world, f"poll-{number}")
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in range(50):
        world.kube.annotate(f"poll-{number}", namespace=NAMESPACE, kind=Kind.TASK, **{ANNOTATION_READ_AT: stamp})
    await world.quiet()
    assert world.task("poll-0") is not None
    world.epoch_offset = 35
    world.add_task("one-more", nodes={})
    await world.until(lambda: len(world.kube.listed(Kind.TASK)) <= 101)
    assert all(world.task(f"poll-{number}") is not None for number in range(50, 110))
