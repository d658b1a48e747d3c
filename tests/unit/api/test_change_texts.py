"""The lines of chmod -v and chown -v."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from goldcrest.commands.answers import ModeChanged, OwnerChanged
from goldcrest_api.dialects.firecrest_v1.change_texts import mode_line, owner_line

pytestmark = pytest.mark.unit


def real(*argv: str) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}
    )
    return done.stdout.strip()


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o755), (0o644, 0o644), (0o755, 0o4755), (0o1777, 0o2700)])
def test_mode_as_the_real_one(tmp_path: Path, before: int, after: int) -> None:
    """Changed and retained."""
    path = tmp_path / "file"
    path.mkdir()
    path.chmod(before)
    said = real("chmod", "-v", f"{after:05o}", str(path))
    assert mode_line(str(path), ModeChanged(before, after)) == said


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("owner", ["daemon", "root", None])
@pytest.mark.parametrize("group", ["daemon", "root", None])
def test_owner_as_the_real_one(tmp_path: Path, owner: str | None, group: str | None) -> None:
    """Only what was asked for is named."""
    if owner is None and group is None:
        return
    path = tmp_path / "file"
    path.touch()
    said = real("chown", "-v", ":".join(["" if owner is None else owner, *([group] if group else [])]), str(path))
    changed = OwnerChanged("root", "root", owner or "root", group or "root")
    assert owner_line(str(path), changed, owner=owner is not None, group=group is not None) == said
