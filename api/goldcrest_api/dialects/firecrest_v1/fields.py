"""Checks of the fields of requests (contract 3.5), and what forms and queries hold."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal

Outcome = Literal["not specified", "is empty", "has invalid char"]
"""What can be wrong with a field; it appears in error texts."""

_INVALID: Final = re.compile(r"""[<>|;"'&\\()`\x00-\x1f\ud800-\udfff]""")  # lone surrogates: no text can hold them
_UNPRINTED: Final = re.compile(r"[\x00-\x1f\ud800-\udfff]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
VARIABLE_LIMIT: Final = 256  # of models.job.JobSpec.environment
VALUE_LIMIT: Final = 4096  # characters


def outcome(value: str | None) -> Outcome | None:
    """What is wrong with a value; None when nothing is."""
    if value is None:
        return "not specified"
    if value == "":
        return "is empty"
    return "has invalid char" if _INVALID.search(value) else None


def escaped_outcome(value: str | None) -> Outcome | None:
    """Likewise for a value in which such characters are written as escapes: only what no escaped text holds is refused."""
    if value is None:
        return "not specified"
    if value == "":
        return "is empty"
    return "has invalid char" if _UNPRINTED.search(value) else None


def is_true(value: str | None) -> bool:
    """Whether a field that is a switch is on: ``true`` or ``yes`` in any case, or ``1``."""
    return value is not None and (value.lower() in ("true", "yes") or value == "1")


def is_text(value: str) -> bool:
    """Whether it can be written in UTF-8."""
    return _SURROGATE.search(value) is None


class NotJson(ValueError):
    """``env`` is no JSON object."""


def environment(text: str) -> dict[str, str]:
    """Environment variables of the form field ``env``: a JSON object. Values that are no text become their JSON text.

    Raises:
        NotJson: it is no JSON object.
        ValueError: a name or value that no variable can have, naming it.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(text) from error
    if not isinstance(given, dict):
        raise NotJson(text)
    if len(given) > VARIABLE_LIMIT:
        raise ValueError(f"{len(given)} environment variables; {VARIABLE_LIMIT} are allowed")
    return {name: _value(name, value) for name, value in given.items()}


def _value(name: str, value: Any) -> str:
    if not _VARIABLE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of an environment variable")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > VALUE_LIMIT:
        raise ValueError(f"environment variable {name} has more than {VALUE_LIMIT} characters")
    if "\0" in text or not is_text(text):
        raise ValueError(f"environment variable {name} has a character that no variable can have")
    return text
