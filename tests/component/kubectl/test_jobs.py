"""kubectl hpc: ls, why, cancel and submit, on a real API server with admission."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from component.admission.stage import API, Stage, job
from component.kubectl.plugin import Plugin
from goldcrest.models.job import INLINE_SCRIPT_LIMIT
from goldcrest_kubectl import main as plugin_main

pytestmark = pytest.mark.component

_NUMBERS = itertools.count()


def made(stage: Stage, *, user: str = "alice", namespace: str = "team", **status: Any) -> str:
    """Name of a new Job with this status."""
    name = f"job-{next(_NUMBERS)}"
    answer = stage.create_job(user, {**job(runAs=user), "metadata": {"name": name}}, namespace=namespace)
    assert answer.status == 201, answer
    if status:
        stage.write_status(answer.body, {"observedGeneration": 1, **status})
    return name


def condition(kind: str, status: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Queued",
        "message": "waits",
        "observedGeneration": 9,  # kubectl wait looks at it
        "lastTransitionTime": "2020-01-02T03:04:05Z",
    }


RUNNING = {"phase": "Running", "jobId": "77", "message": "Running on n1"}


def test_list(stage: Stage, plugin: Plugin) -> None:
    """One line each, oldest first, with the reason; filtered by phase, system and whether it has ended."""
    old = made(stage, phase="Succeeded", jobId="5", message="done")
    new = made(stage, **RUNNING)
    waits = made(stage)
    done = plugin.run("ls")
    assert (done.status, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head.split() == ["NAME", "PHASE", "SYSTEM", "JOB", "AGE", "WHY"]
    cells = {line.split()[0]: re.split(r" {3,}", line) for line in lines}
    assert cells[old][1:4] + cells[old][5:] == ["Succeeded", "cluster", "5", "done"]
    assert cells[new][1:4] + cells[new][5:] == ["Running", "cluster", "77", "Running on n1"]
    assert cells[waits][1:4] == ["Pending", "cluster", "-"]
    assert [line.split()[0] for line in lines if line.split()[0] in (old, new, waits)] == [old, new, waits]
    assert old not in plugin.run("ls", "--active").out
    running = plugin.run("ls", "--phase", "Running").out
    assert new in running
    assert waits not in running
    nothing = plugin.run("ls", "--system", "elsewhere")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "No gjobs found.\n")


def test_list_by_label(stage: Stage, plugin: Plugin) -> None:
    """As kubectl does."""
    name = made(stage)
    stage.must("PATCH", f"{API}/namespaces/team/jobs/{name}", {"metadata": {"labels": {"run": "seven"}}}, content_type="application/merge-patch+json")  # fmt: skip
    assert [line.split()[0] for line in plugin.run("ls", "-l", "run=seven").out.splitlines()] == ["NAME", name]


def test_list_of_what_one_may_not_read(stage: Stage, plugin: Plugin) -> None:
    """The API server's sentence, without its prefix."""
    for arguments in (["ls", "-A"], ["ls"]):
        done = plugin.run(*arguments, namespace=None if "-A" in arguments else "bobs")
        assert (done.status, done.out) == (1, "")
        assert re.fullmatch(
            r'kubectl hpc: jobs\.hpc\.goldcrest\.dev is forbidden: User "alice" cannot list .*\n', done.err
        )
    everywhere = plugin.run("ls", "-A", user="root", namespace=None)
    assert everywhere.out.startswith("NAMESPACE")


def test_why(stage: Stage, plugin: Plugin) -> None:
    """Everything that is known of a job that waits."""
    name = made(
        stage,
        phase="Queued",
        jobId="78",
        message="The job waits in the queue: Priority",
        scheduler={"state": "PENDING", "reason": "Priority"},
        submitTime="2030-01-02T03:04:05Z",
        conditions=[condition("Reconciling", "True"), condition("Ready", "False")],
    )
    done = plugin.run("why", name)
    assert done.status == 0, done.err
    for line in (
        f"Job:        team/{name}",
        "Phase:      Queued",
        "Why:        The job waits in the queue: Priority",
        "System:     cluster, as alice",
        "Job id:     78",
        "Scheduler:  PENDING (Priority)",
    ):
        assert line in done.out.splitlines()
    assert re.search(r"^Reconciling +True +Queued +[0-9]+d +waits$", done.out, re.MULTILINE)
    assert "Ready" not in done.out  # what is not, says nothing


def test_what_a_job_says_is_no_command_for_the_terminal(stage: Stage, plugin: Plugin) -> None:
    """Control characters of a message are shown as such."""
    name = made(stage, phase="Failed", message="bad\x1b[2Jthings\nhere")
    for arguments in (["ls"], ["why", name]):
        out = plugin.run(*arguments).out
        assert "bad�[2Jthings here" in out
        assert "\x1b" not in out


def test_cancel(stage: Stage, plugin: Plugin) -> None:
    """Sets spec.cancel; asking again changes nothing; what has ended is said to have."""
    running, over = made(stage, **RUNNING), made(stage, phase="Failed", message="x")
    done = plugin.run("cancel", running, over)
    assert done.out == f"gjob/{running} is being cancelled\ngjob/{over} has ended already (Failed)\n"
    stored = stage.must("GET", f"{API}/namespaces/team/jobs/{running}")
    assert stored["spec"]["cancel"] is True
    assert plugin.run("cancel", running).out == f"gjob/{running} is being cancelled\n"
    again = stage.must("GET", f"{API}/namespaces/team/jobs/{running}")
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    assert "cancel" not in stage.must("GET", f"{API}/namespaces/team/jobs/{over}")["spec"]


