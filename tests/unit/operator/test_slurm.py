"""Slurm behind the scheduler's interface: answers and errors of ssh-filter as the operator's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goldcrest.authorised import submit_command
from goldcrest.authority import ByResource
from goldcrest.commands import Command
from goldcrest.errors import (
    CommandFailed,
    CommandRefused,
    SchedulerRefused,
    SchedulerUnavailable,
    SystemUnreachable,
    TooLarge,
)
from goldcrest.ssh.attempt import Attempt
from goldcrest.telemetry import Trace
from goldcrest_operator.scheduler.interface import (
    NotTaken,
    SiteRefused,
    SubmissionUncertain,
    SubmittedBefore,
    Target,
)
from goldcrest_operator.scheduler.slurm import SlurmScheduler
from unit.operator.jobs import TOKEN, UID, job, system

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[1] / "commands" / "data"
TARGET = Target(
    system="cluster", spec=system(), user="alice", basis=ByResource("Job", "n", "hello", UID), trace=Trace.new()
)


class Answered:
    host = "login1:2222"

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result


class Node:
    """Answers every command with the same."""

    def __init__(self, result: dict[str, Any] | Exception) -> None:
        self._result = result
        self.commands: list[Command] = []

    async def run(self, command: Command, **_: Any) -> Answered:
        self.commands.append(command)
        if isinstance(self._result, Exception):
            raise self._result
        return Answered(self._result)


def slurm(result: dict[str, Any] | Exception) -> SlurmScheduler:
    return SlurmScheduler(Node(result))


def printed(stdout: str = "", *, status: int = 0, stderr: str = "") -> dict[str, Any]:
    return {"exit": status, "stdout": stdout, "stderr": stderr}


async def test_files_of_an_array() -> None:
    """Output paths of an array have %a where scontrol shows the number of no element."""
    described = (DATA / "scontrol_array.txt").read_text()
    answer = {**printed("52;cluster\n"), "jobFile": "/scratch/alice/j/job.sh", "describe": described}
    submitted = await slurm(answer).submit(TARGET, job(), TOKEN, again=False)
    assert submitted.job_id == "52"
    assert submitted.files is not None
    assert submitted.files.stdout == "/tmp/slurm-52_%a.out"
    assert submitted.files.script == "/scratch/alice/j/job.sh"


async def test_files_of_a_script_by_path() -> None:
    """A script by path is shown as the user named it; without a description it is all that is known."""
    spec = {"script": {"path": "/home/alice/run.sh", "sha256": "0" * 64}}
    answer = {**printed("52\n"), "jobFile": "/scratch/alice/j/job.sh", "describe": ""}
    submitted = await slurm(answer).submit(TARGET, job(spec=spec), TOKEN, again=False)
    assert submitted.files is not None
    assert submitted.files.script == "/home/alice/run.sh"


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (printed("", status=1, stderr="sbatch: error: no"), SchedulerRefused),
        (printed("no id in here"), SubmissionUncertain),
        (TooLarge("the answer is too large"), SubmissionUncertain),
        (CommandRefused("no", reason="arguments"), SiteRefused),
        (CommandRefused("clock", reason="expired"), SystemUnreachable),
        (CommandRefused("not enabled", reason="operation"), SystemUnreachable),
        (CommandFailed("Disk quota exceeded", kind="os", errno_name="EDQUOT", path="/scratch"), SiteRefused),
        (CommandFailed("Permission denied", kind="os", errno_name="EACCES", path="/scratch"), SiteRefused),
        (CommandFailed("No such file", kind="os", errno_name="ENOENT", path="/home/alice/run.sh"), SiteRefused),
        (CommandFailed("another digest", kind="state"), SiteRefused),
        (CommandFailed("begun before", kind="repeated", path="/scratch/alice/j/x"), SubmittedBefore),
        (CommandFailed("No space left on device", kind="os", errno_name="ENOSPC", path="/scratch"), SiteRefused),
        (CommandFailed("Read-only file system", kind="os", errno_name="EROFS", path="/scratch"), SiteRefused),
        (CommandFailed("too long", kind="timeout"), SubmissionUncertain),
        (printed("", status=1, stderr="sbatch: error: Unable to contact slurm controller (connect failure)"), NotTaken),
        (CommandFailed("not in the PATH", kind="os", errno_name="ENOENT", path="sbatch"), SchedulerUnavailable),
        (CommandFailed("not in the PATH", kind="os", errno_name="ENOENT"), SchedulerUnavailable),
        (CommandFailed("Stale file handle", kind="os", errno_name="ESTALE", path="/scratch"), SchedulerUnavailable),
        (CommandFailed("Resource unavailable", kind="os", errno_name="EAGAIN"), SchedulerUnavailable),
        (CommandFailed("no such name here", kind="os"), SchedulerUnavailable),
    ],
)
async def test_not_submitted(result: Any, error: type[Exception]) -> None:
    """Each way in which a submission can fail has its own meaning."""
    with pytest.raises(error) as caught:
        await slurm(result).submit(TARGET, job(), TOKEN, again=False)
    assert caught.type is error


@pytest.mark.parametrize("again", [True, False])
async def test_begun_again(again: bool) -> None:
    """What the operator decided is what is signed."""
    node = Node(printed("52\n"))
    await SlurmScheduler(node).submit(TARGET, job(), TOKEN, again=again)
    assert node.commands == [replace(submit_command(job(), system(), token=TOKEN), again=again)]


async def test_payload_that_the_node_does_not_take() -> None:
    """A script above the node's limit is refused before it is sent: for good, with both numbers. The words are those of the SSH pool."""
    limits = SimpleNamespace(payload=4)
    hello = SimpleNamespace(operations=("slurm.submit",), version="1", limits=limits)
    command = submit_command(job(), system(), token=TOKEN)
    attempt = Attempt(command, "cluster", system(), "alice", TARGET.basis, TARGET.trace, where="login1:2222")
    with pytest.raises(TooLarge) as caught:
        attempt.check_allowed(SimpleNamespace(hello=hello), 5)  # type: ignore[arg-type]
    with pytest.raises(SiteRefused, match=r"5 bytes are more than login host login1:2222 takes \(4\)"):
        await slurm(caught.value).submit(TARGET, job(), TOKEN, again=False)


