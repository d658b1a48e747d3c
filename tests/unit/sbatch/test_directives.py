"""What a script's lines ask for, as the control plane reads them."""

from __future__ import annotations

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.sbatch import directives_of
from goldcrest.sbatch.options import OPTIONS
from unit.sbatch.directive_vectors import VECTORS, Vector

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.refused is None], ids=str)
def test_what_a_script_asks_for(vector: Vector) -> None:
    """The last line of an option counts; events for mail add up."""
    expected: dict[str, object] = {}
    for _, name, value in vector.set:
        before = expected.get(name)
        expected[name] = list(dict.fromkeys([*before, *value])) if isinstance(before, list) else value
    directives = directives_of(vector.script)
    assert directives.options.dump() == expected
    assert directives.work_directory == vector.work_directory
    assert directives.lines == {name: line for line, name, _ in vector.set}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.refused is not None], ids=str)
def test_what_is_refused(vector: Vector) -> None:
    """With the number of the line, what it was, and what to do instead."""
    with pytest.raises(InvalidInput) as refused:
        directives_of(vector.script)
    assert refused.value.message.startswith(f"line {vector.refused} of the script: ")
    assert vector.words in refused.value.message


def test_every_option_is_in_the_vectors() -> None:
    """A new option must come with a script that uses it."""
    assert {name for vector in VECTORS for _, name, _ in vector.set} == set(OPTIONS)
