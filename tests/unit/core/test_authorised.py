"""Which commands follow from a Job: the function that operator and delegation share."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from goldcrest.authorised import (
    authorised_commands,
    containment_commands,
    observer_commands_allow,
    script_bytes,
    submit_command,
    token_of,
    wants_cancel,
)
from goldcrest.canonical import canonical, sha256_hex
from goldcrest.commands import (
    Account,
    Cancel,
    Command,
    Describe,
    Find,
    Hold,
    JobUsage,
    ListJobs,
    ListReservations,
    Queue,
    ReadFile,
    Release,
    StatFile,
    Submit,
    command_from,
)
from goldcrest.commands.base import check_token
from goldcrest.commands.cluster import on_cluster
from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobResource, JobSpec, RequestedBy
from goldcrest.models.system import SystemSpec
from goldcrest.scripts import ScriptChanged
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


def test_a_submission_may_be_repeated_behind_its_intent() -> None:
    """Where an intent is stored, also past what the node remembers."""
    plain = commands(job())
    status = {"phase": "Submitting", "submission": {"token": TOKEN, "time": "2030-01-01T00:00:00Z"}}
    submit = next(command for command in plain if isinstance(command, Submit))
    assert commands(job(status=status)) == [*plain, replace(submit, again=True)]


@pytest.mark.parametrize("job_id", ["", "--all", "7; scancel 8", "7,8", "7_", "+7", "\u0667"])
def test_an_id_that_is_none(job_id: str) -> None:
    """A status that a stolen operator wrote: nothing follows from it, and the error says what is wrong."""
    with pytest.raises(InvalidInput, match="is not a job id"):
        commands(job(status={"jobId": job_id}))


@pytest.mark.parametrize("name", ["r-short", "hello", "r-" + "0F" * 16, "r-" + "0f" * 17])
def test_a_token_that_is_none(name: str) -> None:
    """A name that a grant cannot have been made for gives no token."""
    resource = job(name=name, spec={"requestedBy": {"via": "Grant", "username": "alice"}})
    with pytest.raises(InvalidInput, match="is not a submission token"):
        commands(resource)


@pytest.mark.parametrize(
    ("spec", "directory"),
    [
        ({"workingDirectory": "/scratch/../home/bob"}, "/scratch/{user}"),
        ({"script": {"path": "/scratch/../home/bob/x", "sha256": "0" * 64}}, "/scratch/{user}"),
        ({"script": {"inline": "#!/bin/sh\n#SBATCH -D /scratch/../home/bob\n"}}, "/scratch/{user}"),
        ({}, "/scratch/{user}/.."),
        ({"workingDirectory": "/scratch/alice"}, "/scratch/{user}/.."),
    ],
)
def test_paths_that_lead_elsewhere(spec: dict[str, Any], directory: str) -> None:
    """The node would not take them: said before anything is signed."""
    system = SYSTEM.model_copy(update={"work_directory": directory})
    with pytest.raises(InvalidInput, match=r"'\.\.'"):
        authorised_commands(job(spec=spec), system, cluster_id=CLUSTER)


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
    """No way to submit again or to touch anything else; what it used may be asked for until that is known."""
    ended = {"phase": "Succeeded", "jobId": "7"}
    assert commands(job(status=ended)) == [Cancel(TOKEN, keep=("7",)), JobUsage("own", ("7",))]
    assert commands(job(status={**ended, "usage": {"cpuSeconds": 1}})) == [Cancel(TOKEN, keep=("7",))]
    assert commands(job(status={"phase": "Failed"})) == []


SCRIPT = b"#!/bin/sh\n#SBATCH --time=5\n"
FROM_CONFIG_MAP = {"script": {"configMap": {"name": "scripts", "key": "run.sh"}}, "scriptSha256": sha256_hex(SCRIPT)}


def test_a_script_of_a_config_map_is_submitted_as_it_was_stamped() -> None:
    """Those bytes and no others; all else that follows from the Job follows without them."""
    made = authorised_commands(job(spec=FROM_CONFIG_MAP), SYSTEM, cluster_id=CLUSTER, script=SCRIPT)
    (submit,) = [command for command in made if isinstance(command, Submit)]
    assert (
        submit.content == submit_command(job(spec={"script": {"inline": SCRIPT.decode()}}), SYSTEM, token=TOKEN).content
    )
    assert submit.options.time_limit == "5"
    for other in (None, b"", SCRIPT + b"rm -rf /\n"):
        made = authorised_commands(job(spec=FROM_CONFIG_MAP), SYSTEM, cluster_id=CLUSTER, script=other)
        assert made == (Find(TOKEN),)
    with pytest.raises(ScriptChanged, match="make a new gjob"):
        submit_command(job(spec=FROM_CONFIG_MAP), SYSTEM, token=TOKEN, script=b"x")
    unstamped = {**FROM_CONFIG_MAP, "scriptSha256": None}
    assert authorised_commands(job(spec=unstamped), SYSTEM, cluster_id=CLUSTER, script=SCRIPT) == (Find(TOKEN),)


@pytest.mark.parametrize(
    ("recorded", "option"),
    [
        ([], None),
        ([{"name": "a", "type": "afterok", "state": "Waiting"}], None),
        ([{"name": "a", "type": "afterok", "state": "Failed", "uid": "u"}], None),
        ([{"name": "b", "type": "afterok", "state": "Met"}], None),
        ([{"name": "a", "type": "afterany", "state": "Met"}], None),
        ([{"name": "a", "type": "afterok", "state": "Submitted", "uid": "u", "jobId": "9"}], "afterok:9,afterany:3"),
        ([{"name": "a", "type": "afterok", "state": "Met", "uid": "u", "jobId": "9"}], "afterany:3"),
    ],
)
def test_dependencies_on_gjobs_are_resolved_first(recorded: list[dict[str, str]], option: str | None) -> None:
    """No submission before each has a job id or has ended well; then exactly these ids beside those of the spec."""
    spec = {"dependencies": [{"type": "afterok", "name": "a"}, {"type": "afterany", "jobId": "3"}]}
    made = commands(job(spec=spec, status={"dependencies": recorded}))
    submits = [command for command in made if isinstance(command, Submit)]
    assert [submit.options.dependency for submit in submits] == ([option] if option else [])


def test_a_line_beside_names_is_refused() -> None:
    """Once all of them have ended no option would be left that wins over it."""
    spec = {
        "script": {"inline": "#!/bin/sh\n#SBATCH -d afterok:7\n"},
        "dependencies": [{"type": "afterok", "name": "a"}],
    }
    with pytest.raises(InvalidInput, match=r"line 2 of the script: --dependency .*spec\.dependencies"):
        submit_command(job(spec=spec), SYSTEM, token=TOKEN)


def test_the_token_of_a_run_key() -> None:
    """The same for every gjob with that key, also in another cluster; another for other namespaces, systems, users and keys."""
    token = token_of(job(spec={"runKey": "k"}), cluster_id=CLUSTER)
    assert token == token_of(job(spec={"runKey": "k"}, uid="other", name="again"), cluster_id="ffffffff")
    assert check_token(token) == token
    others = [
        job(spec={"runKey": "K"}),
        job(spec={"runKey": "k"}, namespace="other"),
        job(spec={"runKey": "k", "runAs": "bob"}),
        job(spec={"runKey": "k", "system": "other"}),
        job(),
    ]
    assert len({token, *(token_of(other, cluster_id=CLUSTER) for other in others)}) == 6


# ---- what holds for any Job that can be stored ----

# Mostly what people write, and anything that the model takes: blanks, `..`, quotes, emoji, `#SBATCH` lines of all kinds.
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=30)
paths = st.one_of(st.just("/scratch/alice/x"), st.just("/scratch/../etc"), words.map(lambda text: f"/{text}"))
lines = st.sampled_from(
    ["#!/bin/sh", "true", "#SBATCH --time=5", "#SBATCH -D /scratch/x", "#SBATCH --uid=0", "#SBATCH --hold", "#SBATCH '"]
)
scripts = st.one_of(
    st.just({"inline": "#!/bin/sh\n"}),
    st.lists(st.one_of(lines, st.text(max_size=40)), min_size=1).map(lambda some: {"inline": "\n".join(some) or "x"}),
    st.fixed_dictionaries(
        {},
        optional={
            "inline": words,
            "base64": st.one_of(st.from_regex(r"\A[A-Za-z0-9+/]{1,9}={0,3}\Z"), words),
            "path": paths,
            "sha256": st.just("0" * 64),
            "name": st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,9}\Z"),
        },
    ),
)
requesters = st.fixed_dictionaries(
    {"via": st.sampled_from(["Grant", "Kubernetes"]), "username": words},
    optional={"issuer": words, "subject": words, "uid": words, "groups": st.lists(words, max_size=3)},
)
wishes = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"workingDirectory": paths}),
    st.fixed_dictionaries(
        {},
        optional={
            "suspend": st.booleans(),
            "cancel": st.booleans(),
            "deletionPolicy": st.sampled_from(["Cancel", "Orphan"]),
            "requestedBy": requesters,
        },
    ),
)
specs = st.fixed_dictionaries(
    {"script": scripts},
    optional={
        "runAs": st.sampled_from(["alice", "bob", "_x.y-z$"]),
        "suspend": st.booleans(),
        "cancel": st.booleans(),
        "deletionPolicy": st.sampled_from(["Cancel", "Orphan"]),
        "requestedBy": requesters,
        "workingDirectory": paths,
        "environment": st.dictionaries(st.sampled_from(["A", "PATH", "_x"]), st.text(max_size=20), max_size=2),
        "jobName": words,
        "nodes": st.sampled_from(["1", "2-4"]),
        "tasks": st.integers(1, 100),
        "array": st.sampled_from(["1-3", "%", "1:"]),
        "dependencies": st.lists(
            st.sampled_from([{"type": "afterok", "jobId": "1"}, {"type": "after"}, {"type": "singleton"}]), max_size=2
        ),
        "mailType": st.lists(st.sampled_from(["END", "FAIL"]), max_size=2),
        "schedulerOptions": st.dictionaries(
            st.sampled_from(["gres", "exclusive", "oversubscribe", "nonsense", "tasks"]), words, max_size=2
        ),
    },
)
submissions = st.builds(lambda token, time: {"token": token, "time": time}, st.one_of(st.just(TOKEN), words), words)
waiting_statuses = st.fixed_dictionaries(
    {}, optional={"phase": st.sampled_from(["Pending", "Submitting", "Suspended"]), "submission": submissions}
)
statuses = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from([str(phase) for phase in Phase]),
        "jobId": st.one_of(
            st.just("7"), st.from_regex(r"\A[0-9]{1,20}(_[0-9]{1,3})?\Z"), st.just("7 8"), st.text(max_size=64)
        ),
        "cancelRequestedAt": st.just("2030-01-01T00:00:00Z"),
        "submission": submissions,
    },
)
metas = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.just("r-" + "0f" * 16), st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,40}[a-z0-9])?\Z")),
        "deletionTimestamp": st.just("2030-01-01T00:00:01Z"),
    },
)
systems = st.builds(
    lambda fence, directory: parse_model(
        SystemSpec,
        {
            **SYSTEM.dump(),
            "workDirectory": directory,
            "scheduler": {"type": "Slurm", **({"submitFence": fence} if fence else {})},
        },
        what="spec",
    ),
    st.sampled_from([None, "Hold", "None"]),
    st.one_of(st.just("/scratch/{user}"), st.sampled_from(["/", "/home/{user}/../x", "/{", "/{x}"]), paths),
)


@st.composite
def resources(draw: st.DrawFn) -> JobResource:
    """Any Job that the model takes; half of them such that commands follow."""
    plain, waiting = draw(st.booleans()), draw(st.booleans())
    spec = draw(wishes if plain else specs)
    status = draw(waiting_statuses if waiting else statuses)
    try:
        return job(spec=spec, status=status, **draw(st.one_of(st.just({}), metas)))
    except InvalidInput:
        reject()


Answer = tuple[Command, ...] | None


def asked(resource: JobResource, system: SystemSpec = SYSTEM) -> Answer:
    """What follows; None when the function says that nothing can be made of it. Any other error fails the test."""
    try:
        return authorised_commands(resource, system, cluster_id=CLUSTER)
    except InvalidInput:
        return None


def changed(resource: JobResource, **spec: Any) -> JobResource:
    return resource.model_copy(update={"spec": resource.spec.model_copy(update=spec)})


@given(resources(), systems)
def test_total_and_the_same_each_time(resource: JobResource, system: SystemSpec) -> None:
    """InvalidInput is the only error; asked again it says the same, and nothing of what it was given has changed."""
    before = (resource.model_dump_json(), system.model_dump_json())
    assert asked(resource, system) == asked(resource, system)
    assert (resource.model_dump_json(), system.model_dump_json()) == before


@given(resources(), systems)
def test_everything_can_be_signed(resource: JobResource, system: SystemSpec) -> None:
    """What follows is valid by the table that delegation reads with, and the same after the wire: no wild path, id or token."""
    for command in asked(resource, system) or ():
        args = json.loads(canonical(command.args()))
        assert command_from(command.op, args, command.payload) == command


@given(resources())
def test_a_finished_job_is_only_swept(resource: JobResource) -> None:
    """And cancelled while it is to end: what shows up late has to go."""
    ending = resource.deleting or wants_cancel(resource)
    if resource.status.phase is None or not resource.status.phase.finished:
        resource = resource.model_copy(update={"status": resource.status.model_copy(update={"phase": Phase.FAILED})})
    for command in asked(resource) or ():
        if isinstance(command, JobUsage):
            assert command == JobUsage("own", (resource.status.job_id or "",))
            continue
        assert isinstance(command, Cancel)
        assert command.keep == (resource.status.job_id,) or (ending and command.keep == ())


@given(resources(), st.sampled_from(["suspend", "cancel", "latch", "deleted", "job", "finished"]))
def test_never_submitted_when_not_wanted(resource: JobResource, why: str) -> None:
    """Suspended, cancelled, latched, deleted, submitted before, finished: each by itself is enough."""
    status = resource.status
    match why:
        case "suspend":
            resource = changed(resource, suspend=True)
        case "cancel":
            resource = changed(resource, cancel=True)
        case "latch":
            status = status.model_copy(update={"cancel_requested_at": "2030-01-01T00:00:00Z"})
        case "deleted":
            resource = resource.model_copy(update={"deleting": True})
        case "job":
            status = status.model_copy(update={"job_id": "7"})
        case "finished":
            status = status.model_copy(update={"phase": Phase.CANCELLED})
    resource = resource.model_copy(update={"status": status})
    assert not any(isinstance(command, Submit) for command in asked(resource) or ())


@given(resources())
def test_past_the_node_s_memory_only_with_an_intent(resource: JobResource) -> None:
    """`again` follows beside the plain submission, which it equals in everything else, and only when an intent is stored."""
    submits = [command for command in asked(resource) or () if isinstance(command, Submit)]
    assert [command.again for command in submits] == [False, True][: len(submits)]
    assert (len(submits) == 2) == (bool(submits) and resource.status.submission is not None)
    assert all(replace(command, again=False) == submits[0] for command in submits)


@given(resources())
def test_names_this_submission_only(resource: JobResource) -> None:
    """Whatever changes something names this Job's token, not one that the status says; no id but the stored one is in anything."""
    for command in asked(resource) or ():
        match command:
            case Submit() | Find() | Release() | Hold() | Cancel():
                assert command.token == token_of(resource, cluster_id=CLUSTER)
            case Queue() | Account():
                assert command.scope == "own"
        match command:
            case Release(_, job_id) | Hold(_, job_id):
                assert job_id == resource.status.job_id
            case Describe(ids) | Account(_, ids):
                assert ids == (resource.status.job_id,)
            case Cancel(_, keep):
                assert keep in ((), (resource.status.job_id,))
        assert not observer_commands_allow(command) or isinstance(command, Describe)


