"""CustomResourceDefinitions made from the models (pure: dictionaries in, dictionaries out).

pydantic's JSON schema is converted to the structural subset that kube-apiserver accepts: no ``$defs``, no ``anyOf`` with null, no ``const``,
no ``additionalProperties: false``, no ``propertyNames`` (each refused by 1.34, measured).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from goldcrest.models.job import JobSpec, JobStatus
from goldcrest.models.system import SystemSpec, SystemStatus
from goldcrest.models.task import Operation, TaskResultData, TaskSpec, TaskStatus
from goldcrest.wellknown import ACCOUNTS_RESOURCE, CATEGORY, GROUP, MUTABLE_SPEC_FIELDS, VERSION, Kind

Schema = dict[str, Any]

_DROPPED = frozenset({"title", "default", "additionalProperties", "propertyNames", "$defs", "const"})


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, without defaults (T6: the digest must be the same on both sides)."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(whole, whole.get("$defs", {}))


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _merged(node, definitions)
    result: Schema = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        result["enum"] = [node["const"]]
        result.setdefault("type", "string")
    if "properties" in node:
        result["properties"] = {name: _convert(child, definitions) for name, child in node["properties"].items()}
    if "items" in node:
        result["items"] = _convert(node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions)
    elif "patternProperties" in node:  # pydantic's form of a map whose keys have a pattern; a rule checks the keys
        result.pop("patternProperties")
        (values,) = node["patternProperties"].values()
        result["additionalProperties"] = _convert(values, definitions)
    if result.get("type") == "integer":
        result.setdefault("format", "int64")
    return result


def _merged(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Resolve ``$ref`` and the ``anyOf`` with null of an optional field; what stands beside them wins."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf", "allOf")}
    if "$ref" in node:
        return {**_merged(definitions[node["$ref"].rsplit("/", 1)[1]], definitions), **beside}
    if "anyOf" in node:
        (other,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        return {**_merged(other, definitions), **beside}
    return node


def _alias(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    return field.alias or name


def frozen_rules(model: type[BaseModel]) -> list[Schema]:
    """One rule at the level of spec that keeps all fields that must not change, and names the one that did.

    On the fields themselves, ``self == oldSelf`` is skipped when an optional field is added or removed (measured). With a rule for each
    field the API server spent two milliseconds on every write of a status, in which spec is as it was: so that is looked at first.
    """
    same = {}
    for name, field in model.model_fields.items():
        alias = _alias(model, name, field)
        if alias in MUTABLE_SPEC_FIELDS:
            continue
        if field.is_required():
            same[alias] = f"self.{alias} == oldSelf.{alias}"
        else:
            same[alias] = (
                f"has(self.{alias}) == has(oldSelf.{alias}) && (!has(self.{alias}) || self.{alias} == oldSelf.{alias})"
            )
    kept = " && ".join(f"({rule})" for rule in same.values())
    changed = ", ".join(f"({rule}) ? '' : '{alias}'" for alias, rule in same.items())
    return [
        {
            "rule": f"self == oldSelf || ({kept})",
            "message": "field is immutable",
            "messageExpression": f"[{changed}].filter(name, name != '')[0] + ': field is immutable'",
            "reason": "FieldValueForbidden",
        }
    ]


_JOB_RULES: list[Schema] = [
    {
        "rule": (
            "[has(self.script.inline), has(self.script.base64), has(self.script.configMap), has(self.script.path)]"
            ".filter(x, x).size() == 1"
        ),
        "message": "script needs exactly one of inline, base64, configMap and path",
        "fieldPath": ".script",
    },
    {
        "rule": "has(self.script.path) == has(self.script.sha256)",
        "message": "script.path and script.sha256 (the digest of the file) go together",
        "fieldPath": ".script",
    },
    {
        "rule": "!has(self.environment) || self.environment.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{0,254}$'))",
        "message": "names of environment variables are letters, digits and underscores, and do not begin with a digit",
        "fieldPath": ".environment",
    },
    {
        "rule": (
            "!has(self.dependencies) || self.dependencies.all(d, "
            "[d.type == 'singleton', has(d.jobId), has(d.name)].filter(x, x).size() == 1)"
        ),
        "message": "a dependency needs either a name (of a gjob) or a jobId, unless it is singleton",
        "fieldPath": ".dependencies",
    },
]


_TASK_RULES: list[Schema] = [
    {
        "rule": "["
        + ", ".join(f"has(self.operation.{field.alias or name})" for name, field in Operation.model_fields.items())
        + "].filter(x, x).size() == 1",
        "message": "operation needs exactly one of "
        + ", ".join(field.alias or name for name, field in Operation.model_fields.items()),
        "fieldPath": ".operation",
    },
]


def _column(name: str, path: str, *, type_: str = "string", wide: bool = False, description: str) -> Schema:
    return {
        "name": name,
        "type": type_,
        "jsonPath": path,
        "description": description,
        "priority": 1 if wide else 0,
    }


def _definition(
    kind: Kind,
    *,
    short: str,
    scope: str,
    spec: type[BaseModel],
    status: type[BaseModel],
    rules: list[Schema],
    object_rules: list[Schema] | None = None,
    columns: list[Schema],
    selectable: list[str],
    description: str,
) -> Schema:
    spec_schema = structural_schema(spec)
    spec_schema["description"] = "What is asked for."
    if rules:
        spec_schema["x-kubernetes-validations"] = rules
    status_schema = structural_schema(status)
    status_schema["description"] = "What happened; written by Goldcrest only."
    # Keeps a new resource from looking Current to kstatus before it was seen (status is not part of any signed digest).
    status_schema["default"] = {"observedGeneration": -1}
    conditions = status_schema["properties"]["conditions"]
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    plural = kind.plural
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind.value,
                "listKind": f"{kind.value}List",
                "plural": plural,
                "singular": kind.value.lower(),
                "shortNames": [short],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "selectableFields": [{"jsonPath": path} for path in selectable],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": description,
                            **({"x-kubernetes-validations": object_rules} if object_rules else {}),
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string", "description": "Group and version."},
                                "kind": {"type": "string", "description": "Kind of the resource."},
                                "metadata": {"type": "object"},
                                "spec": spec_schema,
                                "status": status_schema,
                            },
                        }
                    },
                }
            ],
        },
    }


_JOB_OBJECT_RULES: list[Schema] = [
    {
        "rule": (
            "!has(self.spec.dependencies) || "
            "self.spec.dependencies.all(d, !has(d.name) || d.name != self.metadata.name)"
        ),
        "message": "a gjob cannot depend on itself: name another one in spec.dependencies",
    },
]


_AGE = _column("Age", ".metadata.creationTimestamp", type_="date", description="Time since it was made.")


def job_definition() -> Schema:
    return _definition(
        Kind.JOB,
        short=Kind.JOB.short,
        scope="Namespaced",
        spec=JobSpec,
        status=JobStatus,
        rules=[*frozen_rules(JobSpec), *_JOB_RULES],
        object_rules=_JOB_OBJECT_RULES,
        columns=[
            _column("Phase", ".status.phase", description="Where the job is."),
            _column("System", ".spec.system", description="HPC system."),
            _column("Job ID", ".status.jobId", description="Job id of the scheduler."),
            _column("Why", ".status.message", description="Why it is where it is."),
            _AGE,
            _column("User", ".spec.runAs", wide=True, description="Unix user."),
            _column("State", ".status.scheduler.state", wide=True, description="Raw state of the scheduler."),
            _column("Partition", ".status.partition", wide=True, description="Partition it was given."),
            _column("Account", ".status.account", wide=True, description="Account that is charged."),
            _column("Nodes", ".status.nodeList", wide=True, description="Nodes it runs on."),
            _column("Exit", ".status.exitCode", type_="integer", wide=True, description="Exit code."),
            _column("Via", ".spec.requestedBy.via", wide=True, description="Door it came through."),
        ],
        selectable=[".spec.system", ".spec.runAs", ".status.phase", ".status.jobId"],
        description="A batch job (or array) on an HPC system.",
    )


def task_definition() -> Schema:
    return _definition(
        Kind.TASK,
        short=Kind.TASK.short,
        scope="Namespaced",
        spec=TaskSpec,
        status=TaskStatus,
        rules=[*frozen_rules(TaskSpec), *_TASK_RULES],
        columns=[
            _column("Phase", ".status.phase", description="Where the task is."),
            _column("System", ".spec.system", description="HPC system."),
            _column("Why", ".status.message", description="Why it is where it is."),
            _AGE,
            _column("User", ".spec.runAs", wide=True, description="Unix user."),
            _column("Bytes", ".status.result.size", type_="integer", wide=True, description="Bytes of the result."),
            _column("As of", ".status.result.asOf", wide=True, description="When the system was asked."),
            _column("Via", ".spec.requestedBy.via", wide=True, description="Door it came through."),
        ],
        selectable=[".spec.system", ".spec.runAs", ".status.phase"],
        description="A query of an HPC system, or a change there that is no job: its result is kept for at most an hour.",
    )


def task_result_definition() -> Schema:
    """A kind of our own: a right to read Secrets could not be confined to results (docs/decisions/0013)."""
    data = structural_schema(TaskResultData)["properties"]["data"]
    kind = Kind.TASK_RESULT
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.value,
                "listKind": f"{kind.value}List",
                "plural": kind.plural,
                "singular": kind.value.lower(),
                "shortNames": [kind.short],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_AGE],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": "A part of a large result of a Task. Written once, by the operator.",
                            "required": ["data"],
                            "x-kubernetes-validations": [
                                {"rule": "self.data == oldSelf.data", "message": "data: field is immutable"}
                            ],
                            "properties": {
                                "apiVersion": {"type": "string", "description": "Group and version."},
                                "kind": {"type": "string", "description": "Kind of the resource."},
                                "metadata": {"type": "object"},
                                "data": data,
                            },
                        }
                    },
                }
            ],
        },
    }


def system_definition() -> Schema:
    return _definition(
        Kind.SYSTEM,
        short=Kind.SYSTEM.short,
        scope="Cluster",
        spec=SystemSpec,
        status=SystemStatus,
        rules=[],
        columns=[
            _column(
                "Ready", ".status.conditions[?(@.type=='Ready')].status", description="Whether a login host answers."
            ),
            _column("Scheduler", ".spec.scheduler.type", description="Batch scheduler."),
            _column("Why", ".status.conditions[?(@.type=='Ready')].message", description="Why it is or is not ready."),
            _AGE,
            _column("Host", ".spec.hosts[0].address", wide=True, description="First login host."),
        ],
        selectable=[],
        description="An HPC system that Goldcrest can reach. It holds no credentials.",
    )


def accounts_definition() -> Schema:
    """The empty kind that makes ``kubectl auth can-i use hpcaccounts/<system>:<user>`` answer (T7). It is never created."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{ACCOUNTS_RESOURCE}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "HpcAccount",
                "listKind": "HpcAccountList",
                "plural": ACCOUNTS_RESOURCE,
                "singular": "hpcaccount",
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": "Only a name for RBAC rules: the right to use the Unix account <system>:<user>. Never created.",
                            "x-kubernetes-validations": [
                                {
                                    "rule": "false",
                                    "message": "HpcAccounts are only named in RBAC rules; they are never created",
                                }
                            ],
                            "properties": {"metadata": {"type": "object"}},
                        }
                    },
                }
            ],
        },
    }


def definitions() -> dict[str, Schema]:
    """All definitions by file name."""
    return {
        "jobs.yaml": job_definition(),
        "systems.yaml": system_definition(),
        "tasks.yaml": task_definition(),
        "taskresults.yaml": task_result_definition(),
        "hpcaccounts.yaml": accounts_definition(),
    }
