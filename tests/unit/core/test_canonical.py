"""Canonical JSON (RFC 8785 without floats and nulls)."""

from __future__ import annotations

import json
from enum import StrEnum

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


_plain = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _text,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner),
    max_leaves=20,
)


@given(_plain)
def test_the_bytes_are_those_of_the_node(value: object) -> None:
    """Whose encoder is Python's own, which puts ASCII keys in the same order: the node refuses every other form."""
    node = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    assert canonical(value) == node.encode(value).encode()


def test_names_of_an_enumeration() -> None:
    """Are texts, as keys and as values."""

    class Name(StrEnum):
        A = "b"

    assert canonical({Name.A: Name.A, "a": 1}) == b'{"a":1,"b":"b"}'


def test_what_is_nested_too_deep() -> None:
    deep: object = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InvalidInput):
        canonical(deep)


def test_keys_are_ordered_by_utf16_code_units() -> None:
    """The example of RFC 8785 section 3.2.3, where code points would give another order."""
    keys = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    ordered = list(json.loads(canonical(dict.fromkeys(keys, 1))))
    assert ordered == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


def test_escapes_are_the_short_ones() -> None:
    """RFC 8785 section 3.2.2.2: short escapes, lower-case hex, nothing else escaped."""
    assert canonical('\b\t\n\f\r"\\\x0b\x1f\x7fé/') == '"\\b\\t\\n\\f\\r\\"\\\\\\u000b\\u001f\x7fé/"'.encode()


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
