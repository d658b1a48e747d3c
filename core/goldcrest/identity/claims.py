"""What is taken from the claims of a verified token, each of the type that its standard gives it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from goldcrest.errors import InvalidInput

GROUPS_LIMIT: Final = 256
CLAIMS_LIMIT: Final = 8 * 1024  # bytes of all claims that policy may use
DEPTH_LIMIT: Final = 8  # of nested lists and objects
LARGEST_INTEGER: Final = 2**53 - 1  # RFC 8785 section 3.2.2.3: OPA and others round what is beyond

_TEXT: Final = "text"
_TEXTS: Final = "a list of texts"
_INTEGER: Final = "an integer"
# OpenID Connect Core section 2, RFC 9068 section 2.2.1. A claim of another type is refused, not left out: policy that does not ask for
# it would let pass what its issuer gets wrong.
_TYPES: Final = {"acr": _TEXT, "azp": _TEXT, "client_id": _TEXT, "amr": _TEXTS, "auth_time": _INTEGER}


_CLIENT_CLAIMS: Final = ("azp", "client_id", "appid")  # OpenID Connect Core 2, RFC 9068 2.2, Entra v1
_CLIENT_LIMIT: Final = 256  # characters


def client_of(claims: Mapping[str, Any]) -> str:
    """The OAuth client that a token was made for; empty when it does not say, or in another form."""
    for name in _CLIENT_CLAIMS:
        value = claims.get(name)
        if isinstance(value, str) and value:
            return value[:_CLIENT_LIMIT]
    return ""


def words(value: object) -> list[str]:
    """Scopes: text with blanks (RFC 8693 section 4.2) or a list of text; nothing else has any."""
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def groups_of(claims: Mapping[str, Any], name: str | None) -> tuple[str, ...]:
    """The groups in a claim; none when the rule names no claim or the token has none.

    Raises:
        InvalidInput: another type, or too many.
    """
    groups = claims.get(name, []) if name else []
    if not _is_texts(groups) or len(groups) > GROUPS_LIMIT or any(len(group) > 1024 for group in groups):
        raise InvalidInput(f"claim {name} of the token is not a list of at most {GROUPS_LIMIT} groups")
    return tuple(groups)


def policy_claims(claims: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The claims with these names that the token has.

    Raises:
        InvalidInput: one is of a wrong type, or they are too large.
    """
    chosen = {name: claims[name] for name in names if name in claims}
    for name, value in chosen.items():
        wanted = _TYPES.get(name)
        if wanted is not None and not _is(value, wanted):
            raise InvalidInput(f"claim {name} of the token is not {wanted}")
        if not _is_plain(value, DEPTH_LIMIT):
            raise InvalidInput(f"claim {name} of the token holds fractions, large numbers or too many levels")
    if len(json.dumps(chosen)) > CLAIMS_LIMIT:
        raise InvalidInput(f"the token's policy claims are larger than {CLAIMS_LIMIT} bytes")
    return chosen


def _is(value: object, wanted: str) -> bool:
    if wanted == _INTEGER:
        return type(value) is int and value >= 0
    return _is_texts(value) if wanted == _TEXTS else isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_plain(value: object, depth: int) -> bool:
    """Whether every reader of JSON understands the same."""
    match value:
        case None | bool() | str():
            return True
        case int():
            return abs(value) <= LARGEST_INTEGER
        case list():
            return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
        case dict():
            return depth > 0 and all(_is_plain(item, depth - 1) for item in value.values())
    return False
