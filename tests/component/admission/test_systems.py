"""Limits of single operations and the object store of a System: what the API server takes, and the sentence where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from component.admission.stage import API, SYSTEM, Stage
from goldcrest.commands.base import operations
from goldcrest.models.crd import structural_schema
from goldcrest.models.system import Limits

pytestmark = pytest.mark.component


def create(stage: Stage, **spec: Any) -> Any:
    system = {**SYSTEM, "metadata": {"name": "another"}, "spec": {**SYSTEM["spec"], **spec}}
    return stage.call("root", "POST", f"{API}/systems?dryRun=All", system)


@pytest.mark.parametrize(
    ("operations", "sentence"),
    [
        ([{"operation": "fs.read", "maxFileSizeMiB": 5}, {"operation": "fs.checksum", "seconds": 60}], ""),
        ([{"operation": "fs.write", "maxFileSizeMiB": 5, "seconds": 60}], ""),
        (
            [{"operation": "fs.checksum", "maxFileSizeMiB": 5}],
            "only fs.head, fs.read, fs.tail and fs.write have a size",
        ),
        ([{"operation": "fs.read"}], "give seconds, maxFileSizeMiB, or both"),
        ([{"operation": "fs.read", "seconds": 0}], "should be greater than or equal to 1"),
        ([{"operation": "slurm.submit", "seconds": 5}], "Unsupported value"),
        ([{"operation": "fs.read", "seconds": 5}, {"operation": "fs.read", "seconds": 6}], "Duplicate value"),
        ([{"seconds": 5}], "Required value"),
    ],
)
def test_limits_of_operations(stage: Stage, operations: list[dict[str, Any]], sentence: str) -> None:
    """Each has a bound that is kept, once."""
    answer = create(stage, limits={"operations": operations})
    assert (answer.status, sentence in answer.message) == (422 if sentence else 201, True), answer.message


@pytest.mark.parametrize("url", ["http://user:word@store", "ftp://store", "https://store/bucket"])
def test_object_store(stage: Stage, url: str) -> None:
    """An endpoint, and no credentials."""
    assert create(stage, objectStore={"url": "https://store.example:9000"}).status == 201
    answer = create(stage, objectStore={"url": url})
    assert answer.status == 422
    assert "spec.objectStore.url" in answer.message


def test_each_operation_on_files_has_a_name() -> None:
    """As policy and the node know them."""
    schema = structural_schema(Limits)["properties"]["operations"]["items"]["properties"]["operation"]
    assert set(schema["enum"]) == {name for name in operations() if name.startswith("fs.")}
