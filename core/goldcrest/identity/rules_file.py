"""Reads ``identity.toml`` at the start; whatever is wrong with it is said with file, line, key and what to do."""

from __future__ import annotations

import contextlib
import ssl
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldcrest.errors import InvalidInput
from goldcrest.identity.keyfiles import read_guarded
from goldcrest.identity.keys import read_jwks
from goldcrest.identity.rules import IssuerRule, RuleFault
from goldcrest.identity.toml_lines import line_of

FILE_LIMIT: Final = 512 * 1024  # bytes

_Location = tuple[str | int, ...]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    issuer: list[IssuerRule] = Field(min_length=1)


def load_rules(path: Path) -> tuple[IssuerRule, ...]:
    """Read the rules, and look at the files that they name.

    Raises:
        InvalidInput: a line for each fault.
    """
    try:
        text = read_guarded(path, limit=FILE_LIMIT).decode()
        content = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text: {error}; correct it there") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is not TOML: {error}; correct it there") from error
    source = _Source(path, text, content)
    try:
        rules = _File.model_validate(content).issuer
    except ValidationError as error:
        faults = [_fault(source, dict(each)) for each in error.errors()]
    else:
        faults = [*_same_issuer(source, rules), *_files(source, rules)]
    if faults:
        raise InvalidInput("\n".join(faults))
    return tuple(rules)


class _Source:
    """The file as it was read."""

    def __init__(self, path: Path, text: str, content: dict[str, Any]) -> None:
        self.path = path
        self._text = text
        self._content = content

    def line(self, *location: str | int) -> int:
        return line_of(self._text, location)

    def told(self, location: _Location, what: str) -> str:
        """``identity.toml:12: issuer[1].audience (https://…): what``, with the table's number from 1, and its issuer."""
        name = ""
        for part in location:
            name += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if name else part
        if len(location) > 1:
            with contextlib.suppress(KeyError, TypeError, IndexError):  # it is then a fault of its own
                name += f" ({str(self._content['issuer'][location[1]]['issuer'])[:200]})"
        return f"{self.path}:{self.line(*location)}: {name or 'file'}: {what}"


def _fault(source: _Source, error: dict[str, Any]) -> str:
    location: _Location = error["loc"]
    if error["type"] == "missing":
        return source.told(location, "add this key")
    if error["type"] == "extra_forbidden":
        known = ", ".join(IssuerRule.model_fields) if len(location) > 1 else "issuer"
        return source.told(location, f"unknown key: remove it or correct its name (known: {known})")
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, RuleFault):
        return source.told((*location, cause.key), str(cause))
    return source.told(location, str(error["msg"]))


def _same_issuer(source: _Source, rules: list[IssuerRule]) -> list[str]:
    first: dict[str, int] = {}
    faults = []
    for number, rule in enumerate(rules):
        earlier = first.setdefault(rule.issuer, number)
        if earlier != number:
            line = source.line("issuer", earlier, "issuer")
            what = f"a rule for this issuer is in line {line} already; which one counts would be chance: keep one"
            faults.append(source.told(("issuer", number, "issuer"), what))
    return faults


def _files(source: _Source, rules: list[IssuerRule]) -> list[str]:
    faults = []
    for number, rule in enumerate(rules):
        for key, look in (("jwks_file", read_jwks), ("ca_file", _read_authorities)):
            name = getattr(rule, key)
            try:
                if name is not None:
                    look(Path(name))
            except InvalidInput as error:
                faults.append(source.told(("issuer", number, key), error.message))
    return faults


def _read_authorities(path: Path) -> None:
    content = read_guarded(path, limit=FILE_LIMIT)
    try:
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (ValueError, ssl.SSLError) as error:
        raise InvalidInput(f"{path} holds no certificates in PEM; put the issuer's authority there") from error