async def test_found_by_comment_or_submit_line() -> None:
    """The token is found in comments, and in submit lines where the site stores no comments; only of this user."""
    account = (DATA / "sacct.txt").read_text()
    element = account.splitlines()[3].replace("goldcrest:array", TOKEN)
    other = element.replace("alice", "mallory").replace("52", "49")
    answer = {"squeue": printed(), "sacct": printed(f"{element}\n{other}\n")}
    assert await slurm(answer).find(TARGET, TOKEN) == ("52",)


@pytest.mark.parametrize("silent", ["squeue", "sacct"])
async def test_found_only_if_both_answer(silent: str) -> None:
    """Nothing is concluded when one of the two does not answer."""
    answer = {"squeue": printed(), "sacct": printed(), silent: printed(status=1, stderr="away")}
    with pytest.raises(SchedulerUnavailable, match=silent):
        await slurm(answer).find(TARGET, TOKEN)


async def test_forged_lines() -> None:
    """A job that is listed twice, as a line break in somebody's comment can make it, is not believed either way."""
    rows = (DATA / "squeue.txt").read_text()
    real = next(line for line in rows.splitlines() if line.startswith("53"))
    forged = real.replace("PENDING", "RUNNING")
    views = await slurm(printed(f"{rows}{forged}\n")).queue(TARGET, "all")
    assert "53" not in {view.job_id for view in views}
    assert "54" in {view.job_id for view in views}


async def test_released_when_it_has_ended() -> None:
    """Releasing or cancelling what has ended is harmless; a controller that is away is not."""
    ended = "Job has already finished for job 54\nslurm_suspend error: Job has already finished"
    await slurm(printed(status=1, stderr=ended)).release(TARGET, TOKEN, "54")
    with pytest.raises(SchedulerUnavailable):
        await slurm(printed(status=1, stderr="Unable to contact slurm controller")).release(TARGET, TOKEN, "54")
    gone = "scancel: error: Kill job error on job id 9: Invalid job id specified"
    await slurm({"cancelled": [], "results": [printed(status=1, stderr=gone)]}).cancel(TARGET, TOKEN)


async def test_cancel_that_could_not_look() -> None:
    """A cancel whose listing failed is not taken for one that found nothing."""
    listing = printed(status=1, stderr="squeue: error: Unable to contact slurm controller")
    with pytest.raises(SchedulerUnavailable):
        await slurm({"cancelled": [], "results": [listing]}).cancel(TARGET, TOKEN)
