"""What counts: fields of a spec over the lines of its script (T9). Policy decides on it, and it is what is signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import Dependency, JobSpec
from goldcrest.sbatch.directives import Directives, directives_of
from goldcrest.sbatch.options import OPTIONS, Option, SubmitOptions, Value


@dataclass(frozen=True, slots=True)
class Effective:
    """Options for sbatch, and the directory to start in when the request names one."""

    options: SubmitOptions
    work_directory: str | None


JobIds = Mapping[tuple[str, str], str | None]
"""Job ids of the gjobs that a spec depends on, by type and name; those that are not in it have nothing to wait for any more."""


def effective(spec: JobSpec, script: bytes | None, *, job_ids: JobIds | None = None) -> Effective:
    """What the submission asks of the scheduler.

    Args:
        script: the bytes that the spec holds; None when it names a file on the system: then the spec says everything.
        job_ids: as far as dependencies on gjobs are known.

    Raises:
        InvalidInput: a directive that is refused, an unknown or malformed option, two that contradict each other.
    """
    values = _fields(spec, job_ids or {}) | _scheduler_options(spec)
    directives = directives_of(script) if script is not None else Directives()
    if "dependency" in directives.lines and any(dependency.name for dependency in spec.dependencies):
        # Once all that the field names have ended there is no option left that would win over the line.
        line = directives.lines["dependency"]
        raise InvalidInput(
            f"line {line} of the script: --dependency beside a name in spec.dependencies: say all of them in spec.dependencies"
        )
    for name, value in directives.options.values().items():
        values[name] = _over(name, values.get(name), value, directives.lines[name])
    if "exclusive" in values and "oversubscribe" in values:
        raise InvalidInput("exclusive and oversubscribe contradict each other: ask for one of them")
    options = SubmitOptions.load({n: list(v) if isinstance(v, tuple) else v for n, v in values.items()})
    return Effective(options, spec.working_directory or directives.work_directory)


@dataclass(frozen=True, slots=True)
class Override:
    """A line of the script that does not count, because the request says something else.

    Args:
        line: its number; 0 where it is not known.
        flag: long option of sbatch, without hyphens.
        field: where the request says it: ``timeLimit`` or ``schedulerOptions.nice``.
    """

    line: int
    flag: str
    field: str

    @property
    def sentence(self) -> str:
        """What a requester is told."""
        where = f"line {self.line} of the script" if self.line else "the script"
        return f"{where}: --{self.flag} is not used, because spec.{self.field} says something else"


def overrides(spec: JobSpec, script: bytes) -> list[Override]:
    """Which lines of the script lose against fields of the spec, by line.

    Raises:
        InvalidInput: as :func:`effective` does.
    """
    fields, options = _fields(spec), _scheduler_options(spec)
    directives = directives_of(script)
    found = []
    for name, value in directives.options.values().items():
        given = fields.get(name, options.get(name))
        if given is not None and not OPTIONS[name].adds and given != value:
            place = name if name in fields else f"schedulerOptions.{name}"
            place = "dependencies" if place == "dependency" else place
            found.append(Override(directives.lines[name], OPTIONS[name].flag, place))
    if spec.working_directory and directives.work_directory not in (None, spec.working_directory):
        found.append(Override(0, "chdir", "workingDirectory"))
    return sorted(found, key=lambda override: override.line)


def _over(name: str, field: Value | None, directive: Value, line: int) -> Value:
    if field is None:
        return directive
    if not OPTIONS[name].adds:
        return field
    if isinstance(field, tuple) and isinstance(directive, tuple):
        return tuple(dict.fromkeys((*field, *directive)))
    if field != directive:
        # sbatch would do both: its command line does not take back what the line says.
        raise InvalidInput(f"line {line} of the script: --{OPTIONS[name].flag} contradicts the request's {name}")
    return field


def _fields(spec: JobSpec, job_ids: JobIds | None = None) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in spec.dump().items():
        if name in OPTIONS and value not in (None, []):
            values[name] = tuple(value) if isinstance(value, list) else value
    found = (_dependency(dependency, job_ids or {}) for dependency in spec.dependencies)
    dependencies = [text for text in found if text is not None]
    if dependencies:
        values["dependency"] = ",".join(dict.fromkeys(dependencies))
    return values


def _dependency(dependency: Dependency, job_ids: JobIds) -> str | None:
    if dependency.name is not None:
        job_id = job_ids.get((dependency.type, dependency.name))
        return f"{dependency.type}:{job_id}" if job_id is not None else None
    return f"{dependency.type}:{dependency.job_id}" if dependency.job_id else dependency.type


def _scheduler_options(spec: JobSpec) -> dict[str, Value]:
    fields = _fields(spec)
    values: dict[str, Value] = {}
    for name, text in spec.scheduler_options.items():
        where = f"spec.schedulerOptions.{name}"
        if name not in OPTIONS:
            raise InvalidInput(f"{where} is unknown; there are: {', '.join(sorted(OPTIONS))}")
        if name in fields:
            raise InvalidInput(f"{where} is given twice: it has a field of its own, which is set")
        try:
            values[name] = OPTIONS[name].read(text)
        except InvalidInput as error:
            raise InvalidInput(f"{where} {error.message}") from error
    return values


def fields_of(directives: Directives) -> dict[str, Any]:
    """Fields of a spec that say what the lines of a script say: for a script that the spec will only name by path.

    What has no field of its own, or does not fit into it, is in ``schedulerOptions``.
    """
    fields: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, value in directives.options.values().items():
        plain = list(value) if isinstance(value, tuple) else value
        if _fits(name, plain):
            fields[name] = plain
        else:
            others[name] = Option.write(value)
    if others:
        fields["schedulerOptions"] = others
    if directives.work_directory is not None:
        fields["workingDirectory"] = directives.work_directory
    return fields


def _fits(name: str, value: object) -> bool:
    try:
        parse_model(JobSpec, {"system": "x", "runAs": "x", "script": {}, name: value}, what="spec")
    except InvalidInput:
        return False
    return True
