"""What policy wants of a sign-in, when it refuses a token for the lack of it (RFC 9470 section 3)."""

from __future__ import annotations

from typing import Final

_VALUES: Final = 16
_LENGTH: Final = 256  # characters of one value


def challenge_of(value: object) -> dict[str, str]:
    """``acr_values`` and ``max_age`` for a client, of ``{"acr_values": ["…"], "max_age": seconds}``.

    What is of another form is left out: policy has refused anyhow, and its words are for people.
    """
    if not isinstance(value, dict):
        return {}
    challenge = {}
    acr = value.get("acr_values")
    if isinstance(acr, list) and 0 < len(acr) <= _VALUES and all(_is_value(entry) for entry in acr):
        challenge["acr_values"] = " ".join(acr)
    age = value.get("max_age")
    if type(age) is int and 0 <= age < 2**31:
        challenge["max_age"] = str(age)
    return challenge


def _is_value(entry: object) -> bool:
    # Values are told apart by blanks, and stand between quotation marks in a header.
    return (
        isinstance(entry, str) and 0 < len(entry) <= _LENGTH and all("!" <= c <= "~" and c not in '"\\' for c in entry)
    )
