"""Tasks read off Jobs, as golden pairs: tests/data/firecrest_v1/tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goldcrest_api.dialects.firecrest_v1.task_record import task_record
from goldcrest_api.job_view import JobView
from goldcrest_api.services.lookup import Action, Found

pytestmark = pytest.mark.unit

PAIRS = sorted((Path(__file__).parents[2] / "data/firecrest_v1/tasks").glob("*.json"))


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_golden_pair(path: Path) -> None:
    """The record of a task is exactly as written down."""
    pair = json.loads(path.read_text())
    job = JobView.of(pair["job"])
    action = Action[pair["action"].upper()]
    found = Found(job.task_id if action is Action.SUBMIT else job.cancel_task_id, action, job)
    assert task_record(found) == pair["record"]


def test_there_are_pairs() -> None:
    """The folder is found."""
    assert len(PAIRS) >= 8
