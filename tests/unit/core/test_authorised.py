"""Which commands follow from a Job: the function that operator and delegation share."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.authorised import (
    authorised_commands,
    containment_commands,
    observer_commands_allow,
    script_bytes,
    submit_command,
    token_of,
)
from goldcrest.commands import Account, Cancel, Command, Describe, Find, Hold, Queue, Release, Submit
from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource, JobSpec
from goldcrest.models.system import SystemSpec
from goldcrest.wellknown import Phase

pytestmark = pytest.mark.unit

CLUSTER = "12345678-aaaa-bbbb-cccc-1234567890ab"
UID = "01234567-89ab-cdef-0123-456789abcdef"
TOKEN = "goldcrest:12345678:0123456789abcdef0123456789abcdef"
SYSTEM = SystemSpec.model_validate(
    {
        "hosts": [{"address": "login1", "port": 2222}],
        "filterPath": "/usr/libexec/goldcrest/ssh-filter",
        "scheduler": {"type": "Slurm"},
        "workDirectory": "/scratch/{user}",
    }
)


def job(*, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **meta: Any) -> JobResource:
    return JobResource.of(
        {
            "metadata": {
                "name": "hello",
                "namespace": "hpc-alice",
                "uid": UID,
                "resourceVersion": "1",
                "creationTimestamp": "2030-01-01T00:00:00Z",
                **meta,
            },
            "spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh\n"}, **(spec or {})},
            "status": status or {},
        }
    )


def commands(resource: JobResource) -> list[Command]:
    return list(authorised_commands(resource, SYSTEM, cluster_id=CLUSTER))


def kinds(resource: JobResource) -> set[type[Command]]:
    return {type(command) for command in commands(resource)}


DELETED = {"deletionTimestamp": "2030-01-01T00:00:01Z"}


def test_a_new_job_may_be_looked_for_and_submitted() -> None:
    """Nothing else: no release, no cancel."""
    assert kinds(job()) == {Find, Submit}


@pytest.mark.parametrize("spec", [{"suspend": True}, {"cancel": True}])
def test_no_submission_while_suspended_or_cancelled(spec: dict[str, Any]) -> None:
    """T8: submit only when neither suspend, cancel nor deletion is set."""
    assert Submit not in kinds(job(spec=spec))


def test_no_submission_while_being_deleted() -> None:
    """T8."""
    assert kinds(job(**DELETED)) == {Find, Cancel}


def test_an_orphan_may_be_released() -> None:
    """A Job that is deleted with Orphan may still be released, so that it is not held for ever; not when suspended or cancelled."""
    status = {"jobId": "12", "phase": "Queued"}
    orphan = {"deletionPolicy": "Orphan"}
    assert Release(TOKEN, "12") in commands(job(spec=orphan, status=status, **DELETED))
    assert Cancel(TOKEN) not in commands(job(spec=orphan, status=status, **DELETED))
    for unwanted in ({"suspend": True}, {"cancel": True}):
        assert Release not in kinds(job(spec={**orphan, **unwanted}, status=status, **DELETED))
    assert Release not in kinds(job(status=status, **DELETED))
    assert Release not in kinds(job(spec=orphan, status={"jobId": "12", "phase": "Succeeded"}, **DELETED))
    assert not {Submit, Release} & kinds(job(spec=orphan, **DELETED))


def test_the_latch_counts_although_cancel_was_set_back() -> None:
    """status.cancelRequestedAt is what decides."""
    assert Submit not in kinds(job(spec={"cancel": False}, status={"cancelRequestedAt": "2030-01-01T00:00:00Z"}))


def test_a_submitted_job_is_released_followed_and_swept() -> None:
    """Commands that change something name the token; the sweep keeps the stored id."""
    assert commands(job(status={"phase": "Queued", "jobId": "7"})) == [
        Cancel(TOKEN, keep=("7",)),
        Release(TOKEN, "7"),
        Queue("own"),
        Describe(("7",)),
        Account("own", ("7",)),
    ]


def test_suspending_a_submitted_job_holds_it() -> None:
    """Hold instead of release."""
    made = kinds(job(spec={"suspend": True}, status={"phase": "Queued", "jobId": "7"}))
    assert Hold in made
    assert Release not in made


def test_cancelling_names_the_token_and_never_an_id() -> None:
    """A stolen operator that writes another id into the status cannot cancel that job."""
    made = commands(job(spec={"cancel": True}, status={"phase": "Running", "jobId": "7"}))
    assert Cancel(TOKEN) in made
    assert Release not in {type(command) for command in made}


def test_an_orphaned_job_is_not_cancelled() -> None:
    """deletionPolicy Orphan leaves it running."""
    made = commands(job(spec={"deletionPolicy": "Orphan"}, status={"phase": "Running", "jobId": "7"}, **DELETED))
    assert Cancel(TOKEN) not in made


def test_a_finished_job_may_only_be_swept() -> None:
    """No way to submit again or to touch anything else."""
    assert commands(job(status={"phase": "Succeeded", "jobId": "7"})) == [Cancel(TOKEN, keep=("7",))]
    assert commands(job(status={"phase": "Failed"})) == []


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "suspend": st.booleans(),
            "cancel": st.booleans(),
            "deletionPolicy": st.sampled_from(["Cancel", "Orphan"]),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "phase": st.sampled_from([str(phase) for phase in Phase]),
            "jobId": st.just("7"),
            "cancelRequestedAt": st.just("2030-01-01T00:00:00Z"),
        },
    ),
    st.booleans(),
)
def test_in_every_state(spec: dict[str, Any], status: dict[str, Any], deleted: bool) -> None:
    """Total; never submits with an id, when finished or when it is to end; changes carry this submission's token."""
    resource = job(spec=spec, status=status, **(DELETED if deleted else {}))
    made = commands(resource)
    finished = status.get("phase") in {"Succeeded", "Failed", "Cancelled"}
    if "jobId" in status or finished or deleted or spec.get("cancel") or spec.get("suspend"):
        assert Submit not in {type(command) for command in made}
    for command in made:
        if isinstance(command, Submit | Find | Release | Hold | Cancel):
            assert command.token == TOKEN
        assert not observer_commands_allow(command) or isinstance(command, Describe)
    assert {job_id for command in made for job_id in _ids(command)} <= {status.get("jobId")}
    assert made == commands(resource)


