"""Programs that several requests share: one start of `scontrol` for many jobs, and each request gets the answer of its own."""

from __future__ import annotations

import time
from typing import Any

import pytest

from component.ssh_filter.node import ANSWER, ERROR, Channel, Node
from component.ssh_filter.test_programs import submission

pytestmark = pytest.mark.component

SBATCH = (
    'exec 9>>"$OUT/number"; flock 9; number=$(cat "$OUT/number"); echo $((number + 1)) > "$OUT/number"; echo $number'
)
SHOW = """
if [ "$1 $2" = "--local -o" ]; then
    while read -r word kind id; do
        echo "scontrol: $word $kind $id"
        [ -z "$id" ] || [ "$id" = "$LOST" ] || echo "JobId=$id JobName=shared"
    done
    exit 1
fi
"""
RELEASE = """
if [ "$1" = release ]; then
    sleep 0.3
    case ",$2," in *,"$GONE",*) echo "Invalid job id specified for job $GONE" >&2; exit 1;; esac
    exit 0
fi
"""
BUSY = 'until [ "$(cat "$OUT/number")" -ge "$SUBMITTED" ]; do sleep 0.02; done'
ALONE = 'for word; do id=$word; done; echo "JobId=$id JobName=alone UserId=nobody(65534) Comment=$TOKEN_OF_ALL"'


def token(number: int) -> str:
    return f"goldcrest:01234567:{number:032x}"


def arguments(node: Node, number: int) -> dict[str, Any]:
    return {
        "token": token(number),
        "jobDirectory": f"{node.home}/goldcrest/{number}",
        "workDirectory": str(node.home),
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {},
    }


@pytest.fixture
def slurm(node: Node) -> Node:
    """A node whose Slurm numbers jobs from 11, and notes each call of scontrol."""
    node.policy["environment"].update(OUT=str(node.scratch), LOST="", GONE="", SUBMITTED="0", TOKEN_OF_ALL=token(1))
    (node.scratch / "number").write_text("11")
    (node.scratch / "number").chmod(0o666)
    (node.scratch / "calls").touch()
    (node.scratch / "calls").chmod(0o666)
    node.program("sbatch", SBATCH)
    node.program("scontrol", 'echo "$@" >> "$OUT/calls"\n' + BUSY + SHOW + RELEASE + ALONE)
    return node


def calls(node: Node) -> list[str]:
    return (node.scratch / "calls").read_text().splitlines()


def submitted(node: Node, channel: Channel, count: int) -> dict[int, str]:
    """Job ids of submissions, by number, made one after the other."""
    script = submission(b"#!/bin/sh\ntrue\n")
    ids = {
        number: channel.ask("slurm.submit", arguments(node, number), script)["stdout"].strip()
        for number in range(count)
    }
    (node.scratch / "calls").write_text("")
    return ids


def all_at_once(channel: Channel, op: str, asked: list[dict[str, Any]], payload: bytes | None = None) -> list[Any]:
    """The answers, in the order of the questions: what ANSWER says, or the kind of an ERROR."""
    ids = [channel.start(op, args, payload) for args in asked]
    answers = {}
    while len(answers) < len(ids):
        got = channel.read_frame()
        assert got is not None
        assert got.type in (ANSWER, ERROR)
        answers[got.id] = got.json if got.type == ANSWER else got.json["kind"]
    return [answers[one] for one in ids]


def test_releases_share_runs(slurm: Node) -> None:
    """The first begins at once, the others go together; nobody is asked whose the jobs are, for sbatch told this filter."""
    channel = slurm.open()
    ids = submitted(slurm, channel, 6)
    answers = all_at_once(channel, "slurm.release", [{"token": token(n), "jobId": i} for n, i in ids.items()])
    assert answers == [{"exit": 0, "stdout": "", "stderr": ""}] * 6
    assert all(call.startswith("release ") for call in calls(slurm))
    released = [call.split()[1].split(",") for call in calls(slurm)]
    assert sorted(i for many in released for i in many) == sorted(ids.values())
    assert len(released) < 6
    assert max(map(len, released)) > 1


def test_one_that_cannot_be_released_is_told_alone(slurm: Node) -> None:
    """The words about one job are the answer about that job, and the others are released."""
    slurm.policy["environment"]["GONE"] = "13"
    channel = slurm.open()
    ids = submitted(slurm, channel, 4)
    answers = all_at_once(channel, "slurm.release", [{"token": token(n), "jobId": i} for n, i in ids.items()])
    for job_id, answer in zip(ids.values(), answers, strict=True):
        failed = {"exit": 1, "stdout": "", "stderr": "Invalid job id specified for job 13\n"}
        assert answer == (failed if job_id == "13" else {"exit": 0, "stdout": "", "stderr": ""})


def test_only_what_this_filter_submitted_is_believed(slurm: Node) -> None:
    """Another token for the same id, another id for the same token, and another filter: Slurm is asked, and says no."""
    channel = slurm.open()
    ids = submitted(slurm, channel, 3)
    slurm.policy["environment"]["TOKEN_OF_ALL"] = "somebody else's"
    for args in ({"token": token(0), "jobId": ids[2]}, {"token": token(9), "jobId": ids[0]}):
        assert channel.fail("slurm.release", args)["kind"] == "state"
    for op in ("slurm.release", "slurm.hold"):
        assert slurm.open().fail(op, {"token": token(0), "jobId": ids[0]})["kind"] == "state"
    assert [call for call in calls(slurm) if not call.startswith("--local show job -o ")] == []
    assert len(calls(slurm)) == 4


def test_descriptions_share_runs(slurm: Node) -> None:
    """One of scontrol tells of all jobs that were submitted meanwhile; what it does not tell is asked for alone."""
    slurm.policy["environment"].update(
        LOST="14", SUBMITTED="17"
    )  # the first scontrol takes until all six are submitted
    channel = slurm.open()
    script = submission(b"#!/bin/sh\ntrue\n")
    answers = all_at_once(channel, "slurm.submit", [arguments(slurm, number) for number in range(6)], script)
    for answer in answers:
        job_id = answer["stdout"].strip()
        assert answer["describe"].startswith(f"JobId={job_id} JobName=")
        assert answer["describe"].count("JobId=") == 1
    assert any(call == "--local -o" for call in calls(slurm))
    assert len(calls(slurm)) < 6


def test_time_limit_of_a_shared_run(slurm: Node) -> None:
    """A run that hangs ends for each who waits for it in its own time, and so does the program; the next one begins anew."""
    slurm.policy["commandSeconds"] = 2
    channel = slurm.open()
    ids = submitted(slurm, channel, 4)
    asked = [{"token": token(n), "jobId": i} for n, i in ids.items()]
    slurm.program("scontrol", f"sleep 30; touch {slurm.scratch}/late")
    began = time.monotonic()
    assert all_at_once(channel, "slurm.release", asked) == ["timeout"] * 4
    assert time.monotonic() - began < 10
    slurm.program("scontrol", "exit 0")
    assert all_at_once(channel, "slurm.release", asked) == [{"exit": 0, "stdout": "", "stderr": ""}] * 4
