"""What a user sees of a Job: submitted, held, followed, cancelled, deleted."""

from __future__ import annotations

import asyncio

import pytest

from component.operator.fake_slurm import fails, output, says
from component.operator.world import Operator, World
from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    ConnectionRefused,
    DelegationUnavailable,
    Denied,
    DeniedForNow,
    LeaseNotHeld,
    LoginDenied,
    PolicyUnavailable,
    SystemUnreachable,
)
from goldcrest.wellknown import ANNOTATION_PAUSED, FINALIZER, Kind
from goldcrest_operator.controller import Key

pytestmark = pytest.mark.component


def condition(world: World, type_: str) -> tuple[str, str]:
    job = world.job()
    assert job is not None
    found = next(item for item in job.status.conditions if item.type == type_)
    return found.status, found.reason


@pytest.mark.parametrize("observer", [None, "watcher"])
async def test_runs_to_its_end(world: World, observer: str | None) -> None:
    """A Job is submitted, followed and Succeeded, with id, files, exit code and events; with an observer account and without."""
    world.add_system(**({"observer": observer} if observer else {}))
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    job = world.job()
    assert job is not None
    status = job.status
    assert (status.job_id, status.exit_code, status.signal, status.node_list) == ("101", 0, 0, "n1")
    assert status.files is not None
    assert status.files.stdout == "/scratch/x/slurm-101.out"
    assert status.submission is not None
    assert status.submission.released
    assert status.end_time is not None
    assert condition(world, "Complete") == ("True", "Completed")
    await world.quiet()
    assert world.events() == ["Submitted", "Started", "Completed"]


async def test_costs_two_certificates_and_few_writes(world: World) -> None:
    """Beside the tracker's questions, a Job costs a submit and a release, and five writes of its status."""
    world.add_system(observer="watcher")
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    assert [op for op in world.slurm.calls if op not in ("slurm.queue", "slurm.describe", "slurm.usage")] == [
        "slurm.submit",
        "slurm.release",
    ]
    await world.until(lambda: (job := world.job()) is not None and job.status.usage is not None)
    phases = [raw["status"]["phase"] for raw in world.kube.status_writes]
    assert phases == ["Submitting", "Queued", "Running", "Succeeded", "Succeeded"]  # the last one with what it used


async def test_finished_is_not_written_again(world: World) -> None:
    """A new operator writes nothing to a finished Job."""
    world.add_system()
    world.add_job()
    first = await world.operator()
    await world.until(lambda: (job := world.job()) is not None and job.status.usage is not None)
    await first.kill()
    writes = len(world.kube.status_writes)
    await world.operator()
    await world.quiet()
    assert len(world.kube.status_writes) == writes


async def test_exit_code(world: World) -> None:
    """A script that fails makes the Job Failed, with the exit code."""
    world.add_system()
    world.slurm.ends_as = "FAILED"
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Failed")
    job = world.job()
    assert job is not None
    assert job.status.exit_code == 3
    assert job.status.message == "Job 101 has failed with exit code 3."
    assert condition(world, "Failed") == ("True", "NonZeroExit")


async def test_forgotten_by_the_controller(world: World) -> None:
    """A job that the controller has forgotten before it was seen to end is settled by accounting."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.phase() == "Queued" and world.slurm.jobs[101].held is False)
    job = world.slurm.jobs[101]
    job.started = job.ended = job.submitted
    job.state, job.in_controller = "TIMEOUT", False
    await world.until(lambda: world.phase() == "Failed")
    assert condition(world, "Failed") == ("True", "TimedOut")


async def test_nobody_knows_its_end(world: World) -> None:
    """While neither controller nor accounting know the end, Ready is Unknown; when accounting is back, the end is written."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.phase() == "Queued" and world.slurm.jobs[101].held is False)
    world.slurm.accounting_down = True
    job = world.slurm.jobs[101]
    job.started = job.ended = job.submitted
    job.state, job.in_controller = "COMPLETED", False
    await world.until(lambda: condition(world, "Ready") == ("Unknown", "SchedulerUnavailable"))
    world.slurm.accounting_down = False
    await world.until(lambda: world.phase() == "Succeeded")


