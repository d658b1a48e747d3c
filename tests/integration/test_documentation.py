"""The documentation's commands are run as they stand, against the bed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bed import Bed
from goldcrest.models.base import parse_model
from goldcrest.models.job import JobSpec

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL)


def _run(script: str, **env: str) -> str:
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def test_using_through_rest(bed: Bed) -> None:
    """docs/using.md from the token to the output, and a request sent twice."""
    out = _run("\n".join(_blocks("docs/using.md", "sh")))
    assert '"success":"Task created"' in out
    assert '{"description":"Success to head file.","output":"hello from alice\\n"}' in out
    assert '"name":"data.txt"' in out
    assert "some data\n" in out
    assert out.strip().endswith("1")


def test_using_through_python(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """The example for pyfirecrest."""
    (block,) = _blocks("docs/using.md", "python")
    names: dict[str, Any] = {
        "client_id": "alice-client",
        "client_secret": bed.facts["oidc"]["clients"]["alice-client"]["secret"],
        "token_endpoint": bed.facts["oidc"]["token_endpoint"],
        "api": bed.api,
    }
    exec(compile(block, "docs/using.md", "exec"), names)
    job_id, path = capsys.readouterr().out.split()
    assert job_id.isdigit()
    assert path.startswith("/scratch/alice/goldcrest/")


def test_using_through_kubernetes(bed: Bed, tmp_path: Path) -> None:
    """docs/kubernetes.md: apply, wait, look, and the question whether one may."""
    namespace = bed.namespace("alice")
    bed.kubectl("delete", "gjob", "hello", "-n", namespace, "--ignore-not-found", user="alice")
    config = tmp_path / "config"
    config.write_text(Path(bed.facts["kubernetes"]["persons"]["alice"]["kubeconfig"]).read_text())
    programs = (Path(bed.facts["kubectl"]).parent, Path(sys.executable).parent)  # kubectl, and its plugin
    env = {"KUBECONFIG": str(config), "PATH": ":".join((*map(str, programs), os.environ["PATH"]))}
    _run(f"kubectl config set-context --current --namespace={namespace}", **env)
    out = _run("\n".join(_blocks("docs/kubernetes.md", "sh")), **env)
    assert "condition met" in out
    assert re.search(r"yes$", out, re.MULTILINE)
    assert re.search(r"^hello +.*Succeeded", out, re.MULTILINE)
    assert "has completed" in out


def test_the_accounts_of_the_example_are_those_of_the_bed(bed: Bed) -> None:
    """The RBAC that docs/kubernetes.md shows is accepted by the API server."""
    block = _blocks("docs/kubernetes.md", "yaml")[0]
    done = bed.kubectl("apply", "--dry-run=server", "-f", "-", stdin=block)
    assert done.returncode == 0, done.stderr


def test_the_parts_of_jobs_that_the_page_shows() -> None:
    """What docs/kubernetes.md writes into a spec is what a spec has."""
    parts = [yaml.safe_load(block)["spec"] for block in _blocks("docs/kubernetes.md", "yaml")[1:]]
    assert len(parts) == 2
    for part in parts:
        whole = {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/sh"}, **part}
        shown = parse_model(JobSpec, whole, what="spec").dump()
        assert {name: shown[name] for name in part} == part
