"""``identity.toml``: which issuers count, for which systems, and how their claims give a Unix user (T5)."""

from __future__ import annotations

import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from goldcrest.errors import InvalidInput

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signature algorithms that a rule may allow. HMAC is not among them: its key would be a public one."""

_ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class IssuerRule(BaseModel):
    """One ``[[issuer]]`` table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    issuer: _Word = Field(description="Exactly the `iss` claim of its tokens.")
    jwks_url: str | None = Field(default=None, description="Where its public keys are: https, or http on loopback.")
    jwks_file: str | None = Field(default=None, description="File with its public keys, read once at start.")
    ca_file: str | None = Field(default=None, description="Certificates that jwks_url is verified against.")
    audience: _Word | list[_Word] = Field(description="The token's `aud` must hold one of these.")
    algorithms: list[Algorithm] = Field(min_length=1, description="Signature algorithms that are accepted.")
    username_claim: _ClaimName = Field(description="Claim that gives the Unix user.")
    username_pattern: str | None = Field(
        default=None,
        max_length=1024,
        description="Regular expression that the whole claim must match; its one named group is the Unix user.",
    )
    systems: list[_Word] = Field(min_length=1, description='Systems that the rule counts for; ["*"] for all.')
    required_scope: str | None = Field(default=None, min_length=1, max_length=256, description="Scope it must have.")
    groups_claim: _ClaimName | None = Field(default=None, description="Claim with a list of groups.")
    policy_claims: list[_ClaimName] = Field(
        default=["acr", "amr", "auth_time", "azp"], max_length=32, description="Further claims that policy may use."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs exactly one of jwks_url and jwks_file")
        if self.jwks_url is not None and not _is_safe(self.jwks_url):
            raise ValueError("jwks_url must begin with https:// (http:// is accepted on loopback only)")
        if self.ca_file is not None and not (self.jwks_url or "").startswith("https://"):
            raise ValueError("ca_file is of use only with an https jwks_url; remove it")
        if "*" in self.systems and len(self.systems) > 1:
            raise ValueError('systems names "*" and others; write either ["*"] or the names')
        if self.username_pattern is not None:
            try:
                groups = re.compile(self.username_pattern).groupindex
            except re.error as error:
                raise ValueError(f"username_pattern is no regular expression: {error}") from error
            if len(groups) != 1:
                raise ValueError("username_pattern needs exactly one named group, e.g. (?P<username>[a-z]+)")
        return self

    @property
    def system_names(self) -> frozenset[str] | None:
        """Names of the systems, None for all."""
        return None if self.systems == ["*"] else frozenset(self.systems)

    @property
    def audiences(self) -> list[str]:
        return [self.audience] if isinstance(self.audience, str) else list(self.audience)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    issuer: list[IssuerRule] = Field(min_length=1)


def load_rules(path: Path) -> tuple[IssuerRule, ...]:
    """Read ``identity.toml``.

    Raises:
        InvalidInput: naming file, key and what to do.
    """
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}; give the path of identity.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}; correct it there") from error
    try:
        rules = _File.model_validate(content).issuer
    except ValidationError as error:
        raise InvalidInput(f"{path}: " + "; ".join(_sentence(content, dict(e)) for e in error.errors())) from error
    seen: set[str] = set()
    for rule in rules:
        if rule.issuer in seen:
            raise InvalidInput(
                f"{path}: two [[issuer]] tables for {rule.issuer}; which one counts would be chance: keep one"
            )
        seen.add(rule.issuer)
    return tuple(rules)


def _sentence(content: dict[str, object], fault: dict[str, object]) -> str:
    location = fault["loc"]
    assert isinstance(location, tuple)  # noqa: S101 - pydantic's type
    if fault["type"] == "missing":
        todo = "add this key"
    elif fault["type"] == "extra_forbidden":
        known = ", ".join(IssuerRule.model_fields) if len(location) > 1 else "issuer"
        todo = f"unknown key: remove it or correct its name (known: {known})"
    else:
        todo = str(fault["msg"]).removeprefix("Value error, ")
    return f"{_key(content, location)}: {todo}"


def _key(content: dict[str, object], location: tuple[object, ...]) -> str:
    """``issuer[1].audience (https://…)``: the table's number from 1, and its issuer."""
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    tables = content.get("issuer")
    if len(location) > 1 and isinstance(tables, list) and isinstance(location[1], int):
        table = tables[location[1]]
        if isinstance(table, dict) and isinstance(table.get("issuer"), str):
            text += f" ({table['issuer'][:200]})"
    return text or "file"


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