async def test_refused_by_slurm(world: World) -> None:
    """What Slurm refuses is Failed, in Slurm's own words, in status and event."""
    world.add_system()
    words = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    world.slurm.faults["slurm.submit"] = [says(output(status=1, stderr=words))]
    world.add_job(partition="nonsense")
    await world.operator()
    await world.until(lambda: world.phase() == "Failed")
    assert condition(world, "Failed") == ("True", "RejectedByScheduler")
    job = world.job()
    assert job is not None
    assert job.status.message == "Slurm refused it: Batch job submission failed: Invalid partition name specified"
    await world.quiet()
    assert world.kube.events[-1]["message"] == job.status.message
    assert world.kube.events[-1]["type"] == "Warning"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CommandFailed("cannot make the directory", kind="os", errno_name="EDQUOT", path="/scratch"), "RejectedBySite"),
        (CommandFailed("the file at scriptPath has another digest", kind="state"), "RejectedBySite"),
        (CommandRefused("outside of the roots", reason="arguments"), "RejectedBySite"),
        (Denied("account closed"), "PolicyDenied"),
    ],
)
async def test_refused_for_good(world: World, error: Exception, reason: str) -> None:
    """A final no of node or policy fails the Job with its words."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [fails(error)] * 20
    world.add_job()
    operator = await world.operator()
    world.store_offset += 12  # past the time in which delegation may not know the System
    await world.until(lambda: world.phase() == "Failed")
    assert condition(world, "Failed") == ("True", reason)
    job = world.job()
    assert job is not None
    assert str(error.args[0]) in (job.status.message or "")
    assert not operator.dead
    assert not world.slurm.jobs


@pytest.mark.parametrize(
    ("error", "ready", "reason"),
    [
        (SystemUnreachable("no host answers"), "Unknown", "SystemUnreachable"),
        (ConnectionRefused("nothing listens at login1:2222"), "Unknown", "ConnectionRefused"),
        (LoginDenied("login1 refused the login of alice"), "Unknown", "LoginDenied"),
        (DelegationUnavailable("delegation does not answer"), "False", "DelegationUnavailable"),
        (LeaseNotHeld("nobody holds the Lease"), "False", "DelegationUnavailable"),
        (PolicyUnavailable("OPA does not answer"), "False", "PolicyUnavailable"),
        (DeniedForNow("maintenance of cluster until 2030-01-01T18:00:00Z: new disks"), "False", "DeniedForNow"),
        (CommandRefused("too much at once", reason="busy"), "Unknown", "SystemUnreachable"),
        (CommandFailed("Stale file handle", kind="os", errno_name="ESTALE"), "False", "SchedulerUnavailable"),
    ],
)
async def test_waits_visibly_and_goes_on(world: World, error: Exception, ready: str, reason: str) -> None:
    """What does not answer now is said in the status, once; the Job goes on by itself when it is back."""
    world.add_system()
    world.slurm.faults["slurm.submit"] = [fails(error)] * 8
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Submitting" and condition(world, "Ready") == (ready, reason))
    assert condition(world, "Reconciling")[0] == "True"
    await world.until(lambda: world.phase() == "Succeeded")
    reasons = [raw["status"]["conditions"][0]["reason"] for raw in world.kube.status_writes]
    assert reasons.count(reason) == 1
    assert len(world.slurm.jobs) == 1
    assert "slurm.find" not in world.slurm.calls
    assert "Delayed" in world.events()


async def test_a_maintenance_that_lasts_longer(world: World) -> None:
    """The Job shows the site's present message, also when it changes, on every condition that says why; it is never Failed."""
    world.add_system()
    first, second = "maintenance of cluster until 12:00: new disks", "maintenance of cluster until 18:00: new disks"
    world.slurm.faults["slurm.submit"] = [*[fails(DeniedForNow(first))] * 6, *[fails(DeniedForNow(second))] * 6]
    world.add_job()
    await world.operator()
    for message in (first, second):

        def shows(message: str = message) -> bool:
            job = world.job()
            return job is not None and job.status.message == message

        await world.until(shows)
        assert condition(world, "Reconciling") == ("True", "DeniedForNow")
        assert condition(world, "Stalled")[0] == "False"
    await world.until(lambda: world.phase() == "Succeeded")
    assert "Failed" not in {raw["status"].get("phase") for raw in world.kube.status_writes}
    assert len(world.slurm.jobs) == 1


