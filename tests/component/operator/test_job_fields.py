"""What a user sees of a Job that names others, a ConfigMap or its run, and of what Slurm does to it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from component.operator.fake_slurm import fails, lost_after, output, says
from component.operator.world import NAMESPACE, World
from goldcrest.errors import SystemUnreachable
from goldcrest.models.job import JobStatus
from goldcrest.wellknown import ANNOTATION_PAUSED, ANNOTATION_RECONCILE
from goldcrest_operator.reconcile.statuses import reason_of

pytestmark = pytest.mark.component

SCRIPT = "#!/bin/sh\nhostname\n"
DIGEST = hashlib.sha256(SCRIPT.encode()).hexdigest()
FROM_CONFIG_MAP = {"script": {"configMap": {"name": "build", "key": "run.sh"}}, "scriptSha256": DIGEST}


def status(world: World, name: str = "hello") -> JobStatus:
    job = world.job(name)
    assert job is not None
    return job.status


def reason(world: World, name: str = "hello") -> str:
    found = reason_of(status(world, name))
    return found.value if found is not None else ""


def named(*names: str, type_: str = "afterok") -> dict[str, Any]:
    return {"dependencies": [{"type": type_, "name": name} for name in names]}


# ---- scripts in ConfigMaps ----


async def test_a_script_of_a_config_map_runs(world: World) -> None:
    """As an inline one."""
    world.add_system()
    world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": SCRIPT})
    world.add_job(**FROM_CONFIG_MAP)
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")


async def test_other_bytes_are_refused(world: World) -> None:
    """Nothing is submitted, and the Job says what to do; an event too."""
    world.add_system()
    world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": SCRIPT + "rm -rf /\n"})
    world.add_job(**FROM_CONFIG_MAP)
    await world.operator()
    await world.until(lambda: world.phase() == "Failed")
    assert reason(world) == "ScriptChanged"
    assert "key run.sh of ConfigMap build has other bytes" in (status(world).message or "")
    assert "make a new gjob" in (status(world).message or "")
    await world.until(lambda: world.events() == ["Failed"])
    assert world.slurm.calls == []


async def test_changed_while_it_is_submitted(world: World) -> None:
    """A change between the first look and the signature: delegation refuses, nothing runs, and the Job says so in the end."""
    world.add_system()
    world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": SCRIPT})

    async def swapped(effect: Any) -> dict[str, Any]:
        world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": "#!/bin/sh\nid\n"})
        raise SystemUnreachable("no host answers")

    world.slurm.faults["slurm.submit"] = [swapped]
    world.add_job(**FROM_CONFIG_MAP)
    await world.operator()
    await world.until(lambda: world.phase() == "Failed")
    assert reason(world) == "ScriptChanged"
    assert world.slurm.jobs == {}


async def test_a_config_map_that_is_gone_is_waited_for(world: World) -> None:
    """Stalled with the sentence; it goes on when it is back. A cancel needs none."""
    world.add_system()
    world.add_job(**FROM_CONFIG_MAP)
    await world.operator()
    await world.until(lambda: reason(world) == "ScriptChanged")
    assert "there is no ConfigMap build" in (status(world).message or "")
    assert world.phase() == "Pending"
    world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": SCRIPT})
    await world.until(lambda: world.phase() == "Succeeded")
    world.kube.remove_config_map(NAMESPACE, "build")
    world.add_job("other", **FROM_CONFIG_MAP)
    await world.until(lambda: world.phase("other") == "Pending")
    world.edit("other", cancel=True)
    await world.until(lambda: world.phase("other") == "Cancelled")


# ---- dependencies on gjobs ----


async def test_one_after_the_other(world: World) -> None:
    """Made in the wrong order, not yet submitted, then submitted with the id: each runs once, in order."""
    world.add_system()
    world.add_job("second", **named("first"))
    await world.operator()
    await world.until(lambda: reason(world, "second") == "WaitingForDependency")
    world.slurm.frozen = True
    world.add_job("first")
    await world.until(lambda: world.phase("second") == "Queued")
    (record,) = status(world, "second").dependencies
    first = world.job("first")
    assert first is not None
    assert (record.state, record.uid, record.job_id) == ("Submitted", first.uid, first.status.job_id)
    job_id = status(world, "second").job_id
    assert job_id is not None
    assert world.slurm.jobs[int(job_id)].dependency == f"afterok:{first.status.job_id}"
    world.slurm.frozen = False
    await world.until(lambda: world.phase("second") == "Succeeded")
    assert len(world.slurm.jobs) == 2


async def test_finished_long_ago(world: World) -> None:
    """Slurm has forgotten the id: the gjob's own status counts, and no option is needed."""
    world.add_system()
    world.add_job("first")
    await world.operator()
    await world.until(lambda: world.phase("first") == "Succeeded")
    world.slurm.jobs[101].in_controller = False
    world.add_job("second", **named("first"))
    await world.until(lambda: world.phase("second") == "Succeeded")
    assert world.slurm.jobs[102].dependency == ""
    assert status(world, "second").dependencies[0].state == "Met"


