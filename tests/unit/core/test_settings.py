"""Settings of all processes: help, and a start that is refused with the setting or file and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from goldcrest.settings import InvalidSettings, describe_settings, read_settings
from goldcrest_admission.settings import Settings as Admission
from goldcrest_api.settings import Settings as Api
from goldcrest_delegation.settings import AuditSettings
from goldcrest_delegation.settings import Settings as Delegation
from goldcrest_operator.settings import OperatorSettings as Operator

pytestmark = pytest.mark.unit

PROCESSES = {"admission": Admission, "api": Api, "delegation": Delegation, "operator": Operator}
ADMISSION = {
    "GOLDCREST_ADMISSION_STAMP_KEY_FILE": "/keys/stamp",
    "GOLDCREST_ADMISSION_GRANT_KEY_FILES": '["/keys/grant.pub"]',
    "GOLDCREST_ADMISSION_OPA_URL": "unix:/nowhere",
    "GOLDCREST_ADMISSION_TLS_CERT": "/keys/tls.crt",
    "GOLDCREST_ADMISSION_TLS_KEY": "/keys/tls.key",
}


def run(process: str, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A program as it is started by people: the installed entry point, in a clean environment."""
    program = Path(sys.executable).with_name(f"goldcrest-{process}")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GOLDCREST_")}
    return subprocess.run(
        [str(program), *arguments],
        env=clean | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("process", PROCESSES)
def test_help_explains_every_setting(process: str) -> None:
    """--help shows environment name, default and meaning of each, nested ones too."""
    shown = run(process, "--help")
    assert shown.returncode == 0
    described = describe_settings(PROCESSES[process])
    assert described.strip() in shown.stdout
    lines = described.splitlines()
    named = [number for number, line in enumerate(lines) if line.startswith("  GOLDCREST_")]
    assert len(named) >= len(PROCESSES[process].model_fields)
    for number in named:
        assert lines[number].startswith(f"  GOLDCREST_{process.upper()}_")
        assert lines[number].endswith(")")
        assert lines[number + 1].startswith("      ")


@pytest.mark.parametrize(
    ("process", "line"),
    [
        ("admission", "GOLDCREST_ADMISSION_STAMP_KEY_FILE: Field required: Ed25519 private key in PEM"),
        ("api", "GOLDCREST_API_IDENTITY_FILE: Field required: identity.toml"),
        ("delegation", "GOLDCREST_DELEGATION_GRANT_KEY_FILE: Field required: Ed25519 private key in PEM"),
        ("operator", "GOLDCREST_OPERATOR_DELEGATION: Field required: The delegation service"),
    ],
)
def test_missing_settings(process: str, line: str) -> None:
    """A start without settings names those that are missing, says what they are, and ends with 2."""
    done = run(process)
    assert done.returncode == 2
    assert f"goldcrest-{process}: {line}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("model", "environment", "message"),
    [
        (
            Admission,
            {"GOLDCREST_ADMISSION_TLS_CLIENT_CA_FLIE": "/ca"},
            "GOLDCREST_ADMISSION_TLS_CLIENT_CA_FLIE: there is no such setting; GOLDCREST_ADMISSION_TLS_CLIENT_CA_FILE is meant?",
        ),
        (
            Admission,
            {"GOLDCREST_ADMISSION_GRANT_KEY_FILES": "/keys/grant.pub"},
            'GOLDCREST_ADMISSION_GRANT_KEY_FILES: this is not JSON; lists are written as ["…", "…"]',
        ),
        (Admission, {"GOLDCREST_ADMISSION_GRANT_KEY_FILES": "[]"}, "GOLDCREST_ADMISSION_GRANT_KEY_FILES: List should"),
        (Admission, {"GOLDCREST_ADMISSION_GRANT_KEY_FILES": "[1]"}, "GOLDCREST_ADMISSION_GRANT_KEY_FILES[0]: Input"),
        (Admission, {"GOLDCREST_ADMISSION_LISTEN_PORT": "0"}, "GOLDCREST_ADMISSION_LISTEN_PORT: Input should be"),
        (
            Admission,
            {"GOLDCREST_ADMISSION_LOG_LEVEL": "LOUD"},
            "GOLDCREST_ADMISSION_LOG_LEVEL: Input should be 'DEBUG'",
        ),
        (
            Operator,
            {"GOLDCREST_OPERATOR_DELEGATION__URL": "unix:/d", "GOLDCREST_OPERATOR_LEASE__RETRY_SECONDS": "99"},
            "GOLDCREST_OPERATOR_LEASE: retry_seconds < renew_deadline_seconds < duration_seconds must hold",
        ),
        (
            Operator,
            {"GOLDCREST_OPERATOR_DELEGATION__URL": "unix:/d", "GOLDCREST_OPERATOR_TRACKER__HOT_SECONDS": "-1"},
            "GOLDCREST_OPERATOR_TRACKER__HOT_SECONDS: Input should be greater than 0",
        ),
        (Api, {"GOLDCREST_API_LIMITS__NO_SUCH": "1"}, "GOLDCREST_API_LIMITS__NO_SUCH: there is no such setting"),
    ],
)
def test_wrong_settings(
    model: type[BaseSettings], environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by their environment variable; a mistyped one is not taken for its default."""
    for name, value in (ADMISSION | environment if model is Admission else environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as refused:
        read_settings(model)
    assert message in refused.value.message


def test_what_a_pod_has_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that Kubernetes makes for a Service of the same name are no settings, and no reason not to start."""
    for name, value in ADMISSION.items():
        monkeypatch.setenv(name, value)
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTPS", "PORT", "PORT_443_TCP", "PORT_443_TCP_ADDR"):
        for service in ("", "INTERNAL_"):
            monkeypatch.setenv(f"GOLDCREST_ADMISSION_{service}{name}", "tcp://10.96.0.7:443")
    assert read_settings(Admission).stamp_key_file == Path("/keys/stamp")
    monkeypatch.setenv("GOLDCREST_ADMISSION_LISTN_PORT", "9443")
    with pytest.raises(InvalidSettings, match="GOLDCREST_ADMISSION_LISTEN_PORT is meant"):
        read_settings(Admission)


def test_a_part_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of the audit log takes its one setting from among delegation's others."""
    monkeypatch.setenv("GOLDCREST_DELEGATION_AUDIT_FILE", "/audit")
    monkeypatch.setenv("GOLDCREST_DELEGATION_OPA_URL", "unix:/nowhere")
    assert read_settings(AuditSettings).audit_file == Path("/audit")