async def test_slurm_away(world: World) -> None:
    """A controller that cannot be reached is waited for; the Job is not Failed."""
    world.add_system()
    words = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    world.slurm.faults["slurm.submit"] = [says(output(status=1, stderr=words))] * 8
    world.add_job()
    await world.operator()
    await world.until(
        lambda: condition(world, "Ready") == ("False", "SchedulerUnavailable") if world.phase() else False
    )
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1


async def test_system_unreachable_while_running(world: World) -> None:
    """A system that stops answering makes active Jobs Ready=Unknown, once, and never Failed."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    world.slurm.faults["slurm.queue"] = [fails(SystemUnreachable("no host answers"))] * 5
    await world.until(lambda: condition(world, "Ready") == ("Unknown", "SystemUnreachable"))
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")
    reasons = [raw["status"]["conditions"][0]["reason"] for raw in world.kube.status_writes]
    assert reasons.count("SystemUnreachable") == 1


async def test_no_such_system(world: World) -> None:
    """A Job for a System that does not exist says so, and runs when the System is made."""
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Pending")
    job = world.job()
    assert job is not None
    assert job.status.message == "There is no System 'cluster'."
    world.add_system()
    await world.until(lambda: world.phase() == "Succeeded")


async def test_suspended_before_submission(world: World) -> None:
    """suspend: true keeps a Job from being submitted; false submits it."""
    world.add_system()
    world.add_job(suspend=True)
    await world.operator()
    await world.until(lambda: world.phase() == "Suspended")
    await world.quiet()
    assert not world.slurm.jobs
    assert condition(world, "Suspended")[0] == "True"
    world.edit(suspend=False)
    await world.until(lambda: world.phase() == "Succeeded")
    await world.quiet()
    assert world.events() == ["Suspended", "Resumed", "Submitted", "Started", "Completed"]


async def test_suspended_while_waiting(world: World) -> None:
    """suspend: true holds a job that waits in the queue; false releases it."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    world.edit(suspend=True)
    await world.until(lambda: world.phase() == "Suspended" and world.slurm.jobs[101].held)
    world.edit(suspend=False)
    await world.until(lambda: world.phase() == "Queued" and not world.slurm.jobs[101].held)
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")


async def test_suspended_too_late(world: World) -> None:
    """suspend: true does not touch a job that runs."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    job = world.slurm.jobs[101]
    job.state, job.started = "RUNNING", job.submitted
    world.edit(suspend=True)
    await world.until(lambda: world.phase() == "Running")
    await world.quiet()
    assert world.slurm.calls.count("slurm.hold") <= 1
    world.slurm.frozen = False
    await world.until(lambda: world.phase() == "Succeeded")


async def test_cancelled_before_submission(world: World) -> None:
    """cancel: true before submission ends a Job at once; nothing is submitted."""
    world.add_system()
    world.add_job(cancel=True)
    await world.operator()
    await world.until(lambda: world.phase() == "Cancelled")
    assert not world.slurm.calls
    job = world.job()
    assert job is not None
    assert job.status.cancel_requested_at is not None


async def test_cancelled_while_running(world: World) -> None:
    """cancel: true cancels the job in Slurm; setting it back has no effect."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    world.slurm.faults["slurm.cancel"] = [fails(SystemUnreachable("no host answers"))]
    world.edit(cancel=True)
    await world.until(lambda: (job := world.job()) and job.status.cancel_requested_at)
    world.edit(cancel=False)
    await world.until(lambda: world.phase() == "Cancelled")
    assert world.slurm.jobs[101].state == "CANCELLED"
    await world.quiet()
    assert world.events()[-1] == "Cancelled"


async def test_deleted_while_running(world: World) -> None:
    """Deleting a Job cancels its job, and only then lets the resource go."""
    world.add_system()
    world.add_job()
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    world.slurm.faults["slurm.cancel"] = [fails(SystemUnreachable("no host answers"))] * 3
    await world.delete()
    await world.until(lambda: world.job() is None)
    assert world.slurm.jobs[101].state == "CANCELLED"


