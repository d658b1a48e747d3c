"""What policy is asked when a resource is made, whatever its kind: one place for delegation's grants and for admission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from goldcrest.authorised_tasks import command_of
from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec
from goldcrest.models.task import TaskSpec
from goldcrest.policy.question import Question, Subject, Trigger, asked_by
from goldcrest.wellknown import MUTABLE_SPEC_FIELDS, Kind

MADE_KINDS: Final = (Kind.JOB, Kind.TASK)
"""Kinds that people make, by REST or in Kubernetes."""

FINALIZED_KINDS: Final = (Kind.JOB,)
"""Those that leave something behind on the system, which the operator cleans up before they go."""

Spec = JobSpec | TaskSpec


def made_kind(name: str) -> Kind:
    """
    Raises:
        InvalidInput: it is no kind that people make.
    """
    for kind in MADE_KINDS:
        if name == kind.value:
            return kind
    raise InvalidInput(f"kind must be {' or '.join(kind.value for kind in MADE_KINDS)}")


def mutable_fields(kind: Kind) -> tuple[str, ...]:
    """Fields of its spec that may change after creation."""
    model = TaskSpec if kind is Kind.TASK else JobSpec
    names = {field.alias or name for name, field in model.model_fields.items()}
    return tuple(name for name in MUTABLE_SPEC_FIELDS if name in names)


def parse_spec(kind: Kind, value: object) -> Spec:
    """The spec of a resource that people make.

    Raises:
        InvalidInput: with one sentence for each mistake.
    """
    if kind is Kind.TASK:
        spec = parse_model(TaskSpec, value, what="spec")
        command_of_valid(spec)
        return spec
    return parse_model(JobSpec, value, what="spec")


def command_of_valid(spec: TaskSpec) -> None:
    """
    Raises:
        InvalidInput: not exactly one operation, or one that no command can be made of. What is to be cancelled may be no id: then the
            Task ends so.
    """
    if spec.operation.cancel_job is None or len(spec.operation.names) != 1:
        command_of(spec.operation)


def operation_of(kind: Kind, spec: Spec) -> str:
    """The operation that policy sees: ``job.create``, or for a Task what it does: ``task.listJobs``, ``task.cancelJob``."""
    if isinstance(spec, TaskSpec):
        return f"task.{spec.operation.names[0]}"
    return f"{kind.value.lower()}.create"


def creation_question(
    kind: Kind,
    spec: Spec,
    *,
    subject: Subject,
    namespace: str,
    name: str,
    wildcards: Sequence[str] = (),
    config_map: bytes | None = None,
) -> Question:
    """What policy is asked.

    Args:
        config_map: what the ConfigMap holds that the spec names as its script.

    Raises:
        InvalidInput: a script or an option that is refused.
    """
    fields: Mapping[str, Any]
    resources: Mapping[str, int] = {}
    if isinstance(spec, TaskSpec):
        fields = {name: value for name, value in spec.dump().items() if name not in ("system", "runAs", "requestedBy")}
    else:
        asked = asked_by(spec, config_map)
        fields, resources = asked.fields, asked.resources
    return Question(
        trigger=Trigger.REQUEST,
        subject=subject,
        system=spec.system,
        run_as=spec.run_as,
        operation=operation_of(kind, spec),
        kind=kind.value,
        namespace=namespace,
        name=name,
        fields=fields,
        resources=resources,
        wildcards=wildcards,
    )
