"""Labels that callers put on their jobs: names and values of their own, stored as labels of Kubernetes under a prefix. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from goldcrest.wellknown import LABEL_OF_CALLERS_PREFIX

LABEL_LIMIT: Final = 32  # of one job
_WORD: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")  # what Kubernetes takes as name and value
_FORM: Final = (
    "1 to 63 letters, digits, hyphens, underscores and dots are allowed, and a letter or digit at the beginning and end"
)


def read_labels(text: str) -> dict[str, str]:
    """Labels of a form field: a JSON object of texts.

    Raises:
        ValueError: with a sentence that says what is wrong.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("'labels' is no JSON object") from error
    if not isinstance(given, dict):
        raise ValueError("'labels' is no JSON object")
    if len(given) > LABEL_LIMIT:
        raise ValueError(f"'labels' has {len(given)} labels; {LABEL_LIMIT} are allowed")
    for name, value in given.items():
        _check_name(name)
        _check_value(name, value)
    return given


def stored(labels: Mapping[str, str]) -> dict[str, str]:
    """As labels of a resource."""
    return {LABEL_OF_CALLERS_PREFIX + name: value for name, value in labels.items()}


def of_resource(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Those of a resource's labels that callers gave, as they gave them."""
    prefix = LABEL_OF_CALLERS_PREFIX
    return {name.removeprefix(prefix): value for name, value in (labels or {}).items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """What is asked for: every name must be there, with the value where one is given."""

    wanted: Mapping[str, str | None]

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read ``name=value,name``.

        Raises:
            ValueError: with a sentence that says what is wrong.
        """
        parts = text.split(",")
        if len(parts) > LABEL_LIMIT:
            raise ValueError(f"'labels' asks for {len(parts)} labels; {LABEL_LIMIT} are allowed")
        wanted: dict[str, str | None] = {}
        for part in parts:
            name, equals, value = part.strip().partition("=")
            _check_name(name)
            if equals:
                _check_value(name, value)
            if name in wanted:
                raise ValueError(f"'labels' asks for {name} twice")
            wanted[name] = value if equals else None
        return cls(wanted)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(name in labels and value in (None, labels[name]) for name, value in self.wanted.items())


def _check_name(name: str) -> None:
    if not _WORD.fullmatch(name):
        raise ValueError(f"{name!r:.80} is no name of a label: {_FORM}")


def _check_value(name: str, value: Any) -> None:
    if not isinstance(value, str) or not (value == "" or _WORD.fullmatch(value)):
        raise ValueError(f"the value of the label {name} is none: {_FORM}")