async def test_deleted_and_left_running(world: World) -> None:
    """With deletionPolicy Orphan only the resource goes."""
    world.add_system()
    world.add_job(deletionPolicy="Orphan")
    world.slurm.frozen = True
    await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    await world.delete()
    await world.until(lambda: world.job() is None)
    assert world.slurm.jobs[101].state == "PENDING"
    assert "slurm.cancel" not in world.slurm.calls


async def test_left_running_is_not_left_held(world: World) -> None:
    """Deleted with Orphan while the release does not get through: the resource stays until the job may start."""
    world.add_system()
    world.add_job(deletionPolicy="Orphan")
    world.slurm.faults["slurm.release"] = [fails(SystemUnreachable("no host answers"))] * 3
    await world.operator()
    await world.until(lambda: (job := world.job()) is not None and job.status.job_id)
    await world.delete()
    await world.until(lambda: world.job() is None)
    assert not world.slurm.jobs[101].held
    assert world.slurm.jobs[101].state != "CANCELLED"


async def test_deleted_at_its_time(world: World) -> None:
    """A finished Job with ttlSecondsAfterFinished is deleted; one without stays."""
    world.add_system()
    world.add_job(ttlSecondsAfterFinished=0)
    world.add_job("other")
    await world.operator()
    await world.until(lambda: world.job() is None)
    await world.until(lambda: world.phase("other") == "Succeeded")


async def test_paused(world: World) -> None:
    """The annotation paused keeps the operator's hands off, until it goes."""
    world.add_system()
    world.add_job()
    world.kube.annotate("hello", namespace="hpc-alice", **{ANNOTATION_PAUSED: "true"})
    await world.operator()
    await world.quiet()
    assert world.phase() is None
    world.kube.annotate("hello", namespace="hpc-alice", **{ANNOTATION_PAUSED: None})
    await world.until(lambda: world.phase() == "Succeeded")


async def test_edited_after_its_end(world: World) -> None:
    """An edit after the end is acknowledged in observedGeneration, so that `kubectl wait` believes the conditions; the state stays."""
    world.add_system()
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    world.edit(suspend=True)
    await world.until(lambda: (job := world.job()) and job.status.observed_generation == 2)
    assert world.phase() == "Succeeded"
    job = world.job()
    assert job is not None
    assert {item.observed_generation for item in job.status.conditions} == {2}


async def test_api_server_away(world: World) -> None:
    """An API server that is away for a while loses nothing."""
    world.add_system()
    world.add_job()
    operator = await world.operator()
    await world.until(lambda: world.slurm.jobs)
    world.kube.down = True
    await world.quiet()
    world.kube.down = False
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1
    assert not operator.dead


def message(world: World) -> str | None:
    job = world.job()
    return job.status.message if job else None


def health(world: World) -> str | None:
    """Ready of the System."""
    raw = world.kube.look(Kind.SYSTEM, "cluster")
    assert raw is not None
    return next((item["status"] for item in raw["status"].get("conditions", [])), None)


async def test_health_of_a_system(world: World) -> None:
    """A System's Ready follows its login hosts; transitions are written, nothing else."""
    world.add_system()

    await world.operator()
    await world.until(lambda: health(world) == "True")
    version = world.kube.look(Kind.SYSTEM, "cluster")["metadata"]["resourceVersion"]  # type: ignore[index]
    await world.quiet()
    assert world.kube.look(Kind.SYSTEM, "cluster")["metadata"]["resourceVersion"] == version  # type: ignore[index]
    world.system_down = True
    await world.until(lambda: health(world) == "False")
    world.system_down = False
    await world.until(lambda: health(world) == "True")


async def test_health_of_a_system_that_a_job_had_read_first(world: World) -> None:
    """After a start, Jobs may come before Systems and have theirs read: when the watch brings it, it is looked at all the same."""
    world.add_system()
    world.add_job()
    operator = await world.operator(systems_late=True)
    await world.until(lambda: world.phase() == "Succeeded")
    assert health(world) is None
    operator.list_systems()
    await world.until(lambda: health(world) == "True")


async def seldom_looked_at(world: World) -> Operator:
    """A System that is well, and is looked at again in an hour."""
    world.add_system()
    operator = await world.operator()
    operator.systems._probe_seconds = 3600
    await world.until(lambda: health(world) == "True")
    return operator