def test_observer_looks_at_the_systems_file_systems_only() -> None:
    """At their mount points and with links followed; at nothing that is in them, and not at what another System names."""
    paths = frozenset({"/scratch", "/home"})
    assert observer_commands_allow(StatFile("/scratch", dereference=True), file_systems=paths)
    for command in (
        StatFile("/scratch/alice", dereference=True),
        StatFile("/scratch", dereference=False),
        StatFile("/scratch/", dereference=True),
        StatFile("/etc", dereference=True),
        ReadFile("/scratch"),
        ListReservations(),
    ):
        assert not observer_commands_allow(command, file_systems=paths)
    assert not observer_commands_allow(StatFile("/scratch", dereference=True))


@given(resources(), systems)
def test_held_unless_the_system_says_otherwise(resource: JobResource, system: SystemSpec) -> None:
    """The fence is the administrator's, and nothing in a Job takes it away."""
    for command in asked(resource, system) or ():
        if isinstance(command, Submit):
            assert command.hold == (system.scheduler.submit_fence != "None")


@given(resources(), words, words, st.lists(words, max_size=3))
def test_independent_of_who_asked(resource: JobResource, username: str, subject: str, groups: list[str]) -> None:
    """Names, groups and issuers of the requester, annotations and labels are no part of a command; only the door is."""
    asker = resource.spec.requested_by
    if asker is None:
        asker = parse_model(RequestedBy, {"via": "Kubernetes", "username": "alice"}, what="requestedBy")
    other = asker.model_copy(update={"username": username, "subject": subject, "issuer": subject, "groups": groups})
    notes = {"annotations": {"hpc.goldcrest.dev/grant": subject}, "labels": {username: subject}}
    same = changed(resource, requested_by=other).model_copy(update=notes)
    assert asked(same) == asked(resource)


