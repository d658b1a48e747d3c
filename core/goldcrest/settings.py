"""Settings of a process: explained by ``--help``, read from the environment once, refused with what to do about it."""

from __future__ import annotations

import difflib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsError

from goldcrest.errors import GoldcrestError, InvalidInput

STATUS_FAILED: Final = 1  # exit status: something that the settings name cannot be used
STATUS_SETTINGS: Final = 2  # exit status: the settings themselves are wrong

_WIDTH: Final = 100
# What Kubernetes puts into a pod's environment for Services whose names begin as ours do (goldcrest-api: GOLDCREST_API_PORT=tcp://…).
_SERVICE_LINK: Final = re.compile(
    r"[^=]*_(SERVICE_HOST=|SERVICE_PORT(_[^=]+)?=|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=|PORT=(tcp|udp|sctp)://)"
)

_Settings = TypeVar("_Settings", bound=BaseSettings)


class InvalidSettings(InvalidInput):
    """The settings do not fit: one line for each that is wrong, by its environment variable."""

    code = "InvalidSettings"


def describe_settings(model: type[BaseSettings]) -> str:
    """For ``--help``: environment variable, default and meaning of each setting, nested ones too."""
    lines = ["settings (environment variables):"]
    for name, field in _leaves(model, _prefix(model)):
        lines.append(f"  {name}  ({_default(field)})")
        lines += textwrap.wrap(field.description or "", _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines) + "\n"


def help_page(model: type[BaseSettings], *, program: str, about: str) -> str:
    """The help of a program that takes no arguments."""
    return f"usage: {program} [--help]\n\n{about}\n\n{describe_settings(model)}"


def read_settings(model: type[_Settings]) -> _Settings:
    """The settings in the environment.

    Raises:
        InvalidSettings: one is missing, malformed or unknown; a mistyped name must not leave a limit at its default.
    """
    unknown = list(_unknown(model))
    if unknown:
        raise InvalidSettings("\n".join(unknown))
    try:
        return model()
    except ValidationError as error:
        raise InvalidSettings("\n".join(_fault(model, fault) for fault in error.errors())) from error
    except SettingsError as error:  # of a list or map that is no JSON
        field = re.search(r'field "(\w+)"', str(error))
        name = _prefix(model) + (field[1].upper() if field else "…")
        raise InvalidSettings(
            f'{name}: this is not JSON; lists are written as ["…", "…"], maps as {{"…": "…"}}'
        ) from error


def reported(program: str, start: Callable[[], int]) -> int:
    """Run ``start``; what keeps it from starting goes to standard error in sentences. Returns the exit status."""
    try:
        return start()
    except InvalidSettings as error:
        for line in error.message.splitlines():
            sys.stderr.write(f"{program}: {line}\n")
        return STATUS_SETTINGS
    except GoldcrestError as error:
        sys.stderr.write(f"{program}: {error.message}\n")
        return STATUS_FAILED


def _prefix(model: type[BaseSettings]) -> str:
    return str(model.model_config.get("env_prefix", ""))


def _fault(model: type[BaseSettings], fault: ErrorDetails) -> str:
    what = fault["msg"].removeprefix("Value error, ")
    place: type[BaseModel] = model
    name, field, rest = _prefix(model), None, ""
    for part in fault["loc"]:
        if isinstance(part, str) and not rest and part in place.model_fields:
            name += ("__" if field is not None else "") + part.upper()
            field = place.model_fields[part]
            inner = field.annotation
            place = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else BaseModel
        else:
            rest += f"[{part}]"
    if field is None:
        return f"settings{rest}: {what}"
    missing = fault["type"] == "missing" and not rest
    return f"{name}{rest}: {what}" + (f": {field.description}" if missing and field.description else "")


def _unknown(model: type[BaseSettings]) -> Iterator[str]:
    prefix = _prefix(model)
    if model.model_config.get("extra") != "forbid":  # a part of another process' settings
        return
    known = {name for name, _ in _leaves(model, prefix)} | {f"{prefix}{name.upper()}" for name in model.model_fields}
    for name, value in sorted((name.upper(), value) for name, value in os.environ.items()):
        if not name.startswith(prefix) or name in known or _SERVICE_LINK.match(f"{name}={value}"):
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1)
        yield f"{name}: there is no such setting" + (f"; {near[0]} is meant?" if near else "; see --help")


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
    return "not set" if default in (None, "") else f"default {default}"
