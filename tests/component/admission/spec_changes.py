"""For every field of a Job's spec: a value, and another one. A field without an entry fails the tests that use this."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from goldcrest.models.job import JobSpec
from goldcrest.wellknown import MUTABLE_SPEC_FIELDS

_SCRIPT: Final = "#!/bin/sh\nid\n"
REQUIRED: Final = ("system", "runAs", "script")

VALUES: Final[dict[str, tuple[Any, Any]]] = {
    "system": ("cluster", "other"),
    "runAs": ("alice", "bob"),
    "requestedBy": ({}, {"via": "Grant", "username": "bob", "groups": []}),  # the first is what admission wrote
    "suspend": (True, False),
    "cancel": (False, True),
    "deletionPolicy": ("Cancel", "Orphan"),
    "ttlSecondsAfterFinished": (90, 91),
    "script": ({"inline": _SCRIPT}, {"inline": "#!/bin/sh\nrm -rf ~\n"}),
    "scriptSha256": (hashlib.sha256(_SCRIPT.encode()).hexdigest(), "0" * 64),
    "runKey": ("first", "second"),
    "workingDirectory": ("/scratch/alice", "/scratch/bob"),
    "environment": ({"A": "b"}, {"A": "b", "LD_PRELOAD": "/tmp/x.so"}),
    "jobName": ("mine", "yours"),
    "account": ("physics", "chemistry"),
    "partition": ("normal", "debug"),
    "qos": ("low", "high"),
    "reservation": ("r1", "r2"),
    "constraint": ("gpu", "cpu"),
    "nodes": ("1", "1-4"),
    "tasks": (1, 2),
    "tasksPerNode": (1, 2),
    "cpusPerTask": (1, 2),
    "memory": ("1G", "2G"),
    "memoryPerCpu": ("1G", "2G"),
    "gpus": ("1", "2"),
    "timeLimit": ("5", "UNLIMITED"),
    "array": ("1-2", "1-20000"),
    "dependencies": ([{"type": "singleton"}], [{"type": "after", "jobId": "1"}]),
    "stdin": ("/scratch/alice/in", "/scratch/bob/in"),
    "stdout": ("out", "/scratch/bob/out"),
    "stderr": ("err", "/scratch/bob/err"),
    "mailUser": ("alice@example.org", "bob@example.org"),
    "mailType": (["END"], ["ALL"]),
    "requeue": (False, True),
    "schedulerOptions": ({"nice": "5"}, {"nice": "5", "comment": "x"}),
}

_FIELDS: Final = tuple(field.alias or name for name, field in JobSpec.model_fields.items())
FROZEN: Final = tuple(name for name in _FIELDS if name not in MUTABLE_SPEC_FIELDS)


def whole_spec() -> dict[str, Any]:
    """A spec in which every field is set that a requester sets."""
    assert set(VALUES) == set(_FIELDS), f"without a value: {set(_FIELDS) ^ set(VALUES)}"
    return {name: first for name, (first, _) in VALUES.items() if name != "requestedBy"}


def additions() -> list[tuple[str, Any]]:
    """Each frozen field that a least spec has not, with a value for it."""
    return [(name, VALUES[name][1]) for name in FROZEN if name not in (*REQUIRED, "requestedBy")]


def changes() -> list[tuple[str, Any]]:
    """Each frozen field, with another value than in :func:`whole_spec`."""
    return [(name, VALUES[name][1]) for name in FROZEN]


def removals() -> list[str]:
    """Each frozen field that may be missing."""
    return [name for name in FROZEN if name not in REQUIRED]