def test_cancel_and_wait(stage: Stage, plugin: Plugin) -> None:
    """Returns when it has ended; and says so where it has not in time."""
    name = made(stage, **RUNNING)
    done = plugin.run("cancel", name, "--wait", "--timeout", "1")
    assert done.status == 1
    assert "timed out waiting for the condition" in done.err
    finished = condition("Finished", "True")
    stage.write_status({"metadata": {"namespace": "team", "name": name}}, {"phase": "Queued", "conditions": [finished]})
    done = plugin.run("cancel", name, "--wait")
    assert done.out.splitlines()[-1] == f"gjob/{name} has ended (Queued)"


def test_cancel_of_what_is_not_ones_own(stage: Stage, plugin: Plugin) -> None:
    """The API server's sentence; nothing is changed."""
    name = made(stage, user="bob", namespace="bobs")
    done = plugin.run("cancel", name, namespace="bobs")
    assert done.status == 1
    assert 'User "alice" cannot get resource "jobs"' in done.err
    assert "cancel" not in stage.must("GET", f"{API}/namespaces/bobs/jobs/{name}")["spec"]
    done = plugin.run("cancel", "nothing-there")
    assert (done.status, done.err) == (1, 'kubectl hpc: jobs.hpc.goldcrest.dev "nothing-there" not found\n')


def test_submit(stage: Stage, plugin: Plugin, tmp_path: Path) -> None:
    """A script from a file or standard input; bytes that are no text go as base64."""
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/sh\necho \xc3\xbc\n")
    arguments = ("--system", "cluster", "--run-as", "alice")
    done = plugin.run("submit", str(script), "--name", "by-plugin", *arguments)
    assert (done.out, done.status) == ("gjob/by-plugin created\n", 0), done.err
    spec = stage.must("GET", f"{API}/namespaces/team/jobs/by-plugin")["spec"]
    assert spec["script"] == {"inline": "#!/bin/sh\necho ü\n"}
    assert spec["requestedBy"]["username"] == "alice"
    done = plugin.run("submit", "-", *arguments, text=b"#!/bin/sh\n\xff\n")
    name = re.fullmatch(r"gjob/(job-[a-z0-9]+) created\n", done.out)
    assert name is not None, done
    assert "base64" in stage.must("GET", f"{API}/namespaces/team/jobs/{name[1]}")["spec"]["script"]


@pytest.mark.parametrize(
    ("arguments", "text", "sentence"),
    [
        (["-", "--system=cluster", "--run-as=bob"], b"#!/bin/sh\n", "hpcaccounts"),  # admission's words
        (["-", "--system=cluster", "--run-as=Bob"], b"#!/bin/sh\n", "spec.runAs"),
        (["-", "--system=cluster", "--run-as=alice"], b"", "the script has 0 bytes; 1 to 65536 are allowed here"),
        (
            ["-", "--system=cluster", "--run-as=alice"],
            b"#" * (INLINE_SCRIPT_LIMIT + 1),
            "the script has 65537 bytes; 1 to 65536 are allowed here",
        ),
        (["/nowhere/x", "--system=cluster", "--run-as=alice"], None, "No such file or directory: '/nowhere/x'"),
    ],
)
def test_submit_that_cannot_be(plugin: Plugin, arguments: list[str], text: bytes | None, sentence: str) -> None:
    """One sentence, and status 1."""
    done = plugin.run("submit", *arguments, text=text)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("kubectl hpc: ")
    assert sentence in done.err


@pytest.mark.parametrize("name", ["Up", "a_b", "a/b", "--help-me", "x" * 254, "ü", ""])
def test_names_that_cannot_be(plugin: Plugin, name: str) -> None:
    """Said before anything is asked; what begins with a hyphen is no name for anybody."""
    for command in ("why", "cancel", "logs"):
        done = plugin.run(command, name, environment={"KUBECTL": "/nowhere"})
        assert (done.status, done.out) == ((2 if name.startswith("-") else 1), "")
        expected = "error: " if name.startswith("-") else "is no name of a gjob: it has lower-case letters"
        assert expected in done.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["ls", "--phase", "dreaming"], "invalid choice: 'dreaming'"),
        (["logs"], "the following arguments are required: NAME"),
        (["logs", "x", "--offset", "-1"], "'-1' is no number of bytes"),
        (["cancel"], "the following arguments are required: NAME"),
        (["cancel", "x", "--timeout", "0"], "'0' is no number of seconds between 1 and 86400"),
        (["submit", "x"], "the following arguments are required: --system, --run-as"),
    ],
)
def test_usage(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, the usage, and a sentence."""
    with pytest.raises(SystemExit) as ended:
        plugin_main.main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_help_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """--help says what each does; the list of commands names them all."""
    for command in ("ls", "why", "logs", "cancel", "submit"):
        with pytest.raises(SystemExit) as ended:
            plugin_main.main([command, "--help"])
        assert ended.value.code == 0
        assert f"usage: kubectl hpc {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        plugin_main.main(["--help"])
    out = capsys.readouterr().out
    assert all(f"    {command} " in out for command in ("ls", "why", "logs", "cancel", "submit"))


def test_without_kubectl(plugin: Plugin) -> None:
    """A sentence, no traceback."""
    done = plugin.run("ls", environment={"KUBECTL": "/nowhere/kubectl"})
    assert done.status == 1
    assert done.err == (
        "kubectl hpc: /nowhere/kubectl is not there: put kubectl on the PATH, or name it in the variable KUBECTL\n"
    )


def test_api_server_that_is_away(plugin: Plugin, tmp_path: Path) -> None:
    """kubectl's own words."""
    config = tmp_path / "away"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: x, user: ''}}]\n"
    )
    done = plugin.run("ls", environment={"KUBECONFIG": str(config)})
    assert done.status == 1
    assert "127.0.0.1:1" in done.err
