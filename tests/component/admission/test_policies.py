from __future__ import annotations

import json
import subprocess

import pytest

from component.admission.binaries import binary
from component.admission.stage import REPOSITORY

pytestmark = pytest.mark.component

POLICIES = REPOSITORY / "policies" / "goldcrest"


def opa(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(binary("opa")), *arguments], capture_output=True, text=True, timeout=60)


def test_check_strict() -> None:
    """The shipped policy has no unused or shadowed names, and is formatted."""
    checked = opa("check", "--strict", str(POLICIES))
    assert checked.returncode == 0, checked.stderr
    assert opa("fmt", "--list", str(POLICIES)).stdout == ""


def test_every_line_is_tested() -> None:
    """All tests of the shipped policy pass, and they reach every line of it."""
    run = opa("test", "--coverage", str(POLICIES))
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["coverage"] == 100


def test_the_example_data_opens_a_system() -> None:
    """The example of site data is in the form that the policy reads."""
    question = {
        "trigger": "request",
        "subject": {"via": "Token", "username": "bob", "groups": [], "scopes": ["firecrest"]},
        "system": "cluster",
        "runAs": "bob",
        "operation": "fs.stat",
        "wildcards": [],
    }
    answers = {}
    for system in ("cluster", "test-cluster", "retired"):
        arguments = ["eval", "--format=raw", "-d", str(POLICIES), "-d", str(POLICIES.parent / "example" / "data.json")]
        run = subprocess.run(
            [str(binary("opa")), *arguments, "--stdin-input", "data.goldcrest.signing.decision"],
            input=json.dumps({**question, "system": system}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        answers[system] = json.loads(run.stdout)
    assert answers["cluster"] == {"allow": True, "reason": "allowed"}
    assert answers["test-cluster"]["reason"] == "Unix user bob may not use system test-cluster"
    assert answers["retired"]["reason"] == "system retired is switched off in policy"
