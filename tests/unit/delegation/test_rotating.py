from __future__ import annotations

from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput
from goldcrest_delegation.ca_key import FileKey, make_ca_key
from goldcrest_delegation.rotating import prepare, switch

pytestmark = pytest.mark.unit


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca"
    make_ca_key(path)
    return path


def test_a_rotation(ca: Path) -> None:
    """First a second CA and the line for nodes; then it takes the place of the first, whose line is to be taken out."""
    old = FileKey.load(ca).public_line
    told = prepare(ca)
    new = FileKey.load(ca.with_name("ca.next")).public_line
    assert new in told
    assert FileKey.load(ca).public_line == old
    assert "kept" in prepare(ca)
    told = switch(ca)
    assert old in told
    assert new not in told
    assert FileKey.load(ca).public_line == new
    assert new in ca.with_name("ca.pub").read_text()
    assert FileKey.load(ca.with_name("ca.old")).public_line == old
    assert sorted(path.name for path in ca.parent.iterdir()) == ["ca", "ca.old", "ca.pub"]


def test_no_second_ca(ca: Path) -> None:
    """A switch without a second CA, or over an old key that is still there, changes nothing."""
    before = ca.read_bytes()
    with pytest.raises(InvalidInput, match="`goldcrest-delegation rotate` makes it"):
        switch(ca)
    prepare(ca)
    switch(ca)
    prepare(ca)
    with pytest.raises(InvalidInput, match="shred"):
        switch(ca)
    assert ca.with_name("ca.old").read_bytes() == before
