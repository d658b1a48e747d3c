"""docs/node.md, Attacks and their tests: every test that it names is there."""

from __future__ import annotations

import ast
import fnmatch
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]
SECTION = (REPOSITORY / "docs" / "node.md").read_text().partition("## Attacks and their tests")[2]
ROWS = [line for line in SECTION.splitlines() if line.startswith("| ") and not line.startswith("| attack")]


def test_there_is_a_row_for_each_attack_of_the_rules() -> None:
    """A table that lost its rows would name no missing test either."""
    assert len(ROWS) >= 30
    for words in ("another CA", "every position", "two", "host certificate", "replay", "critical option", "extensions",
                  "option smuggling", "NUL", "environment", "128 KiB", "UTF-8", "links", "race", "escapes"):  # fmt: skip
        assert any(words in row.split("|")[1] for row in ROWS), words


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_named_test_exists(row: str) -> None:
    """A renamed test would leave its attack untried without anybody noticing."""
    named = re.findall(r"`(tests/[^`]+)`", row)
    assert named
    for place in named:
        file, _, name = place.partition("::")
        tree = ast.parse((REPOSITORY / file).read_text())
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert fnmatch.filter(tests, name or "test_*")  # without a name: a whole file
