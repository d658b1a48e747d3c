"""Canonical JSON (T1: RFC 8785 without floats and nulls) and digests over it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from goldcrest.errors import InvalidInput

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json]"

_LARGEST_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: beyond it, other languages round


def canonical(value: object) -> bytes:
    """Return the canonical UTF-8 bytes of ``value``.

    Strings, integers within ±(2**53 − 1), booleans, lists and objects with string keys only.

    Raises:
        InvalidInput: for anything else, and for text with lone surrogates.
    """
    try:
        return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("text with a lone surrogate has no canonical form") from error


def _ordered(value: object) -> object:
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
            # RFC 8785 section 3.2.3: keys in the order of their UTF-16 code units.
            return {
                key: _ordered(value[key]) for key in sorted(value, key=lambda k: k.encode("utf-16-be", "surrogatepass"))
            }
        case list() | tuple():
            return [_ordered(item) for item in value]
    raise InvalidInput(f"{type(value).__name__} has no canonical form (floats and nulls are not allowed)")


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
