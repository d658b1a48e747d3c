"""What can be wrong with each field of a Job, made from the schema that is shipped: a field that is added is tried too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from component.admission.stage import REPOSITORY

_OTHER_TYPES: Final[dict[str, list[Any]]] = {
    "string": [7, True, ["x"], {"x": "y"}],
    "integer": ["seven", True, [1], 1.5],
    "boolean": ["yes", 1],
    "array": ["x", 7, {"x": "y"}],
    "object": ["x", 7, ["x"]],
}


@dataclass(frozen=True)
class Bad:
    """A value for ``spec.<field>`` that must be refused.

    Args:
        field: first part of the path.
        path: to what is wrong, as the API server spells it.
        why: what is done to it, for the test's name.
    """

    field: str
    value: Any
    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}-{self.why}"


def spec_schema(kind: str = "jobs") -> dict[str, Any]:
    crd = yaml.safe_load((REPOSITORY / "crds" / f"{kind}.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def bad_values(schema: dict[str, Any], path: str) -> Iterator[tuple[Any, str, str]]:
    """Values that the schema does not allow, where in them the mistake is, and what it is."""
    kind = schema["type"]
    for value in _OTHER_TYPES[kind]:
        yield value, path, f"is-{type(value).__name__}"
    if "enum" in schema:
        yield "Nonsense", path, "not-of-the-list"
    if "minimum" in schema:
        yield schema["minimum"] - 1, path, "too-small"
    if "maximum" in schema:
        yield schema["maximum"] + 1, path, "too-large"
    if kind == "string":
        yield from _bad_texts(schema, path)
    if kind == "array":
        good = good_value(schema["items"])
        if "maxItems" in schema:
            yield [good] * (schema["maxItems"] + 1), path, "too-many"
        for value, where, why in bad_values(schema["items"], f"{path}[0]"):
            yield [value], where, why
    if kind == "object" and "properties" in schema:
        yield from _bad_objects(schema, path)
    elif kind == "object":
        good = good_value(schema["additionalProperties"])
        names = ["N" + chr(65 + number // 26) + chr(65 + number % 26) for number in range(schema["maxProperties"] + 1)]
        yield dict.fromkeys(names, good), path, "too-many"
        for value, where, why in bad_values(schema["additionalProperties"], f"{path}.N"):
            yield {"N": value}, where, why


def _bad_texts(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    pattern = schema.get("pattern")
    if "maxLength" in schema:
        yield "1" * (schema["maxLength"] + 1), path, "too-long"
    if schema.get("minLength", 0) > 0:
        yield "", path, "empty"
    for value in ("not/like this!\n", "ü\x07", "-x y;"):
        if pattern is not None and not re.search(pattern, value) and len(value) <= schema.get("maxLength", 99):
            yield value, path, "not-of-its-form"
            return


def _bad_objects(schema: dict[str, Any], path: str) -> Iterator[tuple[Any, str, str]]:
    good = good_value(schema)
    yield {**good, "nosuchfield": 1}, f"{path}.nosuchfield", "unknown"
    for name in schema.get("required", []):
        yield {key: value for key, value in good.items() if key != name}, f"{path}.{name}", "missing"
    for name, inner in schema["properties"].items():
        for value, where, why in bad_values(inner, f"{path}.{name}"):
            yield {**good, name: value}, where, why


def good_value(schema: dict[str, Any]) -> Any:
    """Something that the schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "array":
            return [good_value(schema["items"])]
        case "object":
            return {name: good_value(schema["properties"][name]) for name in schema.get("required", [])}
    pattern = schema.get("pattern", "")
    for text in ("1", "a", "/a", "0" * 64, "cluster", "2030-01-02T03:04:05Z"):
        if re.search(pattern, text):
            return text
    raise AssertionError(f"no example for {pattern}")


def bad_fields(kind: str = "jobs", *, without: frozenset[str] = frozenset()) -> list[Bad]:
    """One mistake each, for every field."""
    return [
        Bad(name, value, where, why)
        for name, schema in spec_schema(kind)["properties"].items()
        if name not in without
        for value, where, why in bad_values(schema, f"spec.{name}")
    ]