async def test_failed_before_and_failed_after(world: World) -> None:
    """Stalled with DependencyFailed, whether it failed before this one was submitted or while Slurm waited for it."""
    world.add_system()
    world.slurm.ends_as = "FAILED"
    world.slurm.frozen = True
    world.add_job("first")
    world.add_job("waits-in-slurm", **named("first"))
    await world.operator()
    await world.until(lambda: world.phase("waits-in-slurm") == "Queued")
    world.slurm.frozen = False
    await world.until(lambda: world.phase("first") == "Failed")
    await world.until(lambda: reason(world, "waits-in-slurm") == "DependencyFailed")
    world.add_job("comes-later", **named("first"))
    await world.until(lambda: reason(world, "comes-later") == "DependencyFailed")
    for name in ("waits-in-slurm", "comes-later"):
        stalled = next(c for c in status(world, name).conditions if c.type == "Stalled")
        assert (stalled.status, stalled.reason) == ("True", "DependencyFailed")
    assert "gjob first has ended as Failed" in (status(world, "comes-later").message or "")
    assert len(world.slurm.jobs) == 2
    await world.until(lambda: status(world, "first").usage is not None)
    writes = len(world.kube.status_writes)
    await world.quiet()
    assert len(world.kube.status_writes) == writes
    world.edit("comes-later", cancel=True)  # it can still be got rid of
    await world.until(lambda: world.phase("comes-later") == "Cancelled")


async def test_a_circle(world: World) -> None:
    """Found, said with its way, and nothing is submitted."""
    world.add_system()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        world.add_job(name, **named(other))
    await world.operator()
    await world.until(lambda: all(reason(world, name) == "DependencyFailed" for name in "abc"))
    assert "it depends on itself: " in " ".join(status(world, name).message or "" for name in "abc")
    assert world.slurm.calls == []


async def test_lost_answers_with_dependencies(world: World) -> None:
    """An sbatch whose answer was lost, while the dependency ends: one job."""
    world.add_system()
    world.slurm.frozen = True
    world.add_job("first")
    await world.operator()
    await world.until(lambda: world.phase("first") == "Queued")
    world.slurm.faults["slurm.submit"] = [lost_after]
    world.add_job("second", **named("first"))
    await world.until(lambda: world.phase("second") == "Queued")
    world.slurm.frozen = False
    await world.until(lambda: world.phase("second") == "Succeeded")
    assert len(world.slurm.jobs) == 2


# ---- runKey ----


