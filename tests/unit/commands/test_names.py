"""File names that are not UTF-8, and names with backslashes: one text for each, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.commands.names import name_bytes, name_text
from goldcrest.errors import InvalidInput

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain", "plain"),
        ("Größe 😀".encode(), "Größe 😀"),
        (b"a\\b\\n\\", "a\\b\\n\\"),
        (b"\\x41", "\\x41"),
        (b"latin\xe9", "latin\\xe9"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"\xed\xb3\xbf", "\\xed\\xb3\\xbf"),  # a surrogate in UTF-8's form is no UTF-8
        (b"\\xff", "\\x5cxff"),
        (b"\\x5c", "\\x5cx5c"),
        (b"\\\xff", "\\\\xff"),
        (b"\\x5\xff", "\\x5\\xff"),
        (b"\x1b[2J\n", "\x1b[2J\n"),
    ],
)
def test_forms(name: bytes, text: str) -> None:
    """As docs/protocol.md has them."""
    assert name_text(name) == text
    assert name_bytes(text) == name


@given(st.binary() | st.text(alphabet="\\x5cf8", max_size=12).map(str.encode))
def test_every_name_comes_back(name: bytes) -> None:
    """Whatever the bytes."""
    assert name_bytes(name_text(name)) == name


@given(st.text(alphabet="\\x5cf8é", max_size=12))
def test_no_name_has_two_texts(text: str) -> None:
    """A text is refused or the only one for its name: policy and node see the same file."""
    try:
        name = name_bytes(text)
    except InvalidInput:
        return
    assert name_text(name) == text


@pytest.mark.parametrize("text", ["\\xc3\\xa9", "a\\x5cb", "\\x5c", "\udcff"])
def test_second_forms_are_refused(text: str) -> None:
    """An escape of what needs none, and a lone surrogate."""
    with pytest.raises(InvalidInput):
        name_bytes(text)
