"""Canonical JSON (RFC 8785 without floats and nulls)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.canonical import b64url, b64url_decode, canonical
from goldcrest.errors import InvalidInput

pytestmark = pytest.mark.unit

_text = st.text(st.characters(blacklist_categories=("Cs",)))
_json = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _text,
    lambda inner: st.lists(inner) | st.dictionaries(_text, inner),
    max_leaves=20,
)


@given(_json)
def test_the_meaning_survives_and_the_form_is_stable(value: object) -> None:
    """Canonical bytes parse to the same value and are their own canonical form."""
    data = canonical(value)
    assert json.loads(data) == value
    assert canonical(json.loads(data)) == data


def test_keys_are_ordered_by_utf16_code_units() -> None:
    """The example of RFC 8785 section 3.2.3, where code points would give another order."""
    keys = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    ordered = list(json.loads(canonical(dict.fromkeys(keys, 1))))
    assert ordered == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


def test_escapes_are_the_short_ones() -> None:
    """RFC 8785 section 3.2.2.2: short escapes, lower-case hex, nothing else escaped."""
    assert canonical('\b\t\n\f\r"\\\x01\x7fé/') == '"\\b\\t\\n\\f\\r\\"\\\\\\u0001\x7fé/"'.encode()


@pytest.mark.parametrize("value", [None, 1.5, {"a": None}, [1.0], {1: 2}, 2**53, "\ud800", b"x", {"\ud800": 1}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    """Floats, nulls, big integers, lone surrogates and foreign types never reach a digest."""
    with pytest.raises(InvalidInput):
        canonical(value)


@given(st.binary())
def test_base64url_round_trip(data: bytes) -> None:
    """Decoding gives back the bytes."""
    assert b64url_decode(b64url(data)) == data


@pytest.mark.parametrize("text", ["a", "YQ==", "Y+/=", "YR", "Y Q", "Y\nQ"])
def test_base64url_is_strict(text: str) -> None:
    """Padding, another alphabet and spare bits are refused: one value has one spelling."""
    with pytest.raises(InvalidInput):
        b64url_decode(text)
