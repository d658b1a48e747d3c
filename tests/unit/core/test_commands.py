"""Typed commands: what is refused, and that arguments have one form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from goldcrest.canonical import canonical
from goldcrest.commands import (
    Account,
    ArchiveFormat,
    Cancel,
    ChangeMode,
    ChangeOwner,
    Checksum,
    Command,
    Compress,
    Copy,
    CreateReservation,
    DeleteReservation,
    Describe,
    Extract,
    FileType,
    Find,
    Head,
    History,
    Hold,
    JobUsage,
    Kill,
    ListDirectory,
    ListJobs,
    ListReservations,
    MakeDirectory,
    MakeLink,
    Nodes,
    Partitions,
    Payload,
    Queue,
    ReadFile,
    Release,
    Remove,
    Rename,
    Reservations,
    ShowQuota,
    StatFile,
    Submit,
    SubmitOptions,
    Tail,
    UpdateReservation,
    WhoAmI,
    WriteFile,
    command_from,
)
from goldcrest.commands.base import operations
from goldcrest.commands.cluster import on_cluster
from goldcrest.commands.slurm import submit_payload
from goldcrest.errors import InvalidInput

pytestmark = pytest.mark.unit

TOKEN = "goldcrest:0123abcd:" + "ab" * 16
OPTIONAL = {
    *((op, name) for op in ("fs.head", "fs.tail") for name in ("bytes", "lines", "grep")),
    ("fs.chown", "owner"),
    ("fs.chown", "group"),
}
LIST = ListDirectory(path="a", limit=1).args()
EXAMPLES: list[Command] = [
    WhoAmI(),
    StatFile("/home/alice/x", dereference=True),
    MakeDirectory("/scratch/alice/new", parents=True, mode=0o700),
    ReadFile("/home/alice/x", offset=10, length=100),
    WriteFile("/home/alice/x", Payload.of(b"abc"), mode=0o600, overwrite=True),
    Checksum("/home/alice/x", limit=1000),
    ListDirectory(
        path="relative/x", limit=10, hidden=True, recursive=True, dereference=True, numeric_ids=True, sorted=False
    ),
    Head(path="/home/alice/x", limit=10, size=5, skip=True),
    Tail(path="~x", limit=10, lines=5, grep="--it's\nor that"),
    FileType("/home/alice/x\\xff"),
    Rename("a", "/home/alice/b"),
    Copy("a", "./b"),
    ChangeMode("a", "u+rwX,go-w"),
    ChangeOwner(path="a", owner="alice", group="1000"),
    MakeLink("../../anything", "-link"),
    Remove("a"),
    Compress("a", "a.tgz", dereference=True),
    Extract("a.zip", ".", ArchiveFormat.ZIP),
    Submit(
        token=TOKEN,
        job_directory="/scratch/alice/a",
        work_directory="/scratch/alice/b",
        script_name="job.sh",
        content=Payload.of(b"x"),
        options=SubmitOptions(tasks=2, job_name="it's; $(a) job", mail_type=("END",), requeue=False),
    ),
    Find(TOKEN),
    Release(TOKEN, "12"),
    Hold(TOKEN, "12_3"),
    Cancel(TOKEN, keep=("12",)),
    Queue("own"),
    Describe(("12", "13")),
    Account("all", ("12",)),
    JobUsage("own", ("12", "13")),
    ListJobs(scope="own", job_ids=("12", "12_3", "13+1", "14_[2-9]"), details=True, tail_bytes=1000),
    History(scope="all", job_ids=("12",)),
    Nodes(names=("n1", "n[2-4,7]")),
    Partitions(),
    Reservations(),
    Kill(job_ids=("12", "12_[1-3]")),
    ShowQuota("quota-tool"),
    ListReservations(command="rsv-tool"),
    CreateReservation(
        name="course_1",
        account="physics",
        nodes=2,
        node_type="gpu",
        start_time="2030-01-31T08:00:00",
        end_time="2030-01-31T09:00:00",
    ),
    UpdateReservation(
        name="course_1", nodes=3, node_type="gpu", start_time="2030-01-31T08:00:00", end_time="2030-01-31T09:00:00"
    ),
    DeleteReservation(name="$course-1"),
]


def test_a_submission_that_is_begun_again() -> None:
    """Another command than the first: what is signed says which of the two it is, and is never silent about it."""
    (submit,) = [command for command in EXAMPLES if isinstance(command, Submit)]
    again = replace(submit, again=True)
    assert (submit.args()["again"], again.args()["again"]) == (False, True)
    assert command_from(again.op, again.args(), again.payload) == again != submit
    for value in (0, 1, "true"):
        with pytest.raises(InvalidInput, match="again"):
            command_from(submit.op, {**submit.args(), "again": value}, submit.payload)


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: command.op)
def test_the_cluster_of_the_system_is_named_in_every_slurm_operation(command: Command) -> None:
    """Whatever goes to Slurm says which cluster is meant, and what does not go there says nothing of it."""
    named = on_cluster(command, "second")
    assert named.args().get("cluster") == ("second" if command.op.startswith("slurm.") else None)
    assert command_from(named.op, named.args(), named.payload) == named
    assert "cluster" not in on_cluster(named, None).args()


def test_every_operation_has_an_example() -> None:
    """A new operation must come with one, so that the tests below cover it."""
    assert {command.op for command in EXAMPLES} == set(operations())


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: command.op)
def test_arguments_survive_the_wire(command: Command) -> None:
    """What is signed, parsed again, is the same command."""
    args = json.loads(canonical(command.args()))
    assert command_from(command.op, args, command.payload) == command


def test_a_history_between_times() -> None:
    """Each of the two may be missing; one that is there has one form."""
    for start, end in (("2026-01-01T00:00:00", None), (None, "2026-01-02T00:00:00"), (None, None)):
        history = History(scope="own", start=start, end=end)
        assert command_from(history.op, history.args()) == history
        for name in {"start", "end"} & history.args().keys():
            with pytest.raises(InvalidInput, match=name):
                command_from(history.op, {**history.args(), name: 1})


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: command.op)
def test_an_unknown_argument_is_refused(command: Command) -> None:
    """Nothing is ignored."""
    with pytest.raises(InvalidInput, match="unknown argument"):
        command_from(command.op, {**command.args(), "extra": True}, command.payload)


@pytest.mark.parametrize("command", [c for c in EXAMPLES if c.args()], ids=lambda command: command.op)
def test_missing_and_mistyped_arguments_are_refused(command: Command) -> None:
    """Each argument in turn is left out, and given with another type."""
    for name in command.args():
        without = {key: value for key, value in command.args().items() if key != name}
        if (command.op, name) in OPTIONAL:
            assert command_from(command.op, without, command.payload).args() == without
        else:
            with pytest.raises(InvalidInput):
                command_from(command.op, without, command.payload)
        with pytest.raises(InvalidInput):
            command_from(command.op, {**command.args(), name: None}, command.payload)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("fs.stat", {"path": "", "dereference": True}),
        ("fs.stat", {"path": "../x", "dereference": True}),
        ("fs.stat", {"path": "a/..", "dereference": True}),
        ("fs.stat", {"path": "a\\xc3\\xa9", "dereference": True}),
        ("fs.stat", {"path": "a\\x5cb", "dereference": True}),
        ("fs.stat", {"path": "a\udc80", "dereference": True}),
        ("fs.rename", {"source": "a", "target": "/b/../c"}),
        ("fs.rename", {"source": "", "target": "b"}),
        ("fs.ls", {**LIST, "limit": 0}),
        ("fs.ls", {**LIST, "limit": 10**6 + 1}),
        ("fs.head", {"path": "a", "limit": 1, "skip": False, "bytes": 1, "lines": 1}),
        ("fs.head", {"path": "a", "limit": 1, "skip": False, "bytes": -1}),
        ("fs.tail", {"path": "a", "limit": 2**30, "skip": False}),
        ("fs.tail", {"path": "a", "limit": 1, "skip": False, "grep": "a\0b"}),
        ("fs.tail", {"path": "a", "limit": 1, "skip": False, "grep": "a" * 4097}),
        ("fs.chmod", {"path": "a", "mode": "rw"}),
        ("fs.chmod", {"path": "a", "mode": "0999"}),
        ("fs.chmod", {"path": "a", "mode": "+x\n"}),
        ("fs.chmod", {"path": "a", "mode": "--reference=b"}),
        ("fs.chown", {"path": "a"}),
        ("fs.chown", {"path": "a", "owner": "alice:staff"}),
        ("fs.chown", {"path": "a", "owner": ""}),
        ("fs.chown", {"path": "a", "group": "a\nb"}),
        ("fs.symlink", {"path": "a", "target": ""}),
        ("fs.symlink", {"path": "a", "target": "a\0"}),
        ("fs.extract", {"source": "a", "target": "b", "format": "rar"}),
        ("fs.stat", {"path": "/a/../b", "dereference": True}),
        ("fs.stat", {"path": "/a\0b", "dereference": True}),
        ("fs.stat", {"path": "/" + "a" * 4096, "dereference": True}),
        ("fs.stat", {"path": "/a", "dereference": 1}),
        ("fs.read", {"path": "/a", "offset": -1, "length": 1}),
        ("fs.read", {"path": "/a", "offset": 0, "length": 2**40}),
        ("fs.mkdir", {"path": "/a", "parents": True, "mode": 0o10000}),
        ("slurm.find", {"token": "goldcrest:XYZ:1"}),
        ("slurm.release", {"token": TOKEN, "jobId": "1; scancel -u bob"}),
        ("slurm.release", {"token": TOKEN, "jobId": "--all"}),
        ("slurm.cancel", {"token": TOKEN, "keep": [1]}),
        ("slurm.queue", {"scope": "everybody"}),
        ("slurm.describe", {"jobIds": []}),
        ("slurm.describe", {"jobIds": [str(n) for n in range(51)]}),
        ("slurm.describe", {"jobIds": ["12_[1-3]"]}),
        *[
            ("slurm.kill", {"jobIds": [job_id]})
            for job_id in ("1_[1,3]", "1.0", "1_[3-1]", "1_[0-1000]", "-1", "1 2", "")
        ],
        ("slurm.kill", {"jobIds": []}),
        ("slurm.kill", {"jobIds": ["1"] * 101}),
        ("slurm.jobs", {"scope": "all", "jobIds": [], "details": True, "tailBytes": 0}),
        ("slurm.jobs", {"scope": "own", "jobIds": [], "details": False, "tailBytes": 1}),
        ("slurm.jobs", {"scope": "own", "jobIds": [], "details": True, "tailBytes": 65537}),
        ("slurm.history", {"scope": "own", "jobIds": [], "start": "yesterday"}),
        ("slurm.history", {"scope": "own", "jobIds": [], "start": "2026-01-02T00:00:00", "end": "2026-01-01T00:00:00"}),
        ("slurm.nodes", {"names": ["--all"]}),
        ("slurm.nodes", {"names": ["n1 State=DOWN"]}),
        ("slurm.partitions", {"cluster": "all"}),
        ("slurm.partitions", {"cluster": "ALL"}),
        ("slurm.partitions", {"cluster": "a,b"}),
        ("slurm.queue", {"scope": "own", "cluster": "-M"}),
        ("slurm.queue", {"scope": "own", "cluster": ""}),
        ("no.such", {}),
    ],
)
def test_bad_values_are_refused(op: str, args: dict[str, Any]) -> None:
    """Paths, numbers, ids and words out of bounds."""
    with pytest.raises(InvalidInput):
        command_from(op, args)


@pytest.mark.parametrize(
    "options",
    [
        {"unknown": "x"},
        {"jobName": "two\nlines"},
        {"jobName": ""},
        {"jobName": 1},
        {"tasks": "1"},
        {"tasks": True},
        {"tasks": 0},
        {"mailType": "END"},
        {"mailType": ["END", "; rm"]},
        {"requeue": "yes"},
        {"account": "x" * 5000},
        {"wrap": "rm -rf /"},
    ],
)
def test_bad_submit_options_are_refused(options: dict[str, Any]) -> None:
    """Only typed options that are in the table exist."""
    with pytest.raises(InvalidInput):
        SubmitOptions.load(options)


@pytest.mark.parametrize("environment", [{"A=B": "x"}, {"": "x"}, {"1A": "x"}, {"A": "x\0y"}])
def test_bad_environments_are_refused(environment: dict[str, str]) -> None:
    """A name that is none, or a NUL, would become another variable on the node."""
    with pytest.raises(InvalidInput):
        submit_payload(environment, b"")


def test_streamed_payloads() -> None:
    """Of an upload only the most bytes are signed; a submission is signed with its digest."""
    args = {"path": "/scratch/x", "mode": 0o644, "overwrite": True}
    command = command_from("fs.write", args, Payload.streamed(100))
    assert command.body(system="cluster", user="alice", sid="0" * 32)["payload"] == {"stream": 100}
    with pytest.raises(InvalidInput, match="between"):
        command_from("fs.write", args, Payload.streamed(2**41))
    submit = next(example for example in EXAMPLES if example.op == "slurm.submit")
    with pytest.raises(InvalidInput, match="digest"):
        command_from("slurm.submit", submit.args(), Payload.streamed(100))


def test_the_payload_of_a_submission_has_header_and_script() -> None:
    """u32 length, header, script: as docs/protocol.md says."""
    payload = submit_payload({"B": "2", "A": "1"}, b"#!/bin/sh\n")
    size = int.from_bytes(payload[:4], "big")
    assert json.loads(payload[4 : 4 + size]) == {"environment": {"A": "1", "B": "2"}}
    assert payload[4 + size :] == b"#!/bin/sh\n"
