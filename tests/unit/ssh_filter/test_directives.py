"""Batch directives (T9): no line of a script sets what is not among the signed options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.errors import InvalidInput
from goldcrest.sbatch import directives_of
from goldcrest.sbatch.options import OPTIONS
from unit.sbatch.directive_vectors import VECTORS, Vector

pytestmark = pytest.mark.unit

SCRIPT = b"#!/bin/sh\n#SBATCH --time=1:00:00\n#SBATCH --mail-type=END --kill-on-invalid-dep=yes\n"
SIGNED = {"timeLimit": "5", "mailType": ["fail", "end"], "killOnInvalidDep": "yes"}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.refused is None], ids=str)
def test_what_a_script_sets(f: Any, vector: Vector) -> None:
    """The same scripts as for the control plane's parser, with the same result."""
    assert list(f.directive_fields(vector.script)) == vector.set


# The directory to start in is not the line's here: the node's command line always says it.
REFUSED = [v for v in VECTORS if v.refused is not None and not v.words.startswith("--chdir")]


@pytest.mark.parametrize("vector", REFUSED, ids=str)
def test_what_is_refused(f: Any, vector: Vector) -> None:
    """What the control plane refuses, the node refuses at the same line."""
    with pytest.raises(f.Refused) as refused:
        list(f.directive_fields(vector.script))
    assert refused.value.reason == "arguments"
    assert refused.value.message.startswith(f"line {vector.refused} of the script: ")


def test_both_tables_are_the_same(f: Any) -> None:
    """Names, flags, kinds and bounds of all options; only the order of arguments is the node's own."""
    attributes = ("flag", "kind", "short", "alias", "choices", "never", "least", "most", "bare", "adds")
    ours = {name: [getattr(option, part) or None for part in attributes] for name, option in OPTIONS.items()}
    theirs = {name: [getattr(option, part) or None for part in attributes] for name, option in f.SBATCH_OPTIONS.items()}
    assert ours == theirs


_FLAGS = [option.flag for option in OPTIONS.values()] + ["export", "comment", "hold", "uid", "quiet", "no-requeue", "x"]
_LETTERS = [option.short for option in OPTIONS.values() if option.short] + ["H", "Q", "M", "y"]
_VALUES = [
    "",
    "1",
    "0",
    "-5",
    "a b",
    "true",
    "user",
    "help",
    "NONE",
    "END,fail",
    "ü",
    "\xff",
    "/x",
    "'",
    '"',
    "\\",
    "#",
    ":",
]
_WORDS = (
    st.builds("--{}".format, st.sampled_from(_FLAGS))
    | st.builds("--{}={}".format, st.sampled_from(_FLAGS), st.sampled_from(_VALUES))
    | st.builds("-{}{}".format, st.sampled_from(_LETTERS), st.sampled_from(_VALUES))
    | st.builds('"{}"'.format, st.sampled_from(_VALUES))
    | st.sampled_from(_VALUES)
)
_LINES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["#SBATCH", "#SLURM", "#", "", " ", "true", "\0"]),
    st.sampled_from(["", " ", "\t", "\v", "\xa0", "\0"]),
    st.lists(_WORDS, max_size=4).map(" ".join),
)


@given(st.lists(_LINES, max_size=5).map("\n".join), st.sampled_from(["utf-8", "latin-1"]))
def test_both_parsers_agree(f: Any, text: str, encoding: str) -> None:
    """Whatever a script looks like: the same options of the same lines, or a refusal of the same line."""
    script = text.encode(encoding)
    try:
        theirs: object = {name: line for line, name, _ in f.directive_fields(script)}
    except f.Refused as refused:
        theirs = refused.message.partition(":")[0]
    try:
        ours: object = directives_of(script).lines
    except InvalidInput as refused:
        ours = refused.message.partition(":")[0]
    assert ours == theirs


def test_directives_that_are_among_the_options(f: Any, session: Any) -> None:
    """The signed option counts then, whatever the line says."""
    f.check_directives(session, SCRIPT, {"options": SIGNED, "hold": True})


@pytest.mark.parametrize("name", SIGNED)
def test_a_directive_that_is_not(f: Any, session: Any, name: str) -> None:
    """The script is refused with the number of the line."""
    options = {key: value for key, value in SIGNED.items() if key != name}
    with pytest.raises(f.Refused, match=f"line [23] .* sets {name}"):
        f.check_directives(session, SCRIPT, {"options": options, "hold": True})


@pytest.mark.parametrize("options", [{"mailType": ["FAIL"]}, {"killOnInvalidDep": "no"}])
def test_what_the_command_line_does_not_take_back(f: Any, session: Any, options: dict[str, Any]) -> None:
    """sbatch adds these lines to its arguments, so they must say nothing else than what was signed."""
    with pytest.raises(f.Refused, match=r"line 3 .* not as the signed options"):
        f.check_directives(session, SCRIPT, {"options": {**SIGNED, **options}, "hold": True})


def test_a_site_can_leave_directives_to_slurm(f: Any, session: Any) -> None:
    """Only by its policy file."""
    session.policy.directives = "any"
    f.check_directives(session, b"#!/bin/sh\n#SBATCH --uid=0\n", {"options": {}, "hold": False})
