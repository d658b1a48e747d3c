"""Settings as text: each with its environment name, default and reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings


def help_text(settings: type[BaseSettings], *, program: str, what: str) -> str:
    """What ``--help`` prints."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    delimiter = str(settings.model_config.get("env_nested_delimiter", "__"))
    lines = [f"usage: {program} [--help]", "", what, "", "Settings are read from the environment:", ""]
    for name, default, description in _fields(settings, prefix, delimiter):
        lines.append(f"  {name}{default}")
        lines += textwrap.wrap(description, 100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel], prefix: str, delimiter: str) -> Iterator[tuple[str, str, str]]:
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name.upper()}{delimiter}", delimiter)
            continue
        default = "  (required)" if info.is_required() else ""
        if info.default not in (None, "", PydanticUndefined):
            default = f"={info.default}"
        yield prefix + name.upper(), default, info.description or ""
