"""The definitions in crds/ are those of the models, and hold only what kube-apiserver accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from goldcrest.models.crd import definitions
from goldcrest.models.job import JobSpec
from goldcrest.models.task import TaskSpec
from goldcrest.wellknown import MUTABLE_SPEC_FIELDS

pytestmark = pytest.mark.unit

CRDS = Path(__file__).parents[3] / "crds"


def _nodes(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "type" in node and isinstance(node["type"], str):
            yield path, node
        for key, child in node.items():
            yield from _nodes(child, f"{path}.{key}")


@pytest.mark.parametrize("name", definitions())
def test_the_file_is_up_to_date(name: str) -> None:
    """Otherwise: `make crds`."""
    assert yaml.safe_load((CRDS / name).read_text()) == definitions()[name]


def test_no_definition_is_left_over() -> None:
    """A file without a model would be installed for ever."""
    assert {path.name for path in CRDS.glob("*.yaml")} == set(definitions())


@pytest.mark.parametrize("name", ["jobs.yaml", "systems.yaml", "tasks.yaml"])
def test_every_field_is_described_and_bounded(name: str) -> None:
    """`kubectl explain` says what each is for; strings, lists and maps of spec have bounds."""
    schema = definitions()[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    for path, field in spec["properties"].items():
        assert field.get("description"), path
    for path, node in _nodes(spec):
        match node["type"]:
            case "string":
                assert (
                    "maxLength" in node
                    or "enum" in node
                    or "format" in node
                    or node.get("pattern", "").startswith("^(ssh")
                ), path
            case "array":
                assert "maxItems" in node, path
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node, path


@pytest.mark.parametrize("name", ["jobs.yaml", "tasks.yaml"])
def test_spec_has_no_defaults_and_no_forbidden_keywords(name: str) -> None:
    """A default would change the digest between client and server (T6); the keywords are refused by the API server."""
    spec = definitions()[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for path, node in _nodes(spec):
        forbidden = {
            "default",
            "const",
            "$ref",
            "anyOf",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "propertyNames",
            "nullable",
        }
        assert not forbidden & set(node), path
        assert node.get("additionalProperties") is not False, path


@pytest.mark.parametrize(("name", "model"), [("jobs.yaml", JobSpec), ("tasks.yaml", TaskSpec)])
def test_every_field_is_frozen_or_listed_as_mutable(name: str, model: type[BaseModel]) -> None:
    """The rule compares each: a field that is added later cannot be forgotten."""
    spec = definitions()[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    (rule,) = [rule for rule in spec["x-kubernetes-validations"] if "immutable" in rule["message"]]
    frozen = set(re.findall(r"self\.(\w+) == oldSelf\.\1\)", rule["rule"]))
    assert frozen == set(re.findall(r"'(\w+)'[,\]]", rule["messageExpression"]))
    assert frozen | (set(MUTABLE_SPEC_FIELDS) & set(spec["properties"])) == set(spec["properties"])
    assert not frozen & set(MUTABLE_SPEC_FIELDS)
    assert len(spec["properties"]) == len(model.model_fields)
