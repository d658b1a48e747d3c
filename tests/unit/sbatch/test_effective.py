"""What counts of a spec and of its script (T9)."""

from __future__ import annotations

from typing import Any

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec
from goldcrest.policy.question import asked_by
from goldcrest.sbatch import OPTIONS, directives_of, effective, fields_of
from goldcrest.sbatch.options import Kind, Option
from unit.sbatch.directive_vectors import VECTORS, Vector

pytestmark = pytest.mark.unit


def spec_of(**fields: Any) -> JobSpec:
    return parse_model(JobSpec, {"system": "s", "runAs": "alice", "script": {"inline": "x"}, **fields}, what="spec")


def options(script: str, **fields: Any) -> dict[str, Any]:
    return effective(spec_of(**fields), f"#!/bin/sh\n{script}\n".encode()).options.dump()


def test_fields_win_over_lines() -> None:
    """What the spec says counts; what it does not say, the script does."""
    script = "#SBATCH --time=10 --partition=long --gres=gpu:4 -n 8"
    assert options(script, timeLimit="5", tasks=2, schedulerOptions={"gres": "gpu:1"}) == {
        "timeLimit": "5",
        "partition": "long",
        "gres": "gpu:1",
        "tasks": 2,
    }


def test_events_for_mail_add_up() -> None:
    """sbatch adds those of the script to those of its command line, so they are all shown and signed."""
    assert options("#SBATCH --mail-type=END", mailType=["FAIL"]) == {"mailType": ["FAIL", "END"]}


def test_a_line_that_the_command_line_does_not_take_back() -> None:
    """sbatch would do both; the same in both places is no contradiction."""
    line = "#SBATCH --kill-on-invalid-dep=yes"
    assert options(line, schedulerOptions={"killOnInvalidDep": "yes"}) == {"killOnInvalidDep": "yes"}
    with pytest.raises(InvalidInput, match=r"line 2 of the script: --kill-on-invalid-dep contradicts"):
        options(line, schedulerOptions={"killOnInvalidDep": "no"})


def test_two_that_contradict_each_other() -> None:
    """sbatch would take whichever comes last; nobody could say which one policy had seen."""
    with pytest.raises(InvalidInput, match="exclusive and oversubscribe"):
        options("#SBATCH --oversubscribe", schedulerOptions={"exclusive": "user"})


def test_the_directory_to_start_in() -> None:
    """The field, else the line."""
    script = b"#!/bin/sh\n#SBATCH -D /scratch/run\n"
    assert effective(spec_of(), script).work_directory == "/scratch/run"
    assert effective(spec_of(workingDirectory="/home/alice"), script).work_directory == "/home/alice"


def test_scheduler_options_are_typed() -> None:
    """Text becomes numbers, booleans and lists, as in a script."""
    given = {"nice": "5", "contiguous": "true", "exclusive": "true", "mailType": "end,fail", "requeue": "false"}
    assert options("", schedulerOptions=given) == {
        "nice": 5,
        "contiguous": True,
        "exclusive": "true",
        "mailType": ["END", "FAIL"],
        "requeue": False,
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"wrap": "x"}, "schedulerOptions.wrap is unknown; there are: account"),
        ({"contiguous": "false"}, "schedulerOptions.contiguous must be true"),
        ({"nice": "high"}, "schedulerOptions.nice must be an integer"),
        ({"nodelist": "/etc/hosts"}, "schedulerOptions.nodelist must be text"),
        ({"partition": "a"}, "schedulerOptions.partition is given twice"),
    ],
)
def test_scheduler_options_that_are_refused(given: dict[str, str], words: str) -> None:
    """Unknown, malformed, or said twice."""
    with pytest.raises(InvalidInput, match=words):
        options("", partition="p", schedulerOptions=given)


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.refused is None], ids=str)
def test_lines_become_fields(vector: Vector) -> None:
    """A script that is named by path asks for the same as the one in the spec: nothing is lost on the way."""
    directives = directives_of(vector.script)
    spec = spec_of(**fields_of(directives))
    assert effective(spec, None).options == directives.options
    assert effective(spec, None).work_directory == vector.work_directory


def test_fields_that_lines_become() -> None:
    """The field where there is one that takes the value, else a scheduler option."""
    script = b"#!/bin/sh\n#SBATCH -n 2 --mem=4GB --time=5 --exclusive --dependency=afterok:1\n"
    assert fields_of(directives_of(script)) == {
        "tasks": 2,
        "timeLimit": "5",
        "schedulerOptions": {"memory": "4GB", "exclusive": "true", "dependency": "afterok:1"},
    }


def test_policy_sees_what_counts() -> None:
    """Wherever it was said, it has one name and its type."""
    script = "#!/bin/sh\n#SBATCH --partition=debug --gres=gpu:2 -D /scratch/x -n 4\n"
    fields = asked_by(spec_of(script={"inline": script}, tasks=8, schedulerOptions={"nice": "5"})).fields
    assert (fields["partition"], fields["gres"], fields["tasks"], fields["nice"]) == ("debug", "gpu:2", 8, 5)
    assert fields["workingDirectory"] == "/scratch/x"
    assert "schedulerOptions" not in fields


@pytest.mark.parametrize("name", OPTIONS)
def test_text_and_value(name: str) -> None:
    """Every option can be written as text and read again."""
    option = OPTIONS[name]
    sample = {
        Kind.TEXT: option.choices[-1] if option.choices else "x",
        Kind.INTEGER: option.least,
        Kind.FLAG: True,
        Kind.SWITCH: False,
        Kind.WORDS: ("END", "FAIL"),
    }
    value = option.check(sample[option.kind])
    assert option.read(Option.write(value)) == value
