"""The result of verifying a token, and the words for refusing one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_UNIX_USER: Final = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_NOBODYS: Final = frozenset({"root", "toor"})  # what no token may give, whatever minUid a node's policy file says


def is_unix_user(name: str) -> bool:
    """Whether a token may speak for this name: ASCII, lower case, no uid, no path, not root."""
    return _UNIX_USER.fullmatch(name) is not None and name not in _NOBODYS


class RefusalCode(StrEnum):
    """``code`` of :class:`goldcrest.errors.Unauthenticated`; each REST dialect has its own text for it."""

    TOKEN_MISSING = "TokenMissing"  # noqa: S105 - the name of a refusal
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105
    INVALID_SIGNATURE = "InvalidSignature"
    INVALID_AUDIENCE = "InvalidAudience"
    INVALID_ALGORITHM = "InvalidAlgorithm"
    INVALID_TOKEN = "InvalidToken"  # noqa: S105
    MISSING_SCOPE = "MissingScope"
    NO_USER = "NoUser"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody whose token was verified.

    Args:
        username: the Unix user that the issuer's rule gives.
        client: the OAuth client that the token was made for; empty when it does not say. For counting, not for rights.
        systems: names of the Systems that the rule counts for; None means all.
        claims: the few claims that policy may use, never the token.
        expires: epoch seconds after which the token is no more valid.
    """

    issuer: str
    subject: str
    username: str
    scopes: frozenset[str]
    groups: tuple[str, ...]
    systems: frozenset[str] | None
    claims: Mapping[str, Any]
    expires: int
    client: str = ""

    def counts_for(self, system: str) -> bool:
        """Whether the issuer's rule counts for this System (T5: no rule, no access)."""
        return self.systems is None or system in self.systems

    def policy_claims(self) -> dict[str, Any]:
        """What a grant keeps of this identity, so that policy sees the same at every later decision (T6)."""
        return {"scopes": sorted(self.scopes), "groups": list(self.groups), "token": dict(self.claims)}
