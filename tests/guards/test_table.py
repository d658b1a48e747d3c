"""The table of rules in docs/security.md, and the heads of the patches: nothing in them leads nowhere."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

from guards.run import HERE, REPOSITORY, Broken, Guard, main

pytestmark = pytest.mark.unit

GUARDS = [Guard.read(path) for path in sorted(HERE.glob("*.patch"))]


def _rows() -> dict[str, list[str]]:
    text = (REPOSITORY / "docs" / "security.md").read_text().partition("## Rules and their tests")[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| T"]
    return {row[0].split()[0]: row for row in cells}


def test_every_rule_has_its_tests() -> None:
    """T1 to T13 are all there; what is named as a test exists; a row without tests says that it is not there yet."""
    rows = _rows()
    assert list(rows) == [f"T{number}" for number in range(1, 14)]
    for rule, row in rows.items():
        named = re.findall(r"`(tests/[^`]+)`", row[1])
        assert named or "not there yet" in row[1], rule
        assert [path for path in named if not (REPOSITORY / path).exists()] == [], rule


def test_every_guard_has_its_rule() -> None:
    """Each pattern in the last column fits a guard, and each guard is in a row."""
    patterns = [pattern for row in _rows().values() for pattern in re.findall(r"`([^`]+)`", row[2])]
    names = [guard.name for guard in GUARDS]
    assert [pattern for pattern in patterns if not fnmatch.filter(names, pattern)] == []
    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_named_test_exists(guard: Guard) -> None:
    """A renamed test would leave its guard unproved."""
    file, _, name = guard.test.partition("::")
    defined = {node.name for node in ast.walk(ast.parse((REPOSITORY / file).read_text())) if hasattr(node, "name")}
    assert name.partition("[")[0] in defined


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_the_patch_fits(guard: Guard) -> None:
    """Code that moved on would leave its guard unproved, until the long run."""
    run = subprocess.run(
        ["git", "apply", "-C1", "--check", str(guard.path)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_unknown_guard(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is none is said to be none, and the status is not that of success."""
    assert main(["--only", "nonsense"]) == 2
    assert "there is no guard nonsense" in capsys.readouterr().err


def test_patch_without_a_head(tmp_path: Path) -> None:
    """A patch that names no test proves nothing, and is refused."""
    (tmp_path / "bare.patch").write_text("diff --git a/x b/x\n")
    with pytest.raises(Broken, match="must begin with"):
        Guard.read(tmp_path / "bare.patch")
