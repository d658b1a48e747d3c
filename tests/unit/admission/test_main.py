from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldcrest_admission.main import main

pytestmark = pytest.mark.unit

PREFIX = "GOLDCREST_ADMISSION_"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: it, user: {token: none}}]
"""


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A start configures the logging of the whole process."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def test_what_keeps_it_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file that is missing or wrong is named, with what to do; init makes the stamp key."""
    for name in ("STAMP_KEY_FILE", "TLS_CERT", "TLS_KEY"):
        monkeypatch.setenv(PREFIX + name, str(tmp_path / name.lower()))
    monkeypatch.setenv(PREFIX + "GRANT_KEY_FILES", f'["{tmp_path / "grant.pub"}"]')
    monkeypatch.setenv(PREFIX + "OPA_URL", "unix:/nowhere")
    assert main(["serve"]) == 1
    assert "`init` makes the keys" in capsys.readouterr().err
    assert main(["init"]) == 0
    assert f"made {tmp_path / 'stamp_key_file'}" in capsys.readouterr().out
    assert main(["serve"]) == 1
    assert "grant.pub cannot be read" in capsys.readouterr().err
    (tmp_path / "grant.pub").write_bytes((tmp_path / "stamp_key_file.pub").read_bytes())
    monkeypatch.setenv(PREFIX + "KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert main(["serve"]) == 1
    assert f"no credentials for the Kubernetes API in {tmp_path / 'kubeconfig'}" in capsys.readouterr().err
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    assert main(["serve"]) == 1
    assert f"the TLS file {tmp_path / 'tls_cert'} is not there" in capsys.readouterr().err
    monkeypatch.setenv(PREFIX + "OPA_URL", "http://opa:8181")
    assert main(["serve"]) == 1
    assert "OPA's URL 'http://opa:8181' must begin with https:// or unix:" in capsys.readouterr().err
    monkeypatch.setenv(PREFIX + "OPA_URL", "https://opa:8181")
    monkeypatch.setenv(PREFIX + "OPA_CA_FILE", str(tmp_path / "ca.crt"))
    assert main(["serve"]) == 1
    assert f"the TLS file {tmp_path / 'ca.crt'} is not there" in capsys.readouterr().err
    (tmp_path / "stamp_key_file").chmod(0o640)
    assert main(["serve"]) == 1
    assert f"has mode 0640: chmod 0400 {tmp_path / 'stamp_key_file'}" in capsys.readouterr().err
