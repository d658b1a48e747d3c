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


PAGE = (REPOSITORY / "docs" / "security.md").read_text()
NODE = (REPOSITORY / "docs" / "node.md").read_text()  # the attacks of T2 to T4 and T9
NAMED = re.findall(r"`(tests/[^`]+)`", PAGE + NODE)

# Issue by issue what must fail: a word of each attack, as the table has it.
ATTACKS = (
    *(
        "alg: none",
        "HMAC",
        "issuer",
        "audience",
        "second issuer",
        "expired",
        "not yet valid",
        "path",
        "URL",
        "huge",
        "duplicate",
    ),
    *("grant altered", "another kind", "namespace", "name", "spec", "copied", "not the gateway", "made again"),
    *("requestedBy` set", "requestedBy` changed", "frozen spec", "`*` role", "GitOps", "finalizer", "status written"),
    *(
        "`suspend` or `cancel`",
        "webhook configuration absent",
        "account without a grant",
        "does not exist",
        "another uid",
    ),
    *(
        "another state",
        "does not follow",
        "job id",
        "unknown client",
        "OPA stopped",
        "slow",
        "garbage",
        "missing or doubled",
    ),
    "OPA's own API",
)


def _tests_in(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


@pytest.mark.parametrize("named", sorted(set(NAMED)))
def test_what_the_page_names_exists(named: str) -> None:
    """A file or folder of tests, and in it a test of this name or pattern."""
    file, _, test = named.partition("::")
    path = REPOSITORY / file
    assert path.exists()
    if test:
        assert fnmatch.filter(_tests_in(path), test), test


def test_every_attack_has_its_test() -> None:
    """Each attack that must fail is a row of the table, with a test and the line that it leaves."""
    table = PAGE.partition("## Attacks and their tests")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in table.splitlines()
        if line.startswith("| ") and "`tests/" in line
    ]
    assert len(rows) > 30
    for row in rows:
        assert len(row) == 3, row
        assert "::test_" in row[1], row
        assert set(row[2].split(", ")) <= {"log", "audit", "access", "API server", "OPA"}, row
    attacks = "\n".join(row[0] for row in rows)
    assert [attack for attack in ATTACKS if attack not in attacks] == []


def test_every_sentence_of_the_promise_has_its_test() -> None:
    """The table below the promise."""
    table = PAGE.partition("### What keeps each sentence")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    assert [row for row in rows if "`tests/" not in row] == []


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
