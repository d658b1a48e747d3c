"""Every field of a Job out of bounds, of a wrong type, unknown, contradictory: refused, with a sentence that says what to change."""

from __future__ import annotations

import re
from typing import Any

import pytest

from component.admission.bad_specs import Bad, bad_fields, spec_schema
from component.admission.stage import Stage, job
from component.admission.test_kubectl import kubectl

pytestmark = pytest.mark.component

# Written by admission: what a client says there is refused for that, whatever it is.
STAMPED = frozenset({"requestedBy", "scriptSha256"})
BAD = bad_fields(without=STAMPED)
FIELDS = sorted({bad.field for bad in BAD})


def with_value(field: str, value: Any) -> dict[str, Any]:
    made = job()
    made["spec"][field] = value
    return made


def sentence_of(stage: Stage, resource: dict[str, Any]) -> str:
    answer = stage.create_job("alice", resource, namespace="team", dry_run=True)
    assert answer.status in (400, 403, 422), (answer.status, answer.message)
    return answer.message


def names_it(message: str, bad: Bad) -> bool:
    """Whether the field that is wrong is named: itself, or what it is in."""
    path = bad.path.removesuffix(".nosuchfield")
    return any(re.sub(r"\[0\]|\.N$", "", known) in message.replace("[0]", "").replace(".0", "") for known in (path,))


@pytest.mark.parametrize("field", FIELDS)
def test_each_field(stage: Stage, field: str) -> None:
    """Each mistake that the schema knows: the answer names the field, and gives the bound, the list, the type or the form."""
    told = {}
    for bad in (bad for bad in BAD if bad.field == field):
        message = sentence_of(stage, with_value(field, bad.value))
        assert names_it(message, bad), (bad, message)
        assert says_what_to_change(message, bad), (str(bad), message)
        assert len(message) < 2000, (str(bad), len(message))  # the value is not thrown back whole
        told[str(bad)] = message
    assert told


TASK_BAD = bad_fields("tasks", without=STAMPED)
TASK_PARTS = sorted({".".join(bad.path.split(".")[1:3]) for bad in TASK_BAD})


@pytest.mark.parametrize("part", TASK_PARTS)
def test_each_field_of_a_task(stage: Stage, part: str) -> None:
    """As for a Job; of each operation, too."""
    tried = 0
    for bad in (bad for bad in TASK_BAD if ".".join(bad.path.split(".")[1:3]) == part):
        fields = {"operation": {"nodes": {}}, bad.field: bad.value}
        answer = stage.create_task("alice", fields.pop("operation"), **fields)
        assert answer.status in (400, 403, 422), (str(bad), answer.status, answer.message)
        assert names_it(answer.message, bad), (str(bad), answer.message)
        assert says_what_to_change(answer.message, bad), (str(bad), answer.message)
        tried += 1
    assert tried


HINTS = {
    "too-long": r"must have at most \d+ characters",
    "too-many": r"must have at most \d+ entries",
    "too-small": r"must be greater than or equal to -?\d+",
    "too-large": r"must be less than or equal to \d+",
    "empty": r"must have at least \d+ character",
    "not-of-the-list": r"must be '.+' or '.+'",
    "not-of-its-form": r"is not of its form \(.{10,}\)|must have at least \d+ characters",
    "unknown": r"unknown field",
    "missing": r"is required \(.{10,}\)",
}
# Of a wrong type. What is an object in the place of a text is an unknown field to the API server, before anybody else is asked.
TYPE = r"must be text: write it in quotes \(.{10,}\)|must be an object|must be an? valid (string|integer|list|boolean)|unknown field|must be of type (integer|boolean)|must be '.+' or '.+'"


def says_what_to_change(message: str, bad: Bad) -> bool:
    return re.search(HINTS.get(bad.why, TYPE), message) is not None


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"script": {}}, "script needs exactly one of inline, base64, configMap and path"),
        (
            {"script": {"inline": "x", "path": "/x", "sha256": "0" * 64}},
            "script needs exactly one of inline, base64, configMap and path",
        ),
        ({"script": {"path": "/x"}}, "spec.script.path needs spec.script.sha256"),
        (
            {"script": {"inline": "#!/bin/sh\n", "sha256": "0" * 64}},
            "spec.script.sha256 is not the SHA-256 of the script; leave it out or correct it",
        ),
        (
            {"environment": {"A-B": "x"}},
            "spec.environment.A-B.[key]: this name is not of its form, which is ^[A-Za-z_][A-Za-z0-9_]*$",
        ),
        (
            {"dependencies": [{"type": "afterok"}]},
            "a dependency needs either a name (of a gjob) or a jobId, unless it is singleton",
        ),
        (
            {"dependencies": [{"type": "singleton", "jobId": "7"}]},
            "a dependency needs either a name (of a gjob) or a jobId, unless it is singleton",
        ),
    ],
)
def test_what_contradicts_itself(stage: Stage, spec: dict[str, Any], sentence: str) -> None:
    """Fields that are right alone."""
    made = job()
    made["spec"].update(spec)
    assert sentence in sentence_of(stage, made)


@pytest.mark.parametrize("field", sorted(STAMPED))
def test_what_admission_writes(stage: Stage, field: str) -> None:
    """Nobody else does."""
    value = {"via": "Kubernetes", "username": "root"} if field == "requestedBy" else "0" * 64
    message = sentence_of(stage, with_value(field, value))
    assert field in message


@pytest.mark.parametrize("name", ["Up", "-x", "a_b", "x" * 254, "ü"])
def test_names_of_resources(stage: Stage, name: str) -> None:
    """Kubernetes' own sentence, with the form that it wants."""
    message = sentence_of(stage, {**job(), "metadata": {"name": name}})
    assert "metadata.name" in message
    assert "lower case" in message or "253 characters" in message


def test_fields_are_tried() -> None:
    """The schema is read: each field has mistakes, of each sort."""
    assert set(FIELDS) == set(spec_schema()["properties"]) - STAMPED
    assert set(HINTS) <= {bad.why for bad in BAD}
    assert {part.split(".")[0] for part in TASK_PARTS} == set(spec_schema("tasks")["properties"]) - STAMPED


@pytest.mark.parametrize("why", sorted(HINTS))
def test_as_kubectl_prints_it(stage: Stage, why: str) -> None:
    """One of each sort through kubectl itself: status 1, nothing is made, and the field is named."""
    bad = next(bad for bad in BAD if bad.why == why)
    manifest = {**with_value(bad.field, bad.value), "metadata": {"name": "bad"}}
    status, out, err = kubectl(stage, "alice", "create", "--validate=strict", "-f", "-", manifest=manifest)
    assert (status, out) == (1, "")
    assert bad.path.removeprefix("spec.").split(".")[0].split("[")[0] in err
