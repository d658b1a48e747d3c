"""``identity.toml``: which issuers count, for which systems, and how their claims give a Unix user (T5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from goldcrest.identity.identity import is_unix_user

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signature algorithms that a rule may allow. HMAC is not among them: its key would be a public one."""

# Claims that name the program that asked for the token: the same for everybody who signs in through it.
_CLAIMS_OF_CLIENTS: Final = frozenset({"azp", "appid", "client_id", "clientId", "cid"})


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
_Words = Annotated[list[_Word], BeforeValidator(_listed), Field(min_length=1)]
_Scope = Annotated[str, StringConstraints(pattern=r"^[!#-\[\]-~]{1,256}$")]  # RFC 6749 section 3.3
_Scopes = Annotated[list[_Scope], BeforeValidator(_listed), Field(max_length=32)]


class RuleFault(ValueError):
    """A rule that contradicts itself; ``key`` is where to correct it."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class IssuerRule(BaseModel):
    """One ``[[issuer]]`` table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    issuer: _Word = Field(description="Exactly the `iss` claim of its tokens.")
    jwks_url: str | None = Field(default=None, description="Where its public keys are: https, or http on loopback.")
    jwks_file: str | None = Field(default=None, description="File with its public keys; read again when they are old.")
    ca_file: str | None = Field(default=None, description="Certificates that jwks_url is verified against.")
    audience: _Words = Field(description="The token's `aud` must hold one of these.")
    algorithms: list[Algorithm] = Field(min_length=1, description="Signature algorithms that are accepted.")
    username_claim: _ClaimName = Field(description="Claim that gives the Unix user.")
    username_pattern: str | None = Field(
        default=None,
        max_length=1024,
        description="Regular expression that the whole claim must match; its one named group is the Unix user.",
    )
    users: dict[_Word, str] = Field(
        default={}, description="Unix users of single values of users_claim, before anything else: service accounts."
    )
    users_claim: _ClaimName | None = Field(
        default=None, description="Claim that users is about, if not username_claim."
    )
    systems: list[_Word] = Field(min_length=1, description='Systems that the rule counts for; ["*"] for all.')
    required_scope: _Scopes = Field(default=[], description="Scope or scopes that a token must have.")
    scope_claim: _ClaimName = Field(default="scope", description="Claim with the scopes.")
    implied_scopes: _Scopes = Field(default=[], description="Scopes of every token of an issuer that writes none.")
    groups_claim: _ClaimName | None = Field(default=None, description="Claim with a list of groups.")
    policy_claims: list[_ClaimName] = Field(
        default=["acr", "amr", "auth_time", "azp"], max_length=32, description="Further claims that policy may use."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for fault in (*self._faults_of_keys(), *self._faults_of_users(), *self._faults_of_reach()):
            raise fault
        return self

    def _faults_of_keys(self) -> Iterator[RuleFault]:
        if (self.jwks_url is None) == (self.jwks_file is None):
            key = "jwks_file" if self.jwks_file is not None else "issuer"
            yield RuleFault(key, "the rule needs exactly one of jwks_url and jwks_file")
        if self.jwks_url is not None and not _is_safe(self.jwks_url):
            yield RuleFault("jwks_url", "must begin with https:// (http:// is accepted on loopback only)")
        if self.ca_file is not None and not (self.jwks_url or "").startswith("https://"):
            yield RuleFault("ca_file", "is of use only with an https jwks_url; remove it")

    def _faults_of_users(self) -> Iterator[RuleFault]:
        if self.username_pattern is not None:
            try:
                groups = re.compile(self.username_pattern).groupindex
            except re.error as error:
                yield RuleFault("username_pattern", f"is no regular expression: {error}")
                return
            if len(groups) != 1:
                yield RuleFault("username_pattern", "needs exactly one named group, e.g. (?P<username>[a-z]+)")
                return
        for value, user in self.users.items():
            if not is_unix_user(user):
                yield RuleFault("users", f"{user!r} is no Unix user that tokens may give; correct it")
            by_pattern = self.user_by_pattern(value) if self.username_pattern and self.users_claim is None else None
            if by_pattern not in (None, user):
                yield RuleFault(
                    "users", f"makes {value!r} {user}, and username_pattern makes it {by_pattern}: change one of them"
                )
        if self.users_claim is not None and not self.users:
            yield RuleFault("users_claim", "is of use only with a table [issuer.users]; remove it")
        if self.users and self.users_claim in _CLAIMS_OF_CLIENTS:
            yield RuleFault(
                "users_claim",
                f"{self.users_claim} names the client, also in tokens of people who sign in through it: "
                "take the claim that names the service account itself, such as sub",
            )

    def _faults_of_reach(self) -> Iterator[RuleFault]:
        if "*" in self.systems and len(self.systems) > 1:
            yield RuleFault("systems", 'names "*" and others; write either ["*"] or the names')
        if both := set(self.required_scope) & set(self.implied_scopes):
            scope = min(both)
            yield RuleFault(
                "implied_scopes", f"every token has {scope} then, and required_scope asks for it: remove one"
            )

    def user_by_pattern(self, value: str) -> str | None:
        """What the rule's pattern makes of a claim; None when it does not match."""
        match = re.fullmatch(self.username_pattern or "", value)
        return match[next(iter(match.re.groupindex))] if match else None

    @property
    def system_names(self) -> frozenset[str] | None:
        """Names of the systems, None for all."""
        return None if self.systems == ["*"] else frozenset(self.systems)


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme != "http" or parts.hostname is None:
        return False
    try:
        return parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
    except ValueError:
        return False
