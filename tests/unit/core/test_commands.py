"""Typed commands: what is refused, and that arguments have one form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from goldcrest.canonical import canonical
from goldcrest.commands import (
    Account,
    Cancel,
    Checksum,
    Command,
    Describe,
    Find,
    Hold,
    JobUsage,
    MakeDirectory,
    Payload,
    Queue,
    ReadFile,
    Release,
    StatFile,
    Submit,
    SubmitOptions,
    WhoAmI,
    WriteFile,
    command_from,
)
from goldcrest.commands.base import operations
from goldcrest.commands.slurm import submit_payload
from goldcrest.errors import InvalidInput

pytestmark = pytest.mark.unit

TOKEN = "goldcrest:0123abcd:" + "ab" * 16
EXAMPLES: list[Command] = [
    WhoAmI(),
    StatFile("/home/alice/x", dereference=True),
    MakeDirectory("/scratch/alice/new", parents=True, mode=0o700),
    ReadFile("/home/alice/x", offset=10, length=100),
    WriteFile("/home/alice/x", Payload.of(b"abc"), mode=0o600, overwrite=True),
    Checksum("/home/alice/x", limit=1000),
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


def test_every_operation_has_an_example() -> None:
    """A new operation must come with one, so that the tests below cover it."""
    assert {command.op for command in EXAMPLES} == set(operations())


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: command.op)
def test_arguments_survive_the_wire(command: Command) -> None:
    """What is signed, parsed again, is the same command."""
    args = json.loads(canonical(command.args()))
    assert command_from(command.op, args, command.payload) == command


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
        with pytest.raises(InvalidInput):
            command_from(command.op, without, command.payload)
        with pytest.raises(InvalidInput):
            command_from(command.op, {**command.args(), name: None}, command.payload)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("fs.stat", {"path": "relative", "dereference": True}),
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


def test_the_payload_of_a_submission_has_header_and_script() -> None:
    """u32 length, header, script: as docs/protocol.md says."""
    payload = submit_payload({"B": "2", "A": "1"}, b"#!/bin/sh\n")
    size = int.from_bytes(payload[:4], "big")
    assert json.loads(payload[4 : 4 + size]) == {"environment": {"A": "1", "B": "2"}}
    assert payload[4 + size :] == b"#!/bin/sh\n"
