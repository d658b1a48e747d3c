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


def test_finished_without_files() -> None:
    """A submission whose files nobody could say is over as soon as its id is known, and says that they are not available."""
    pair = json.loads((Path(__file__).parents[2] / "data/firecrest_v1/tasks/ended_without_files.json").read_text())
    job = {**pair["job"], "status": {"phase": "Queued", "jobId": "77", "message": "", "conditions": []}}
    view = JobView.of(job)
    record = task_record(Found(view.task_id, Action.SUBMIT, view))
    assert record["status"] == "200"
    assert record["data"]["jobid"] == "77"
    assert record["data"]["job_file_out"] == "Not available"


def test_a_final_task_does_not_change() -> None:
    """What the scheduler's queue says later, by its own clock, is no news of the submission."""
    pair = json.loads((Path(__file__).parents[2] / "data/firecrest_v1/tasks/ended_without_files.json").read_text())
    status = {
        "phase": "Queued",
        "jobId": "77",
        "submission": {"token": "goldcrest:0:0", "time": "2030-01-02T03:04:05Z"},
        "message": "",
        "conditions": [],
    }
    records = []
    for more in ({}, {"submitTime": "2030-01-02T03:04:06Z", "phase": "Running"}):
        view = JobView.of({**pair["job"], "status": {**status, **more}})
        records.append(task_record(Found(view.task_id, Action.SUBMIT, view)))
    assert records[0] == records[1]


def test_there_are_pairs() -> None:
    """The folder is found."""
    assert len(PAIRS) >= 8
