from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldcrest_admission.main import main
from goldcrest_admission.settings import Settings

pytestmark = pytest.mark.unit

PREFIX = "GOLDCREST_ADMISSION_"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A start configures the logging of the whole process."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """--help shows each setting with its environment variable."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name in Settings.model_fields:
        assert PREFIX + name.upper() in shown


def test_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """init makes the stamp key; before it, a start says what to do."""
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
