"""Batch directives (T9): no line of a script sets what is not among the signed options."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.unit


def fields(f: Any, *lines: str) -> list[tuple[int, str]]:
    return list(f.directive_fields("\n".join(("#!/bin/bash", *lines)).encode()))


def names(f: Any, *lines: str) -> list[str]:
    return [name for _, name in fields(f, *lines)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#SBATCH --time=5", ["timeLimit"]),
        ("#SBATCH --time 5", ["timeLimit"]),
        ("#SBATCH -t 5", ["timeLimit"]),
        ("#SBATCH -t5", ["timeLimit"]),
        ("#SBATCH\t-N 2 -n 4", ["nodes", "tasks"]),
        ("#SBATCH--nodes=2", ["nodes"]),
        ("#SBATCH --job-name=\"a b\" --qos='c d'", ["jobName", "qos"]),
        ("#SBATCH --mem=1G # --partition=x", ["memory"]),
        ("#SBATCH --requeue", ["requeue"]),
        ("#SBATCH --no-requeue", ["requeue"]),
        ("#SBATCH -H", ["hold"]),
        ("#SBATCH --mail-type=END --mail-user=a@b", ["mailType", "mailUser"]),
        ("#SBATCH -o out-%j -e err -i /dev/null", ["stdout", "stderr", "stdin"]),
        ("#SBATCH -D /x --comment=y --parsable -Q", []),
        ("#SBATCH", []),
        ("#SBATCH   # nothing", []),
        ("##SBATCH --time=5", []),
        (" #SBATCH --time=5", []),
        ("# SBATCH --time=5", []),
        ("#SLURM --time=5", ["timeLimit"]),
        ("#SLURM settings of this job", []),
        ("#PBS -l walltime=5", []),
    ],
)
def test_what_a_line_sets(f: Any, line: str, expected: list[str]) -> None:
    """Long and short forms, quotes and comments, as sbatch reads them."""
    assert names(f, line) == expected


def test_lines_behind_the_first_command_do_not_count(f: Any) -> None:
    """sbatch stops at the first line that is neither blank nor a comment."""
    assert fields(f, "", "  # text", "#SBATCH -N 1", "  ", "true", "#SBATCH -n 2") == [(4, "nodes")]


def test_directive_behind_a_line_that_only_looks_like_a_command(f: Any) -> None:
    """For C a line ends at NUL: sbatch goes on behind it, so do we."""
    assert names(f, "\0true", "#SBATCH -N 1") == ["nodes"]
    assert names(f, " \v\f\r", "#SBATCH -N 1") == ["nodes"]


@pytest.mark.parametrize(
    "line",
    [
        "#SBATCH --wrap=x",
        "#SBATCH --uid=0",
        "#SBATCH --get-user-env",
        "#SBATCH --clusters=x",
        "#SBATCH --export=ALL",
        "#SBATCH --tim=5",
        "#SBATCH --time=5 --uid=0",
        "#SBATCH -M x",
        "#SBATCH -QH",
        "#SBATCH --hold=1",
        "#SBATCH text",
        "#SBATCH --",
        "#SBATCH -",
        "#SBATCH hetjob",
        "#SBATCH --time",
        "#SBATCH -t",
        '#SBATCH --job-name="a',
        r"#SBATCH --job-name='a\'' --uid=0 '",
        "#SBATCH\xa0--time=5",
    ],
)
def test_what_is_not_in_the_table(f: Any, line: str) -> None:
    """Unknown, forbidden, abbreviated, ambiguous or broken directives are refused with the number of their line."""
    with pytest.raises(f.Refused) as refused:
        names(f, "", line)
    assert refused.value.reason == "arguments"
    assert "line 3 " in refused.value.message


def test_directives_must_be_among_the_options(f: Any, session: Any) -> None:
    """The signed option counts then, whatever the line says; without one the script is refused."""
    script = b"#!/bin/sh\n#SBATCH --time=1:00:00\n#SBATCH --hold\n"
    f.check_directives(session, script, {"options": {"timeLimit": "5"}, "hold": True})
    for arguments in ({"options": {}, "hold": True}, {"options": {"timeLimit": "5"}, "hold": False}):
        with pytest.raises(f.Refused) as refused:
            f.check_directives(session, script, arguments)
        assert refused.value.reason == "arguments"


def test_a_site_can_leave_directives_to_slurm(f: Any, session: Any) -> None:
    """Only by its policy file."""
    session.policy.directives = "any"
    f.check_directives(session, b"#!/bin/sh\n#SBATCH --uid=0\n", {"options": {}, "hold": False})


def test_every_option_can_be_a_directive(f: Any) -> None:
    """What a script may say and what a submission may say are the same table."""
    for name, option in f.SBATCH_OPTIONS.items():
        line = f"#SBATCH --{option.flag}" + ("" if name == "requeue" else "=1")
        assert names(f, line) == [name]
