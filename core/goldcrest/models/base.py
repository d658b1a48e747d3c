"""What all models share: Kubernetes spelling outside, Python spelling inside, immutable, nothing unknown."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from goldcrest.errors import InvalidInput


class Model(BaseModel):
    """A frozen value with camelCase keys in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    def dump(self) -> dict[str, Any]:
        """JSON-ready dictionary with camelCase keys; unset and null fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=False)


class StatusModel(Model):
    """A status is written by us but may come from a newer release: unknown keys are kept out of the way."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


T = TypeVar("T", bound=BaseModel)

_WITHHELD = frozenset({"environment", "script"})  # fields whose content is never repeated in an error (T12)
_KEY = re.compile(r"\[?[A-Za-z_][A-Za-z0-9_.-]{0,63}\]?")

# Text that may become one argument of a program: no control characters (so no newline and no NUL).
_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"

Argument = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_NO_CONTROL)]
"""One argument of a scheduler command, 1 to 1024 characters."""

RemotePath = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=_NO_CONTROL)]
"""A path on a system, at most 4096 characters (PATH_MAX)."""

AbsolutePath = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^/[^\x00-\x1f\x7f]*$")]
"""An absolute path on a system."""

UnixUser = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_.-]*\$?$")]
"""A Unix user name (useradd(8), with the dot that many sites allow)."""

SystemName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""Name of a System resource (RFC 1123 label)."""

Sha256 = Annotated[str, StringConstraints(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")]
"""Lower-case hexadecimal SHA-256."""

Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
"""RFC 3339 time in UTC, e.g. ``2030-01-02T03:04:05Z``."""


def parse_model(model: type[T], value: object, *, what: str) -> T:
    """Validate ``value`` as ``model``.

    Raises:
        InvalidInput: with one sentence per mistake, each naming the field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = "; ".join(_sentence(model, what, fault) for fault in error.errors())
        raise InvalidInput(faults) from error


def _sentence(model: type[BaseModel], what: str, fault: ErrorDetails) -> str:
    """One mistake for people: which field, what is wrong, and what the field is for."""
    path = ".".join([what, *map(_named, fault["loc"])])
    kind, context = fault["type"], fault.get("ctx", {})
    match kind:
        case "missing":
            return f"{path} is required{_meant(model, fault)}"
        case "extra_forbidden":
            return f"{path} is not a known field"
        case "string_type" if isinstance(fault["input"], int | float | bool):
            return f"{path} must be text: write it in quotes{_meant(model, fault)}"  # YAML takes 10 and yes for something else
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"{path} must be an object (key: value){_meant(model, fault)}"
        case "too_long" | "too_short":
            bound = f"at most {context['max_length']}" if kind == "too_long" else f"at least {context['min_length']}"
            return f"{path} must have {bound} entries"
        case "string_pattern_mismatch" if fault["loc"] and fault["loc"][-1] == "[key]":
            return f"{path}: this name is not of its form, which is {context['pattern']}"
        case "string_pattern_mismatch" if _WITHHELD.intersection(fault["loc"]):
            return f"{path} is not of its form{_meant(model, fault)}"
        case "string_pattern_mismatch":
            return f"{path}: {fault['input']!r:.100} is not of its form{_meant(model, fault)}"
    return f"{path}: {fault['msg'].replace('Input should', 'it must').replace('String should', 'it must')}"


def _meant(model: type[BaseModel], fault: ErrorDetails) -> str:
    """What the field is for, in brackets: of the innermost one that says it."""
    told = ""
    looked: type[BaseModel] | None = model
    for part in fault["loc"]:
        if looked is not None and isinstance(part, str):
            fields = looked.model_fields.items()
            field = next((field for name, field in fields if part in (name, field.alias)), None)
            if field is None:
                break
            told, looked = field.description or told, _model_in(field.annotation)
    return f" ({told.rstrip('.')})" if told else ""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in ``X | None``, ``list[X]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _named(part: str | int) -> str:
    """A key as it may stand in a sentence that is logged: what is no name may be a value that slipped (``SECRET=…``)."""
    return str(part) if isinstance(part, int) or _KEY.fullmatch(part) else "…"