@given(resources())
def test_not_both_held_and_released(resource: JobResource) -> None:
    """One wish at a time: never release with hold, and neither for what is to be cancelled, but for a job that is left running."""
    kinds_of = [type(command) for command in asked(resource) or ()]
    assert not (Release in kinds_of and Hold in kinds_of)
    if resource.spec.suspend or wants_cancel(resource):
        assert Release not in kinds_of
    if resource.deleting and resource.spec.deletion_policy != "Orphan":
        assert not {Release, Hold} & set(kinds_of)


@given(resources(), systems, st.sampled_from([None, "second"]))
def test_for_the_cluster_of_the_system(resource: JobResource, system: SystemSpec, cluster: str | None) -> None:
    """Each command is for the cluster that the System names, and else the same as without one."""
    scheduler = system.scheduler.model_copy(update={"cluster": cluster})
    commands = asked(resource, system.model_copy(update={"scheduler": scheduler})) or ()
    assert [command.args().get("cluster") for command in commands] == [cluster] * len(commands)
    without = system.model_copy(update={"scheduler": system.scheduler.model_copy(update={"cluster": None})})
    assert [on_cluster(command, None) for command in commands] == list(asked(resource, without) or ())
    for command in containment_commands(resource, cluster_id=CLUSTER, cluster=cluster):
        assert command.args().get("cluster") == cluster


def test_an_observer_lists_for_others_where_the_system_says_so() -> None:
    """All jobs as everybody sees them; never with what is read in the user's rights, nor one user's or single ones."""
    assert observer_commands_allow(ListJobs(scope="all"), public_queue=True)
    assert not observer_commands_allow(ListJobs(scope="all"))
    assert not observer_commands_allow(ListJobs(scope="all", cluster="second"), public_queue=True)
    for command in (
        ListJobs(scope="own"),
        ListJobs(scope="all", job_ids=("7",)),
        ListJobs(scope="own", details=True),
    ):
        assert not observer_commands_allow(command, public_queue=True)


@pytest.mark.parametrize("cluster", [None, "second"])
def test_an_observer_asks_about_its_own_cluster(cluster: str | None) -> None:
    """The System says who observes which cluster."""
    for query in (Queue("all"), Account("all", ("1",)), Describe(("1",))):
        assert observer_commands_allow(on_cluster(query, cluster), cluster=cluster)
        for other in {None, "second", "third"} - {cluster}:
            assert not observer_commands_allow(on_cluster(query, other), cluster=cluster)


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
