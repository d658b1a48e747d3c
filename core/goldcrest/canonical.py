"""Canonical JSON (T1: RFC 8785 without floats and nulls) and digests over it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import orjson

from goldcrest.errors import InvalidInput

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json]"

_LARGEST_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: beyond it, other languages round


def canonical(value: object) -> bytes:
    """Return the canonical UTF-8 bytes of ``value``.

    Strings, integers within ±(2**53 − 1), booleans, lists and objects with string keys only.

    Raises:
        InvalidInput: for anything else, text with lone surrogates, and what is nested more than 250 levels deep.
    """
    try:
        return orjson.dumps(_ordered(value))
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"a value has no canonical form: {error}") from error


def _ordered(value: object) -> object:
    if type(value) is str:  # most are; a pattern would look up a class first
        return value
    match value:
        case bool() | str():
            return value
        case int():
            if abs(value) > _LARGEST_INTEGER:
                raise InvalidInput(f"integer {value} is too large for canonical JSON")
            return value
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise InvalidInput(f"object key {key!r} is not text")
            # Exactly a str, as orjson wants them: names of an enumeration are of a class below it.
            return {str.__str__(key): _ordered(value[key]) for key in _sorted(value)}
        case list() | tuple():
            return [_ordered(item) for item in value]
    raise InvalidInput(f"{type(value).__name__} has no canonical form (floats and nulls are not allowed)")


def _sorted(keys: Iterable[str]) -> list[str]:
    """RFC 8785 section 3.2.3: in the order of their UTF-16 code units. Where all are ASCII, as ours are, that is Python's own."""
    if all(map(str.isascii, keys)):
        return sorted(keys)
    return sorted(keys, key=lambda key: key.encode("utf-16-be", "surrogatepass"))


def sha256_hex(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def b64url(data: bytes) -> str:
    """base64url without padding (RFC 7515 appendix C)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64url_decode(text: str) -> bytes:
    """The reverse of :func:`b64url`; strict about the alphabet.

    Raises:
        InvalidInput: when the text is not base64url without padding.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise InvalidInput("not base64url") from error
    if b64url(data) != text:
        raise InvalidInput("not base64url in its shortest form")
    return data
