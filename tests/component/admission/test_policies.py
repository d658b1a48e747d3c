"""The shipped policy as an administrator checks it: with OPA's own tools, on the site's data, and on real questions."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from component.admission.binaries import binary
from component.admission.stage import REPOSITORY, SITE
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec
from goldcrest.policy import Question, Subject, Trigger
from goldcrest.policy.question import Door, asked_by

pytestmark = pytest.mark.component

POLICIES = REPOSITORY / "policies"
SHIPPED = [str(POLICIES / name) for name in ("goldcrest", "system", "check")]
EXAMPLE = POLICIES / "example"
SCHEMAS = f"--schema={POLICIES / 'schemas'}"

QUESTION = Question(
    trigger=Trigger.REQUEST,
    subject=Subject(via=Door.TOKEN, username="bob", scopes=("firecrest",), route="GET /utilities/view", asked_at=1),
    system="cluster",
    run_as="bob",
    operation="fs.stat",
)


def opa(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(binary("opa")), *arguments], input=given, capture_output=True, text=True, timeout=60)


def check(*site: Path) -> subprocess.CompletedProcess[str]:
    """The one command for administrators (docs/policy.md)."""
    text = (REPOSITORY / "docs" / "policy.md").read_text()
    command = re.search(r"^    opa (eval .*'data\.goldcrest_check\.problems\[_\]')$", text, re.MULTILINE)
    assert command is not None, "docs/policy.md does not say it any more"
    words = shlex.split(command[1])
    place = words.index("SITE")
    paths = [word for path in site for word in ("--data", str(path))]
    words = [*words[: place - 1], *paths, *words[place + 1 :]]
    run = [str(binary("opa")), *words]
    return subprocess.run(run, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def evaluate(query: str, given: object, *data: Path) -> Any:
    """A query on the shipped policy, its schemas and this data."""
    loaded = [word for path in (POLICIES, *data) for word in ("-d", str(path))]
    run = opa(
        *("eval", "--format=json", "--ignore=example", "--ignore=*_test.rego", *loaded, "--stdin-input", query),
        given=json.dumps(given),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout)["result"][0]["expressions"][0]["value"]


def test_check_strict() -> None:
    """The shipped policy has no unused or shadowed names, fits its schemas, and is formatted; so is the example."""
    for paths in (SHIPPED, [*SHIPPED, str(EXAMPLE / "site")]):
        checked = opa("check", "--strict", SCHEMAS, *paths)
        assert checked.returncode == 0, checked.stderr
    assert opa("fmt", "--list", str(POLICIES)).stdout == ""


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("goldcrest/settings.rego", "data.goldcrest.limits", "data.goldcrest.limts"),
        ("example/site/site.rego", "input.resources.nodes", "input.resources.noodles"),
    ],
)
def test_schemas_find_slips(tmp_path: Path, file: str, right: str, wrong: str) -> None:
    """`opa check --schema` finds a name that neither site data nor a question has."""
    text = (POLICIES / file).read_text()
    assert right in text
    (tmp_path / "x.rego").write_text(text.replace(right, wrong))
    checked = opa("check", SCHEMAS, str(tmp_path))
    assert checked.returncode == 1
    assert f"undefined ref: {wrong}" in checked.stderr


def test_every_line_is_tested() -> None:
    """All tests of the shipped policy pass, and they reach every line of it."""
    run = opa("test", "--coverage", "--threshold=100", "--ignore=example", str(POLICIES))
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_line_of_the_example_is_tested() -> None:
    """The worked example of a site's own rules comes with its own tests."""
    run = opa("test", "--coverage", "--threshold=100", str(EXAMPLE / "site"))
    assert run.returncode == 0, run.stdout + run.stderr


# ---- Site data ------------------------------------------------------------------------------------------------------


def test_the_example_opens_systems() -> None:
    """The example of site data and rules decides as it reads."""
    answers = {}
    for system in ("cluster", "test-cluster", "retired"):
        question = {**QUESTION.dump(), "system": system}
        answers[system] = evaluate("data.goldcrest.signing.decision", question, EXAMPLE / "data.json", EXAMPLE / "site")
    assert answers["cluster"] == {"allow": True, "reason": "allowed"}
    assert answers["test-cluster"]["reason"] == "Unix user bob may not use system test-cluster"
    assert answers["retired"]["reason"] == "system retired is switched off in policy"


