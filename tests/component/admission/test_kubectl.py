"""kubectl as people use it: warnings beside a yes, dry runs that store nothing, applying twice without a difference."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml

from component.admission.binaries import binary
from component.admission.stage import API, MANIFESTS, Stage, job

pytestmark = pytest.mark.component

JOBS = f"{API}/namespaces/team/jobs"
SERVER_SIDE = ("--server-side", "--field-manager=pipeline")


def kubectl(stage: Stage, user: str, *arguments: str, manifest: dict[str, Any] | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    done = subprocess.run(
        [str(binary("kubectl")), f"--kubeconfig={stage.kubeconfig(user)}", "--namespace=team", *arguments],
        input=yaml.safe_dump(manifest) if manifest else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def named(name: str, **spec: Any) -> dict[str, Any]:
    return {**job(**spec), "metadata": {"name": name}}


def stored(stage: Stage) -> str:
    """Everything that is stored of Jobs, with versions."""
    items = stage.must("GET", JOBS)["items"]
    return json.dumps(sorted(items, key=lambda item: str(item["metadata"]["uid"])), sort_keys=True)


# ---- Warnings -----------------------------------------------------------------------------------------------------


def test_warnings(stage: Stage) -> None:
    """Risks are printed once each, at creation and when a change brings them; the value is nowhere."""
    risky = named(
        "risky",
        environment={"HF_TOKEN": "hunter2"},
        deletionPolicy="Orphan",
        ttlSecondsAfterFinished=0,
        timeLimit="5",
        script={"inline": "#!/bin/bash\r\n#SBATCH --time=10\nhostname\n"},
    )
    status, out, err = kubectl(stage, "alice", "apply", "-f", "-", manifest=risky)
    assert (status, out) == (0, "job.hpc.goldcrest.dev/risky created\n")
    assert err.splitlines() == [
        "Warning: spec.environment: HF_TOKEN: all who read this gjob read that; better in a file",
        "Warning: spec.script: lines end with CR LF, as on DOS: sbatch refuses it; convert it with dos2unix",
        "Warning: line 2 of the script: --time is not used, because spec.timeLimit says something else",
        "Warning: spec.deletionPolicy: Orphan: when this gjob is deleted, its job runs on, and nobody follows or cancels it",
        "Warning: spec.ttlSecondsAfterFinished: 0 s after the end this gjob is gone, with its state and exit code",
    ]
    patch = ("patch", "gjob", "risky", "--type=merge", "--patch")
    assert kubectl(stage, "alice", *patch, '{"spec": {"suspend": true}}')[2] == ""
    _, _, err = kubectl(stage, "alice", *patch, '{"spec": {"ttlSecondsAfterFinished": 7}}')
    assert (
        err
        == "Warning: spec.ttlSecondsAfterFinished: 7 s after the end this gjob is gone, with its state and exit code\n"
    )
    assert "hunter2" not in stage.log("admission")


def test_no_warnings(stage: Stage) -> None:
    """An ordinary Job is made without a word."""
    assert kubectl(stage, "alice", "apply", "-f", "-", manifest=named("ordinary"))[2] == ""


# ---- Dry runs -----------------------------------------------------------------------------------------------------


def test_dry_run_answers_as_the_real_thing(stage: Stage) -> None:
    """Same stamp and finalizer, same warnings, same refusals; and nothing is stored."""
    before = stored(stage)
    dry = ("--dry-run=server", "-o", "json")
    for way in ((), SERVER_SIDE):
        status, out, err = kubectl(
            stage, "alice", "apply", *way, *dry, "-f", "-", manifest=named("dry", deletionPolicy="Orphan")
        )
        assert status == 0, err
        shown = json.loads(out)
        assert shown["spec"]["requestedBy"]["username"] == "alice"
        assert "hpc.goldcrest.dev/stamp" in shown["metadata"]["annotations"]
        assert shown["metadata"]["finalizers"] == ["hpc.goldcrest.dev/cleanup"]
        assert "Warning: spec.deletionPolicy: Orphan" in err
    refusals = []
    for more in (("--dry-run=server",), ()):
        status, _, err = kubectl(stage, "bob", "apply", *more, "-f", "-", manifest=named("dry"))
        assert status != 0
        refusals.append(err)
    assert refusals[0] == refusals[1]
    assert stored(stage) == before


def test_dry_run_of_changes(stage: Stage) -> None:
    """Changing, cancelling and deleting are answered by the same rules, and nothing happens."""
    stage.bind("bob", [EDITOR], name="editor", namespace="team")
    assert kubectl(stage, "alice", "apply", "-f", "-", manifest=named("still"))[0] == 0
    before = stored(stage)
    for arguments in (
        ("patch", "gjob", "still", "--type=merge", '--patch={"spec": {"cancel": true}}'),
        ("annotate", "gjob", "still", "hpc.goldcrest.dev/paused=true"),
        ("delete", "gjob", "still", "--wait=false"),
    ):
        assert kubectl(stage, "alice", *arguments, "--dry-run=server")[0] == 0
        dry, real = (kubectl(stage, "bob", *arguments, *more) for more in (("--dry-run=server",), ()))
        assert dry[0] == real[0] == 1
        assert "bob may not manage hpcaccounts.hpc.goldcrest.dev 'cluster:alice'" in real[2]
        assert dry[2] == real[2]
    assert stored(stage) == before


EDITOR = {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["jobs"], "verbs": ["*"]}


@pytest.mark.parametrize("way", [(), SERVER_SIDE], ids=["client-side", "server-side"])
def test_applying_twice(stage: Stage, way: tuple[str, ...]) -> None:
    """`kubectl diff` sees no difference to what is stored, and a second apply changes nothing: generation 1, the same stamp."""
    manifest = named(f"twice-{len(way)}", deletionPolicy="Orphan", environment={"A": "b"}, nodes="2")
    status, out, _ = kubectl(stage, "alice", "diff", *way, "-f", "-", manifest=manifest)
    assert (status, "+kind: Job" in out or "+  runAs: alice" in out) == (1, True)  # it is not there yet
    assert kubectl(stage, "alice", "apply", *way, "-f", "-", manifest=manifest)[0] == 0
    path = f"{JOBS}/{manifest['metadata']['name']}"
    first = stage.must("GET", path)
    status, out, err = kubectl(stage, "alice", "diff", *way, "-f", "-", manifest=manifest)
    assert (status, out) == (0, ""), err
    versions = [first]
    for _ in range(3):
        assert kubectl(stage, "alice", "apply", *way, "-f", "-", manifest=manifest)[0] == 0
        versions.append(stage.must("GET", path))
    for again in versions:
        assert again["metadata"]["generation"] == 1
        assert again["spec"] == first["spec"]
        assert again["metadata"]["annotations"] == first["metadata"]["annotations"]
    # The first server-side apply after the creation settles managedFields; then nothing is written any more.
    assert len({again["metadata"]["resourceVersion"] for again in versions[1:]}) == 1


def test_a_difference_is_shown(stage: Stage) -> None:
    """`kubectl diff` shows a change that would be made, and the refusal of one that would not."""
    assert kubectl(stage, "alice", "apply", "-f", "-", manifest=named("other"))[0] == 0
    before = stored(stage)
    status, out, _ = kubectl(stage, "alice", "diff", "-f", "-", manifest=named("other", suspend=True))
    assert status == 1
    assert "+  suspend: true" in out
    status, out, err = kubectl(stage, "alice", "diff", "-f", "-", manifest=named("other", partition="debug"))
    assert status > 1
    assert "field is immutable" in err
    assert stored(stage) == before


# ---- What is shipped ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "way"),
    [
        ("rbac.yaml", ("apply", *SERVER_SIDE, "--force-conflicts")),
        ("policies.yaml", ("apply", *SERVER_SIDE, "--force-conflicts")),
        ("webhooks.yaml", ("replace",)),  # the stage's have an address in the place of the Service
    ],
)
def test_manifests_as_they_are(stage: Stage, manifest: str, way: tuple[str, ...]) -> None:
    """kubectl takes each file as it is shipped, and the API server warns of nothing in it."""
    arguments = ("--namespace=goldcrest", "--dry-run=server", f"--filename={MANIFESTS / manifest}")
    status, out, err = kubectl(stage, "root", *way, *arguments)
    assert (status, err) == (0, "")
    assert all(line.endswith("(server dry run)") for line in out.splitlines())
    assert out