def _ids(command: Command) -> tuple[str, ...]:
    """Jobs that a command names."""
    match command:
        case Release() | Hold():
            return (command.job_id,)
        case Describe() | Account():
            return command.job_ids
        case Cancel():
            return command.keep
    return ()


_LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(["#SBATCH --time=5", "#SBATCH -n 2", "#SBATCH --hold", "#SBATCH --uid=0", "#SBATCH", "true"]),
        st.text(max_size=20).map("#SBATCH --{}".format),
    ),
    min_size=1,
    max_size=6,
)


@given(
    st.one_of(
        _LINES.map("\n".join).filter(bool).map(lambda text: {"inline": text}),
        st.text("AZaz09+/=", min_size=1, max_size=40).map(lambda text: {"base64": text}),
        st.just({"path": "/scratch/alice/x"}),
        st.just({"path": "/scratch/alice/x", "sha256": "0" * 64}),
        st.just({}),
    ),
    st.dictionaries(st.sampled_from(["A", "PATH", "SLURM_CONF"]), st.text(max_size=20), max_size=2),
)
def test_every_spec_has_an_answer(script: dict[str, Any], environment: dict[str, str]) -> None:
    """Whatever the schema lets through: commands, or InvalidInput; a submission, and that same one for who knows that it may be repeated."""
    try:
        resource = job(spec={"script": script, "environment": environment})
    except InvalidInput:
        return  # the schema says no
    try:
        made = commands(resource)
    except InvalidInput:
        return
    submissions = [command for command in made if isinstance(command, Submit)]
    assert [command.again for command in submissions] == [False, True]
    assert submissions[0] == dataclasses.replace(submissions[1], again=False)


@given(st.text(max_size=40), st.lists(st.text(max_size=20), max_size=3))
def test_who_asked_changes_nothing(username: str, groups: list[str]) -> None:
    """What may be run follows from what was asked for, never from a name."""
    asked = job(spec={"requestedBy": {"via": "Kubernetes", "username": username, "groups": groups}})
    assert commands(asked) == commands(job())


def contained(resource: JobResource) -> list[Command]:
    return list(containment_commands(resource, cluster_id=CLUSTER))