def test_example_bed_and_stage_have_good_data(tmp_path: Path) -> None:
    """What we ship as data passes the administrators' command."""
    bed, stage = tmp_path / "bed.json", tmp_path / "stage.json"
    bed.write_text(json.dumps(tomllib.loads((REPOSITORY / "dev" / "bed.toml").read_text())["policy"]["data"]))
    stage.write_text(json.dumps({"goldcrest": SITE}))
    for site in ([EXAMPLE / "data.json", EXAMPLE / "site"], [bed], [stage]):
        checked = check(*site)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"limts": []}, "data.goldcrest: Additional property limts is not allowed"),
        ({"systems": {"cluster": {"enabled": "yes"}}}, "data.goldcrest.systems.cluster.enabled: Invalid type"),
        ({"maintenance": [{"systems": ["cluster"], "from": "tomorrow", "until": "2030-01-01T00:00:00Z", "message": "x"}]},
         "maintenance.0.from: Does not match format 'date-time'"),
        ({"limits": [{"name": "x", "most": {"nodes": "16"}}]}, "limits.0.most.nodes: Invalid type"),
        ({"limits": [{"name": "x", "systems": ["clustre"], "most": {"nodes": 1}}]}, "there is no system clustre"),
        ({"requirements": [{"name": "x", "scopes": ["y"]}]}, "requirements.0"),
        ({"break_glass": [{"people": {"users": ["grace"]}, "systems": ["*"], "until": "2030-01-01T00:00:00Z", "reason": "x"}]},
         "people: issuers is required"),
        ({"break_glass": [{"people": {"issuers": ["x"], "users": ["*"]}, "systems": ["*"], "until": "2030-01-01T00:00:00Z",
                           "reason": "x"}]}, "users.0: Does not match pattern"),
        ({"site_rules": True}, "there is no deny in package goldcrest.site"),
        ({"scope": None}, "scope: Invalid type"),
    ],
)  # fmt: skip
def test_wrong_data_is_found(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    """The administrators' command names the place, and ends with a status that is not that of success."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"goldcrest": {**SITE, **change}}))
    checked = check(data)
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert told in checked.stdout


def test_a_broken_site_file_is_found(tmp_path: Path) -> None:
    """Likewise for a file of rules that does not parse, or asks for what no question has."""
    data, rules = tmp_path / "data.json", tmp_path / "site.rego"
    data.write_text(json.dumps({"goldcrest": SITE}))
    annotated = "# METADATA\n# scope: package\n# schemas:\n#   - input: schema.input.data\npackage goldcrest.site\n\n"
    for text, told in (
        ("package goldcrest.site\n\ndeny contains if {", "site.rego:3: rego_parse_error"),
        (annotated + 'deny contains "x" if input.runas == "root"\n', "undefined ref: input.runas"),
    ):
        rules.write_text(text)
        checked = check(data, rules)
        assert checked.returncode == 2, checked.stdout + checked.stderr
        assert told in checked.stdout + checked.stderr


def test_site_data_cannot_stand_for_policy(tmp_path: Path) -> None:
    """Data under the name of a package of ours, e.g. a decision that allows, is not loaded at all."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"goldcrest": {**SITE, "signing": {"decision": {"allow": True}}}}))
    checked = check(data)
    assert checked.returncode == 2
    assert "conflicting rule" in checked.stdout + checked.stderr


# ---- Questions ------------------------------------------------------------------------------------------------------


def faults_of(questions: list[dict[str, Any]]) -> list[str]:
    """Where questions do not have the form of policies/schemas/input."""
    query = "[fault | some q in input; [_, faults] := json.match_schema(q, data.schemas.input); some fault in faults]"
    return [f"{fault['field']}: {fault['desc']}" for fault in evaluate(query, questions)]


def test_questions_have_the_form_of_their_schema() -> None:
    """Also that of a Job with everything in it; what is not in the schema, or lacks, is found."""
    spec = {
        "system": "cluster",
        "runAs": "alice",
        "script": {"inline": "#!/bin/bash\n#SBATCH --gres=gpu:2 --exclusive=user\nhostname\n"},
        "nodes": "2-4",
        "tasks": 8,
        "memory": "4G",
        "timeLimit": "1-00",
        "array": "0-9",
        "environment": {"A": "b"},
    }
    asked = asked_by(parse_model(JobSpec, spec, what="spec"))
    created = {**QUESTION.dump(), "operation": "job.create", "fields": asked.fields, "resources": asked.resources}
    assert set(asked.resources) == {"nodes", "tasks", "cpus", "gpus", "memoryMiB", "minutes", "arrayTasks"}
    assert faults_of([QUESTION.dump(), created]) == []
    for wrong in ({**created, "token": "x"}, {**created, "resources": {"nodes": "4"}}, {"operation": "fs.stat"}):
        assert faults_of([wrong]) != []
