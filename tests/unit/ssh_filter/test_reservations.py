"""Reservations on the node: which program is run, with which arguments, and who decides on the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unit.ssh_filter.test_arguments import GOOD, refused
from unit.ssh_filter.test_slurm import Steps, result

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("rsv.list", ["-l"]),
        ("rsv.create", ["-a", "physics", "2", "gpu", "2030-01-31T08:00:00", "2030-01-31T09:00:00", "course_1"]),
        ("rsv.update", ["-u", "course_1", "2", "gpu", "2030-01-31T08:00:00", "2030-01-31T09:00:00"]),
        ("rsv.delete", ["-d", "course_1"]),
    ],
)
def test_program_and_arguments(f: Any, session: Any, op: str, words: list[str]) -> None:
    """As the contract's section 8 has them: each value is one argument, and the answer is what the program said."""
    session.policy.reservation_command = "rsvmgmt"
    steps = Steps(f, session, op, GOOD[op], result("done\n"))
    assert steps.programs == [["rsvmgmt", *words]]
    assert steps.answer == result("done\n")


@pytest.mark.parametrize("op", ["rsv.list", "rsv.create", "rsv.update", "rsv.delete"])
@pytest.mark.parametrize("command", ["rm", "rsvmgmt2", "sbatch"])
def test_another_program_is_not_run(f: Any, session: Any, op: str, command: str) -> None:
    """The node's policy file says which program it is; a certificate for another one gets an error and starts nothing."""
    session.policy.reservation_command = "/opt/site/rsvmgmt"
    with pytest.raises(f.Failed, match="the command for reservations is rsvmgmt here") as failure:
        Steps(f, session, op, {**GOOD[op], "command": command})
    assert failure.value.kind == "state"


def test_quota(f: Any, session: Any) -> None:
    """The program of the policy file without arguments; no other, and none where it names none."""
    session.policy.quota_command = "/opt/site/quota-tool"
    steps = Steps(f, session, "fs.quota", GOOD["fs.quota"], result("10 GB of 50 GB\n"))
    assert (steps.programs, steps.answer) == ([["/opt/site/quota-tool"]], result("10 GB of 50 GB\n"))
    for named, command, words in (
        ("/opt/site/quota-tool", "rm", "is quota-tool here, not rm"),
        ("", "quota-tool", "is none here"),
    ):
        session.policy.quota_command = named
        with pytest.raises(f.Failed, match=words) as failure:
            Steps(f, session, "fs.quota", {"command": command})
        assert failure.value.kind == "state"


def test_path_in_the_policy_file(f: Any, session: Any, tmp_path: Path) -> None:
    """It stands for itself, and is not looked up anywhere."""
    session.policy.reservation_command = "/opt/site/rsvmgmt"
    assert Steps(f, session, "rsv.list", GOOD["rsv.list"], result()).programs == [["/opt/site/rsvmgmt", "-l"]]
    program = tmp_path / "rsvmgmt"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(FileNotFoundError):
        f.find_program(str(program), "/usr/bin")
    program.chmod(0o755)
    assert f.find_program(str(program), "/usr/bin") == str(program)


@pytest.mark.parametrize(
    "value", ["", "rsv mgmt", "./rsvmgmt", "bin/rsvmgmt", "../x", "/opt/", "-l", "/a/-l", 1, None, ["rsvmgmt"]]
)
def test_policy_file(f: Any, value: Any) -> None:
    """A name or an absolute path; anything else keeps the filter from starting."""
    with pytest.raises(f.Misconfigured, match="reservationCommand"):
        f.parse_policy(json.dumps({"system": "a", "reservationCommand": value}).encode())
    assert f.parse_policy(b'{"system": "a"}').reservation_command == "rsvmgmt"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Course"), ("name", "1course"), ("name", "-d"), ("name", "a b"), ("name", "a'b"), ("name", "a\n"), ("name", "ä"),
        ("account", "-l"), ("account", "a;b"), ("account", "$(id)"), ("account", "a b"), ("nodeType", "-d"), ("nodeType", "a/b"),
        ("nodes", 0), ("nodes", 1_000_001), ("startTime", "2030-01-31"), ("startTime", "now"), ("endTime", "2030-01-31T09:00:00Z"),
        ("endTime", "2030-01-31T09:00:00\n"), ("command", "../rsvmgmt"), ("command", "/usr/bin/id"), ("command", "-x"),
    ],
)  # fmt: skip
def test_values_that_are_refused(f: Any, name: str, value: Any) -> None:
    """Nothing that a program could take for an option, and nothing that a script behind it could stumble over."""
    assert refused(f, "rsv.create", {**GOOD["rsv.create"], name: value})


def test_example_names_the_default(f: Any) -> None:
    """The file that sites begin with."""
    example = Path(f.__file__).with_name("ssh-filter.example.json")
    assert json.loads(example.read_text())["reservationCommand"] == "rsvmgmt"
