from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput
from goldcrest_delegation.main import main
from goldcrest_delegation.revoking import key_id_line, serial_line

pytestmark = pytest.mark.unit


def test_lines() -> None:
    """Serials, ranges and key ids in the form of ssh-keygen's KRL specification."""
    assert serial_line("17") == "serial: 17"
    assert serial_line("17-19") == "serial: 17-19"
    assert serial_line(str(2**64 - 1)) == f"serial: {2**64 - 1}"
    assert key_id_line("goldcrest/alice/u/t") == "id: goldcrest/alice/u/t"


@pytest.mark.parametrize("text", ["0", "", "-5", "5-", "19-17", str(2**64), "1\nid: x", "all", "0x10"])
def test_no_serials(text: str) -> None:
    """What is no serial is refused, and cannot add a line."""
    with pytest.raises(InvalidInput, match="neither a serial"):
        serial_line(text)


@pytest.mark.parametrize("text", ["", "a b", "a\nserial: 1-18446744073709551615", "é"])
def test_no_key_ids(text: str) -> None:
    """Neither can a key id."""
    with pytest.raises(InvalidInput, match="is no key id"):
        key_id_line(text)


def test_by_audit_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that was signed for somebody in the last two minutes is appended to the file, each once; nodes can read it."""
    log, target = tmp_path / "audit", tmp_path / "revoked"
    now = datetime.now(UTC)
    log.write_text(
        "".join(
            json.dumps(
                {
                    "time": (now - timedelta(seconds=seconds)).isoformat(),
                    "outcome": outcome,
                    "requester": requester,
                    "serial": str(serial),
                }
            )
            + "\n"
            for seconds, outcome, requester, serial in (
                (3000, "signed", "alice", 1),
                (50, "signed", "alice", 2),
                (40, "refused", "alice", ""),
                (30, "signed", "bob", 3),
                (20, "signed", "alice", 4),
            )
        )
    )
    target.write_text("# before\nserial: 2")
    command = ["revoke", "--user", "alice", "--file", str(log), "--append", str(target), "--key-id", "goldcrest/a/b/c"]
    assert main(command) == 0
    assert main(command) == 0
    assert target.read_text() == "# before\nserial: 2\nid: goldcrest/a/b/c\nserial: 4\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert "2 lines added" in capsys.readouterr().out


def test_nothing_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Without saying what, nothing is revoked: neither everything nor nothing in silence."""
    assert main(["revoke"]) == 1
    assert "say what to revoke" in capsys.readouterr().err
