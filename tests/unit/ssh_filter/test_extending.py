"""The typed operation that docs/extending.md adds, as it stands there, on both sides."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from goldcrest.commands import base, command_from
from goldcrest.errors import InvalidInput
from unit.ssh_filter.conftest import load_filter
from unit.ssh_filter.running import run
from unit.ssh_filter.test_tables import VALUES, accepted_here, accepted_there

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[3] / "docs" / "extending.md"


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The filter with the operation, in a copy of its own; the control plane has it until the end of the test."""
    _, here, there = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    exec(compile(here, str(PAGE), "exec", dont_inherit=True), {"__name__": "shown"})
    module = load_filter()
    exec(compile(there, str(PAGE), "exec", dont_inherit=True), module.__dict__)
    return module


def test_both_sides_know_it(added: Any) -> None:
    """As test_tables wants it of every operation: the same names, and the same said of each value."""
    assert set(added.OPERATIONS) == set(base.operations())
    verdicts = {}
    for value in VALUES:
        here, there = accepted_here("fs.space", {"path": value}), accepted_there(added, "fs.space", {"path": value})
        assert here == there, value
        verdicts[here] = value
    assert set(verdicts) == {True, False}
    for arguments in ({}, {"path": "/a", "more": 1}):
        assert not accepted_here("fs.space", arguments)
        assert not accepted_there(added, "fs.space", arguments)


def test_it_does_what_it_says(added: Any, session: Any, tmp_path: Path) -> None:
    """Within the roots of the node's policy, and nowhere else."""
    session.roots = [os.fsencode(tmp_path)]
    session.home = str(tmp_path)
    command = command_from("fs.space", {"path": str(tmp_path)})
    answer, content = run(added, session, command.op, **command.args())
    found = os.statvfs(tmp_path)
    assert (answer["bytes"], content) == (found.f_blocks * found.f_frsize, b"")
    assert 0 < answer["free"] <= answer["bytes"]
    with pytest.raises(PermissionError, match="outside of the folders that this node serves"):
        run(added, session, "fs.space", path="/proc")


def test_it_is_gone_afterwards() -> None:
    """The page's operation is none of ours."""
    with pytest.raises(InvalidInput):
        command_from("fs.space", {"path": "/a"})
