from __future__ import annotations

from typing import Any

import pytest

from goldcrest.errors import InvalidInput
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec

pytestmark = pytest.mark.unit

GOOD: dict[str, Any] = {"system": "cluster", "runAs": "alice", "script": {"inline": "hostname\n"}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"script": {"base64": "!hunter2"}}, "spec.script"),
        ({"script": {"path": "hunter2\n"}}, "spec.script"),
        ({"environment": {"SECRET": "hunter2" * 1000}}, "spec.environment.SECRET"),
        ({"environment": {"SECRET": ["hunter2"]}}, "spec.environment.SECRET"),
        ({"environment": {"SECRET=hunter2": ""}}, "spec.environment.…"),
        ({"environment": {"h u n hunter2": ""}}, "spec.environment.…"),
        ({"SECRET: hunter2": ""}, "spec.… is not a known field"),
    ],
)
def test_errors_repeat_no_secret(change: dict[str, Any], told: str) -> None:
    """An error names the field, and repeats neither script nor environment: errors are logged (T12)."""
    with pytest.raises(InvalidInput) as caught:
        parse_model(JobSpec, {**GOOD, **change}, what="spec")
    assert told in caught.value.message
    assert "hunter2" not in caught.value.message


def test_errors_repeat_what_is_no_secret() -> None:
    """Elsewhere the value is told, so that its sender finds it."""
    with pytest.raises(InvalidInput, match=r"spec\.runAs: 'Alice!' is not of its form"):
        parse_model(JobSpec, {**GOOD, "runAs": "Alice!"}, what="spec")
