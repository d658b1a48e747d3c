"""Answers of nodes: what is one, and what is none."""

from __future__ import annotations

import pytest

from goldcrest.commands.base import operations
from goldcrest.commands.shapes import _SHAPES, check_answer
from goldcrest.errors import AnswerUnusable

pytestmark = pytest.mark.unit

EMPTY = {"fs.mkdir", "fs.rename", "fs.symlink"}  # nothing to look at


def test_every_operation_that_rest_waits_for() -> None:
    """A new one without a shape would be believed whatever it says."""
    waited_for = {op for op in operations() if not op.startswith("slurm.")}
    assert set(_SHAPES) == waited_for - EMPTY


@pytest.mark.parametrize("op", _SHAPES)
def test_each_field_counts(op: str) -> None:
    """Missing, or of another type."""
    good = {name: "0" * 64 if name == "sha256" else kind() for name, kind in _SHAPES[op].items()}
    check_answer(op, {**good, "more": 1})
    for name in good:
        for wrong in (
            {key: value for key, value in good.items() if key != name},
            {**good, name: None},
            {**good, name: 1.5},
            *(
                [{**good, name: wrong} for wrong in ("", "0" * 63, "A" * 64, "0" * 64 + "\n")]
                if name == "sha256"
                else []
            ),
        ):
            with pytest.raises(AnswerUnusable, match=f"{name} of {op}"):
                check_answer(op, wrong)


@pytest.mark.parametrize("group", [7, {}, {"id": 1}, {"id": "1", "name": "a"}, {"id": 1, "name": None}])
def test_groups(group: object) -> None:
    """Each has a number and a name."""
    answer = {"user": "alice", "uid": 1, "gid": 1, "groups": [{"id": 1, "name": "a"}, {"id": 2, "name": 2}]}
    check_answer("sys.whoami", answer)
    with pytest.raises(AnswerUnusable, match="groups"):
        check_answer("sys.whoami", answer | {"groups": [group]})
