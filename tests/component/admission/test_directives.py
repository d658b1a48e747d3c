"""Batch directives at kubectl's door (T9)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from component.admission.stage import JOB, Stage

pytestmark = pytest.mark.component

FORBIDDEN = "#!/bin/sh\n\n#SBATCH --uid=0\n"


def job(**spec: Any) -> dict[str, Any]:
    return {**JOB, "spec": {**JOB["spec"], **spec}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"script": {"inline": FORBIDDEN}}, "line 3 of the script: --uid cannot be used"),
        ({"script": {"base64": base64.b64encode(FORBIDDEN.encode()).decode()}}, "line 3 of the script: --uid"),
        ({"schedulerOptions": {"wrap": "x"}}, "spec.schedulerOptions.wrap is unknown; there are: account"),
        ({"schedulerOptions": {"nice": "high"}}, "spec.schedulerOptions.nice must be an integer"),
        ({"schedulerOptions": {"tasks": "4"}, "tasks": 2}, "spec.schedulerOptions.tasks is given twice"),
        ({"schedulerOptions": {f"x{i}": "1" for i in range(65)}}, "schedulerOptions"),
    ],
)
def test_what_is_refused(stage: Stage, spec: dict[str, Any], message: str) -> None:
    """kubectl sees it at once, with the number of the line or the name of the option."""
    answer = stage.create_job("alice", job(**spec), namespace="team")
    assert answer.status in (403, 422), answer
    assert message in answer.message


def test_scripts_of_today(stage: Stage) -> None:
    """Ordinary directives, and options that have no field of their own, are taken as they are."""
    script = {"inline": "#!/bin/bash\n#SBATCH --gres=gpu:1 -t 5 --mem=4GB --exclusive\nhostname\n"}
    options = {"nodelist": "n[1-4]", "contiguous": "true"}
    answer = stage.create_job("alice", job(script=script, schedulerOptions=options), namespace="team")
    assert answer.status == 201, answer
    assert answer.body["spec"]["schedulerOptions"] == options


def test_scheduler_options_are_frozen(stage: Stage) -> None:
    """They are what was decided on: they neither change nor come or go."""
    made = stage.create_job("alice", job(suspend=True, schedulerOptions={"nice": "5"}), namespace="team").body
    for value in ({"nice": "6"}, {"contiguous": "true"}, {"nice": None}, None):
        patch = {"spec": {"schedulerOptions": value}}
        answer = stage.patch_job("alice", "team", made["metadata"]["name"], patch)
        assert answer.status in (403, 422), answer
        assert "field is immutable" in answer.message
