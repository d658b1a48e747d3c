from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldcrest.errors import Unavailable
from goldcrest_delegation.audit import AuditLine, AuditLog
from goldcrest_delegation.main import main

pytestmark = pytest.mark.unit

PREFIX = "GOLDCREST_DELEGATION_"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A start configures the logging of the whole process."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings without which there is no start."""
    for name, value in {
        "CA_KEY_FILE": "ca",
        "GRANT_KEY_FILE": "grant",
        "IDENTITY_FILE": "identity.toml",
        "AUDIT_FILE": "audit",
        "LISTEN_SOCKET": "socket",
    }.items():
        monkeypatch.setenv(PREFIX + name, str(folder / value))
    monkeypatch.setenv(PREFIX + "OPA_URL", "unix:/nowhere")


def test_missing_settings_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A start without settings says which variables to set."""
    assert main([]) == 2
    assert f"{PREFIX}GRANT_KEY_FILE: Field required" in capsys.readouterr().err


def test_a_network_that_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Said by name, instead of certificates that are of no use, or of use from everywhere."""
    monkeypatch.setenv(f"{PREFIX}SOURCE_ADDRESSES", '["192.0.2.7/28"]')
    assert main([]) == 2
    assert f"{PREFIX}SOURCE_ADDRESSES" in capsys.readouterr().err


def test_half_of_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate without its key is a mistake, also where a socket is given."""
    monkeypatch.setenv(f"{PREFIX}TLS_CERT", "/tls.crt")
    needed(tmp_path, monkeypatch)
    assert main(["serve"]) == 2
    assert f"set {PREFIX}TLS_CERT and {PREFIX}TLS_KEY together, or neither" in capsys.readouterr().err


def test_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """init makes the keys, says where the public halves are, and keeps keys that are there."""
    needed(tmp_path, monkeypatch)
    assert main(["init"]) == 0
    assert f"made {tmp_path / 'ca'}, public half in {tmp_path / 'ca.pub'}" in capsys.readouterr().out
    assert main(["init"]) == 0
    assert f"kept {tmp_path / 'ca'}" in capsys.readouterr().out
    (tmp_path / "ca").chmod(0o644)
    assert main(["serve"]) == 1
    assert "chmod 0400" in capsys.readouterr().err
    monkeypatch.setenv(PREFIX + "GRANT_KEY_FILE", str(tmp_path / "ca"))
    assert main(["serve"]) == 2
    assert "the grant key must not be the CA key" in capsys.readouterr().err


def test_audit_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line each, in the file and printed; serials are text, as readers round large numbers."""
    log = AuditLog(tmp_path / "audit")
    line = AuditLine(event="certificate", outcome="signed", caller="operator", serial=2**64 - 1, reason="a\nb")
    log.write([line, line])
    written = (tmp_path / "audit").read_text()
    assert written == capsys.readouterr().out
    assert [json.loads(text)["serial"] for text in written.splitlines()] == ["18446744073709551615"] * 2


def test_a_rotated_log(tmp_path: Path) -> None:
    """After logrotate has moved the log away, lines go into a new one of mode 0600."""
    path = tmp_path / "audit"
    log = AuditLog(path)
    for name in ("first", "second", "third"):
        log.write([AuditLine(event="grant", outcome="signed", caller=name)])
        path.rename(tmp_path / name)
    log.close()
    for name in ("first", "second", "third"):
        assert json.loads((tmp_path / name).read_text())["caller"] == name
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_nothing_without_audit() -> None:
    """When the log cannot be written, that is an error for the caller: nothing is handed out."""
    log = AuditLog(Path("/dev/full"))
    with pytest.raises(Unavailable, match="audit log cannot be written"):
        log.write([AuditLine(event="grant", outcome="signed", caller="api")])