def test_containment_holds_and_cancels() -> None:
    """Of a blocked user's Job: nothing before it is submitted, hold and sweep after, cancel when it is to end; after the end only
    the sweep. A script of which no command can be made does not matter."""
    submitted = {"phase": "Queued", "jobId": "7"}
    assert contained(job()) == []
    assert contained(job(status=submitted)) == [Cancel(TOKEN, keep=("7",)), Hold(TOKEN, "7")]
    assert Cancel(TOKEN) in contained(job(spec={"cancel": True}, status=submitted))
    assert Cancel(TOKEN) in contained(job(status=submitted, **DELETED))
    assert Cancel(TOKEN) not in contained(job(spec={"deletionPolicy": "Orphan"}, status=submitted, **DELETED))
    assert contained(job(status={"phase": "Succeeded", "jobId": "7"})) == [Cancel(TOKEN, keep=("7",))]
    assert contained(job(spec={"script": {}}, status=submitted))


@given(
    st.fixed_dictionaries(
        {}, optional={"suspend": st.booleans(), "cancel": st.booleans(), "deletionPolicy": st.just("Orphan")}
    ),
    st.fixed_dictionaries(
        {}, optional={"phase": st.sampled_from([str(phase) for phase in Phase]), "jobId": st.just("7")}
    ),
    st.booleans(),
)
def test_containment_only_makes_less_run(spec: dict[str, Any], status: dict[str, Any], deleted: bool) -> None:
    """In every state: holds and cancels with this submission's token, and no cancel that would not be authorised anyway."""
    resource = job(spec=spec, status=status, **(DELETED if deleted else {}))
    made = contained(resource)
    assert {type(command) for command in made} <= {Hold, Cancel}
    assert all(command.token == TOKEN for command in made if isinstance(command, Hold | Cancel))
    assert [command for command in made if isinstance(command, Cancel)] == [
        command for command in commands(resource) if isinstance(command, Cancel)
    ]


def test_the_token_of_a_rest_job_is_its_task_id() -> None:
    """Made again with the same grant it has the same token, so it is found instead of run twice."""
    resource = job(name="r-" + "0f" * 16, spec={"requestedBy": {"via": "Grant", "username": "alice"}})
    assert token_of(resource, cluster_id=CLUSTER) == "goldcrest:12345678:" + "0f" * 16


def test_a_kubernetes_user_cannot_choose_the_token_by_a_name() -> None:
    """A name that looks like REST's counts only when the grant made it."""
    resource = job(name="r-" + "0f" * 16, spec={"requestedBy": {"via": "Kubernetes", "username": "alice"}})
    assert token_of(resource, cluster_id=CLUSTER) == TOKEN


def test_the_submission_is_held_and_in_a_directory_of_its_own() -> None:
    """T10: hold; no colon in the directory, which would break PATH-like variables in scripts."""
    command = submit_command(job(), SYSTEM, token=TOKEN)
    assert command.hold
    assert command.job_directory == "/scratch/alice/goldcrest/goldcrest-12345678-0123456789abcdef0123456789abcdef"
    assert command.work_directory == command.job_directory


def test_the_submission_carries_what_the_script_says() -> None:
    """T9: lines of the script become signed options, and the directory that they name; a forbidden one makes no command."""
    script = "#!/bin/sh\n#SBATCH --time=5 -D /scratch/x\n#SBATCH --gres=gpu:1\n"
    command = submit_command(job(spec={"script": {"inline": script}, "tasks": 2}), SYSTEM, token=TOKEN)
    assert command.options.dump() == {"timeLimit": "5", "gres": "gpu:1", "tasks": 2}
    assert command.work_directory == "/scratch/x"
    with pytest.raises(InvalidInput, match="line 2 of the script"):
        commands(job(spec={"script": {"inline": "#!/bin/sh\n#SBATCH --uid=0\n"}}))


@pytest.mark.parametrize(
    "script", [{}, {"inline": "a", "path": "/b", "sha256": "0" * 64}, {"path": "/b"}, {"base64": "a==="}]
)
def test_a_script_that_is_none_is_refused(script: dict[str, str]) -> None:
    """None, two at once, a path without digest, and base64 that is none."""
    spec = parse_model(JobSpec, {"system": "s", "runAs": "u", "script": script}, what="spec")
    with pytest.raises(InvalidInput):
        script_bytes(spec)
