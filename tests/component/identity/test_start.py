"""Both processes that verify tokens refuse to start with rules that are wrong, and say what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from component.admission.issuer import Issuer

pytestmark = pytest.mark.component


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Two rules for one issuer, and a key that is unknown."""
    file = Issuer(tmp_path).identity_file
    file.write_text(file.read_text() * 2 + "colour = 1\n")
    return file


def _starts(module: str, settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=False)


def _gateway(folder: Path, rules: Path) -> subprocess.CompletedProcess[str]:
    settings = {
        "GOLDCREST_API_IDENTITY_FILE": str(rules),
        "GOLDCREST_API_DELEGATION__URL": f"unix:{folder / 'nowhere'}",
        "GOLDCREST_API_DELEGATION__TOKEN_FILE": str(folder / "token"),
    }
    return _starts("goldcrest_api.main", settings)


def _delegation(folder: Path, rules: Path) -> subprocess.CompletedProcess[str]:
    settings = {
        "GOLDCREST_DELEGATION_CA_KEY_FILE": str(folder / "ca"),
        "GOLDCREST_DELEGATION_GRANT_KEY_FILE": str(folder / "grant"),
        "GOLDCREST_DELEGATION_IDENTITY_FILE": str(rules),
        "GOLDCREST_DELEGATION_OPA_URL": f"unix:{folder / 'nowhere'}",
        "GOLDCREST_DELEGATION_AUDIT_FILE": str(folder / "audit"),
        "GOLDCREST_DELEGATION_LISTEN_SOCKET": str(folder / "socket"),
    }
    assert _starts("goldcrest_delegation.main", settings, "init").returncode == 0
    return _starts("goldcrest_delegation.main", settings, "serve")


@pytest.mark.parametrize("start", [_gateway, _delegation])
def test_unknown_key(tmp_path: Path, rules: Path, start: object) -> None:
    """File, line, key, and what to do; no traceback."""
    assert callable(start)
    done = start(tmp_path, rules)
    assert done.returncode == 1
    assert f"{rules}:21: issuer[2].colour (https://issuer.example): unknown key: remove it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("start", [_gateway, _delegation])
def test_two_rules_for_one_issuer(tmp_path: Path, rules: Path, start: object) -> None:
    """Which one counts would be chance: both lines are named."""
    assert callable(start)
    rules.write_text(rules.read_text().replace("colour = 1\n", ""))
    done = start(tmp_path, rules)
    assert done.returncode == 1
    assert f"{rules}:13: issuer[2].issuer (https://issuer.example): a rule for this issuer is in line 3" in done.stderr
    assert "Traceback" not in done.stderr
