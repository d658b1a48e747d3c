"""What ``--help`` prints: every setting with its environment name, its default and its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


def settings_page(model: type[BaseModel], *, prefix: str, program: str, about: str) -> str:
    """The help text of a process that is set up by environment variables only."""
    lines = [f"usage: {program} [--help]", "", about, "", "Settings (environment variables):", ""]
    for name, field in _leaves(model, prefix):
        lines.append(f"  {name}  ({_default(field)})")
        lines += textwrap.wrap(field.description or "", width=100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines) + "\n"


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", field


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    return "not set" if default in (None, PydanticUndefined, "") else f"default {default}"