async def test_a_system_made_again_is_looked_at_at_once(world: World) -> None:
    """It has the name and generation of another that was looked at a moment ago, and is another."""
    await seldom_looked_at(world)
    await world.kube.delete(Kind.SYSTEM, "cluster")
    world.add_system()
    await world.until(lambda: health(world) == "True")


async def test_a_health_that_could_not_be_written(world: World) -> None:
    """What was seen while the API server was away is seen and written when it is back, not an hour later."""
    operator = await seldom_looked_at(world)
    world.system_down, world.kube.down = True, True
    operator.systems._probed.clear()
    operator.queue.add(Key(Kind.SYSTEM, "cluster"))
    await world.quiet()
    assert health(world) == "True"
    world.kube.down = False
    await world.until(lambda: health(world) == "False")


async def test_a_system_that_one_job_read_wakes_the_others(world: World) -> None:
    """Jobs wait for a System; another Job has it read before the watch brings it: they go on all the same."""
    world.system_down = True  # a look that finds it well would wake them, too
    world.add_job()
    operator = await world.operator()
    await world.until(lambda: message(world) == "There is no System 'cluster'.")
    listeners, world.kube.listeners = world.kube.listeners, []
    world.add_system()
    world.kube.listeners = listeners
    world.add_job("second")
    await world.until(lambda: world.phase("second") == "Succeeded")
    assert world.phase() == "Pending"
    operator.list_systems()
    await world.until(lambda: world.phase() == "Succeeded")


async def test_a_deleted_job_is_forgotten(world: World) -> None:
    """The watch tells of its end before the answer to our own last write comes: that does not bring it back."""
    world.add_system(observer="watcher")
    world.slurm.frozen = True
    world.add_job()
    operator = await world.operator()
    await world.until(lambda: world.slurm.jobs and not world.slurm.jobs[101].held)
    await world.delete()
    await world.until(lambda: world.job() is None)
    await world.quiet()
    assert (operator.store.job_count, operator.store.followed_count) == (0, 0)


async def test_without_a_fence_a_job_is_looked_for_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing releases it, so its submission alone makes the look at the queue due, which may have been at rest."""
    world.add_system(observer="watcher", submitFence="None")
    operator = await world.operator()
    hurried: list[bool] = []
    follow = operator.tracker.follow

    def noted(system: str, user: str, *, hurry: bool) -> None:
        hurried.append(hurry)
        follow(system, user, hurry=hurry)

    monkeypatch.setattr(operator.tracker, "follow", noted)
    world.add_job()
    await world.until(lambda: world.phase() == "Succeeded")
    assert hurried.count(True) == 1


async def test_a_wait_that_was_cancelled_ends_no_worker(world: World) -> None:
    """Something that a worker waited for was cancelled by others: the worker goes on, and the Job is tried again."""
    world.add_system()

    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    world.slurm.faults["slurm.submit"] = [cancelled] * 6  # more than there are workers
    world.add_job()
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    assert len(world.slurm.jobs) == 1


async def test_status_of_a_newer_release(world: World) -> None:
    """A Job whose state is not understood is left alone, an event says why, and it goes on when it is understood."""
    world.add_system()
    world.slurm.frozen = True
    raw = world.add_job()
    understood = {**raw, "status": {}}
    await world.kube.replace_status(Kind.JOB, raw, {"phase": "Migrating"})
    await world.operator()
    await world.until(lambda: "Delayed" in world.events())
    assert world.kube.events[-1]["message"].startswith("Left alone, because this release does not understand")
    assert not world.slurm.jobs
    latest = world.kube.look(Kind.JOB, "hello", namespace="hpc-alice")
    assert latest is not None
    await world.kube.replace_status(Kind.JOB, latest, understood["status"])
    await world.until(lambda: world.phase() == "Queued")


async def test_foreign_finalizers_stay(world: World) -> None:
    """Only our own finalizer is removed."""
    world.add_system()
    spec = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}}
    world.kube.create(Kind.JOB, "hello", spec, namespace="hpc-alice", finalizers=["example.org/other", FINALIZER])
    await world.operator()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.delete()
    await world.until(lambda: (job := world.job()) and job.finalizers == ("example.org/other",))
