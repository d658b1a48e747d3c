"""Alert rules and dashboards: they parse, fire when they should, and ask for metrics that there are. promtool is Prometheus' own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from component.admission.binaries import binary
from component.observing.documented import REPOSITORY, documented

pytestmark = pytest.mark.component

CHART = REPOSITORY / "charts" / "goldcrest"
RULES = CHART / "alerts" / "goldcrest.rules.yaml"
TESTS = CHART / "alerts" / "goldcrest.test.yaml"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
OTHERS = {"up", "ALERTS", "process_resident_memory_bytes"}  # Prometheus' own, and its client's
_METRIC = re.compile(r"\b(goldcrest_[a-z_]+|process_[a-z_]+)\b")
_VARIABLES = {"$__rate_interval": "5m", "$system": "daint"}


def promtool(*arguments: str) -> str:
    """Its output; the test fails with it when it does not succeed."""
    done = subprocess.run([str(binary("promtool")), *arguments], capture_output=True, text=True, cwd=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def queries(path: Path) -> list[str]:
    found = [target["expr"] for panel in panels(path) for target in panel["targets"]]
    for variable in json.loads(path.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            found.append(re.sub(r"label_values\((.*), \w+\)", r"\1", variable["query"]))
    return found


def unknown(expression: str) -> set[str]:
    """Names in a query that no process has."""
    known = OTHERS.union(*(metric.series for metric in documented().values()))
    return set(_METRIC.findall(expression)) - known


def test_rules() -> None:
    """Correct, and each alert fires, and does not, as the file of tests says."""
    promtool("check", "rules", RULES.name)
    promtool("test", "rules", TESTS.name)
    untested = [rule["alert"] for rule in alerts() if rule["alert"] not in TESTS.read_text()]
    assert untested == []


def test_a_wrong_rule_is_found(tmp_path: Path) -> None:
    """The tests of the rules can fail: with another bound, an alert does not fire any more."""
    assert "> 120" in RULES.read_text()
    (tmp_path / RULES.name).write_text(RULES.read_text().replace("> 120", "> 12000"))
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    done = subprocess.run(
        [str(binary("promtool")), "test", "rules", TESTS.name], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode != 0
    assert "GoldcrestTrackingStale" in done.stdout + done.stderr


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_alert(rule: dict[str, Any]) -> None:
    """It asks for what there is, says how bad it is, what it means and what to do."""
    assert unknown(rule["expr"]) == set()
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 40


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard(path: Path, tmp_path: Path) -> None:
    """Every query is correct and asks for what there is; panels have a place of their own."""
    expressions = queries(path)
    assert len(expressions) > 10
    assert {name for expression in expressions for name in unknown(expression)} == set()
    rules = []
    for number, expression in enumerate(expressions):
        for name, value in _VARIABLES.items():
            expression = expression.replace(name, value)
        rules.append({"record": f"q{number}", "expr": expression})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": rules}]}))
    promtool("check", "rules", str(file))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels(path)]
    assert len(set(places)) == len(places)
    identities = [panel["id"] for panel in json.loads(path.read_text())["panels"]]
    assert len(set(identities)) == len(identities)


def test_labels_of_queries() -> None:
    """What is grouped and selected by are labels that the metrics have."""
    labels = {"instance", "job", "le", "alertname"}.union(*(metric.labels for metric in documented().values()))
    everything = [expression for path in DASHBOARDS for expression in queries(path)]
    everything += [rule["expr"] for rule in alerts()]
    for expression in everything:
        for group in re.findall(r"\bby \(([a-z, ]+)\)", expression):
            assert set(group.split(", ")) <= labels, expression
        for selector in re.findall(r"\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", selector)) <= labels, expression


def test_each_metric_is_shown() -> None:
    """No metric that nobody would ever see; of what gateway and operator both have, one will do."""
    shown = set(_METRIC.findall(" ".join(expression for path in DASHBOARDS for expression in queries(path))))
    listed = documented()
    seen = {name for name, metric in listed.items() if metric.series & shown}
    twins = {name.replace("_api_", "_operator_") for name in seen}
    assert set(listed) - seen - twins == set()