async def test_a_run_is_adopted(world: World) -> None:
    """Deleted and made again with the same key, also by another name: the earlier run's result, and no second run."""
    world.add_system()
    world.slurm.ends_as = "FAILED"
    world.add_job(runKey="nightly-7", deletionPolicy="Orphan")
    await world.operator()
    await world.until(lambda: world.phase() == "Failed")
    await world.delete()
    await world.until(lambda: world.job() is None)
    world.slurm.marks.clear()  # a scratch that is cleaned up
    world.add_job("again", runKey="nightly-7")
    await world.until(lambda: world.phase("again") == "Failed")
    assert (status(world, "again").job_id, status(world, "again").exit_code) == ("101", 3)
    assert list(world.slurm.jobs) == [101]
    assert "Adopted" in world.events()
    world.add_job("another", runKey="nightly-8")
    await world.until(lambda: world.phase("another") == "Failed")
    assert list(world.slurm.jobs) == [101, 102]


async def test_two_with_one_key_at_once(world: World) -> None:
    """They share one run; neither sweeps the other's."""
    world.add_system()
    world.add_job("one", runKey="k")
    world.add_job("two", runKey="k")
    await world.operator()
    await world.until(lambda: world.phase("one") == world.phase("two") == "Succeeded")
    assert status(world, "one").job_id == status(world, "two").job_id
    assert sum(job.ran for job in world.slurm.jobs.values()) == 1


async def test_a_run_that_slurm_has_forgotten(world: World) -> None:
    """The node remembers that it was begun: it is not run again, and the Job says what to do."""
    world.add_system()
    world.add_job(runKey="k")
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.delete()
    await world.until(lambda: world.job() is None)
    world.slurm.jobs.clear()
    world.add_job("again", runKey="k")
    await world.until(lambda: "slurm.submit" in world.slurm.calls[3:])
    for number in range(40):
        world.epoch_offset += 10
        world.kube.annotate("again", namespace=NAMESPACE, **{ANNOTATION_RECONCILE: str(number)})
        await world.quiet()
        if reason(world, "again") == "SubmissionAmbiguous":
            break
    assert "make a gjob with another runKey" in (status(world, "again").message or "")
    assert world.slurm.jobs == {}


async def test_accounting_is_asked_before_a_run_is_begun(world: World) -> None:
    """While it does not answer nobody knows whether there was one: nothing is submitted."""
    world.add_system()
    world.slurm.accounting_down = True
    world.add_job(runKey="k")
    await world.operator()
    await world.until(lambda: reason(world) == "SchedulerUnavailable")
    await world.quiet()
    assert world.slurm.jobs == {}
    world.slurm.accounting_down = False
    await world.until(lambda: world.phase() == "Succeeded")


# ---- what Slurm does ----


async def test_granted_otherwise(world: World) -> None:
    """A site that rewrites jobs: what was asked stands beside what was given, and an event says it once."""
    world.add_system()
    world.add_job(partition="debug", timeLimit="5")
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    asked, granted = status(world).asked, status(world).granted
    assert asked is not None
    assert granted is not None
    assert asked.dump() == {"partition": "debug", "timeLimit": "5"}
    assert granted.dump() == {"account": "physics", "partition": "normal", "qos": "normal", "timeLimit": "00:10:00"}
    told = [event["message"] for event in world.kube.events if event["reason"] == "GrantedOtherwise"]
    assert told == ["The site gave partition normal instead of debug, a time limit of 00:10:00 instead of 5."]


async def test_lines_that_do_not_count(world: World) -> None:
    """Through REST nobody sees kubectl's warnings: status and event say it."""
    world.add_system()
    world.add_job(script={"inline": "#!/bin/sh\n#SBATCH --time=5\n"}, timeLimit="10")
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    sentence = "line 2 of the script: --time is not used, because spec.timeLimit says something else"
    assert status(world).overridden == [sentence]
    assert [event["message"] for event in world.kube.events if event["reason"] == "Overridden"] == [f"{sentence}."]


