"""``WWW-Authenticate``: what is wrong with a token, for the program that sent it (RFC 6750 section 3, RFC 9470 section 3)."""

from __future__ import annotations

from typing import Final

from goldcrest.errors import InsufficientAuthentication, Unauthenticated

_PARAMETERS: Final = ("scope", "acr_values", "max_age")


def bearer_challenge(error: Unauthenticated) -> str:
    """Value of the header for a request that ends with 401."""
    if error.code == "TokenMissing":
        return "Bearer"  # who sent nothing is told nothing else (RFC 6750 section 3.1)
    if isinstance(error, InsufficientAuthentication):
        kind = "insufficient_user_authentication"
    else:
        kind = "insufficient_scope" if error.code == "MissingScope" else "invalid_token"
    parameters = {"error": kind, "error_description": error.message}
    parameters |= {name: error.challenge[name] for name in _PARAMETERS if name in error.challenge}
    return "Bearer " + ", ".join(f'{name}="{_quotable(value)}"' for name, value in parameters.items())


def _quotable(text: str) -> str:
    """Only what RFC 6750 allows in these parameters."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" if c == '"' else "?" for c in text)