async def test_requeued(world: World) -> None:
    """Counted, told in the past tense, and it ends well the second time."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    world.slurm.jobs[101].state, world.slurm.jobs[101].started = "RUNNING", 1.0
    await world.until(lambda: world.phase() == "Running")
    world.slurm.requeue(101)
    await world.until(lambda: world.phase() == "Queued")
    assert status(world).requeues == 1
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")
    assert status(world).requeues == 1
    assert world.events().count("Requeued") == 1


@pytest.mark.parametrize("observer", [None, "watcher"])
async def test_what_it_used(world: World, observer: str | None) -> None:
    """Some time after the end, once; with an observer and without. Nothing waits for it."""
    world.add_system(**({"observer": observer} if observer else {}))
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.until(lambda: status(world).usage is not None)
    usage = status(world).usage
    assert usage is not None
    assert usage.dump() == {"cpuSeconds": 2, "maxRssBytes": 2 * 2**20}
    writes = len(world.kube.status_writes)
    await world.quiet()
    assert len(world.kube.status_writes) == writes


async def test_what_it_used_is_asked_by_a_successor(world: World) -> None:
    """An operator that saw the end, and died before accounting knew more, is followed by one that asks."""
    world.add_system()
    world.add_job()
    world.slurm.faults["slurm.usage"] = [says(output())] * 2
    first = await world.operator()
    await world.until(lambda: world.slurm.calls.count("slurm.usage") == 2)
    await world.quiet()
    await first.kill()
    assert (world.phase(), status(world).usage) == ("Succeeded", None)
    await world.operator()
    await world.until(lambda: status(world).usage is not None)


async def test_a_site_that_does_not_say_what_was_used(world: World) -> None:
    """Accounting that fails, or a filter of before: the Job has ended all the same, and nobody is asked again and again."""
    world.add_system()
    world.slurm.faults["slurm.usage"] = [says(output(status=1, stderr="sacct: error: no accounting"))] * 3
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert world.slurm.calls.count("slurm.usage") == 1
    assert status(world).usage is None


# ---- being asked to look again, and to leave it alone ----


async def test_look_again_now(world: World) -> None:
    """The annotation reconcile-requested-at ends a pause after failures, and a hold that came too late is tried again."""
    world.add_system()
    operator = await world.operator()
    operator.jobs._seldom_seconds = 3600
    world.slurm.faults["slurm.release"] = [fails(SystemUnreachable("no host"))]
    world.add_job(**FROM_CONFIG_MAP)
    await world.until(lambda: reason(world) == "ScriptChanged")
    world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": SCRIPT})
    await world.quiet()
    assert world.phase() == "Pending"  # it would be looked at in an hour
    world.kube.annotate("hello", namespace=NAMESPACE, **{ANNOTATION_RECONCILE: "2030-01-01T00:00:00Z"})
    await world.until(lambda: world.phase() == "Succeeded")


async def test_look_again_whoever_brings_it(world: World) -> None:
    """The annotation comes with what the operator read itself; the watch, which brings the same version later, has no news."""
    world.add_system()
    operator = await world.operator()
    operator.jobs._seldom_seconds = 3600
    world.add_job(**FROM_CONFIG_MAP)
    await world.until(lambda: reason(world) == "ScriptChanged")
    world.kube.put_config_map(NAMESPACE, "build", **{"run.sh": SCRIPT})
    listeners, world.kube.listeners = world.kube.listeners, []
    raw = world.kube.annotate("hello", namespace=NAMESPACE, **{ANNOTATION_RECONCILE: "2030-01-01T00:00:00Z"})
    world.kube.listeners = listeners
    assert operator.store.update_job(raw)
    await world.until(lambda: world.phase() == "Succeeded")


async def test_paused_is_left_alone(world: World) -> None:
    """Nothing is written or done; when the annotation goes, it goes on."""
    world.add_system()
    world.add_job(**named("first"))
    world.kube.annotate("hello", namespace=NAMESPACE, **{ANNOTATION_PAUSED: "true"})
    await world.operator()
    world.add_job("first")
    await world.until(lambda: world.phase("first") == "Succeeded")
    await world.quiet()
    assert world.phase() is None
    world.kube.annotate("hello", namespace=NAMESPACE, **{ANNOTATION_PAUSED: None})
    await world.until(lambda: world.phase() == "Succeeded")
