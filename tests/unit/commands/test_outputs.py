"""What Slurm prints is read right; the files in data/ were printed by Slurm 22.05.8."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.commands import CommandOutput
from goldcrest.commands.outputs import (
    SEPARATOR,
    SubmissionVerdict,
    SubmittedId,
    base_id,
    duration,
    parse_account,
    parse_describe,
    parse_queue,
    parse_submitted,
    require_answer,
    submission_verdict,
    words,
)
from goldcrest.errors import SchedulerUnavailable

pytestmark = pytest.mark.unit

DATA = Path(__file__).parent / "data"


def read(name: str) -> str:
    return (DATA / name).read_text()


def test_queue() -> None:
    """Waiting, held, running and ended jobs and array elements of squeue."""
    rows = {row.job_id: row for row in parse_queue(read("squeue.txt"))}
    held, element, failed = rows["53"], rows["52_1"], rows["54"]
    assert (held.state, held.reason, held.start, held.comment) == ("PENDING", "JobHeldUser", None, "goldcrest:held")
    assert (element.base_id, element.array_index, element.state, element.elapsed) == ("52", "1", "RUNNING", 3)
    assert (element.node_list, element.partition, element.account, element.qos) == ("n1", "normal", "physics", "normal")
    assert (failed.state, failed.start, failed.comment) == ("FAILED", 1795464076, None)
    assert rows["52_2"].reason == "JobArrayTaskLimit"


def test_account() -> None:
    """Ended, cancelled and array jobs of sacct."""
    rows = {row.job_id: row for row in parse_account(read("sacct.txt"))}
    assert (rows["53"].state, rows["53"].start, rows["53"].node_list) == ("CANCELLED", None, None)
    assert (rows["54"].exit_code, rows["54"].signal) == (3, 0)
    assert (rows["55"].exit_code, rows["55"].signal) == (0, 9)
    assert (rows["52_1"].base_id, rows["52_1"].end) == ("52", None)
    assert (rows["52_[2-3%1]"].base_id, rows["52_[2-3%1]"].comment) == ("52", None)
    assert "--comment=goldcrest:array" in rows["52_1"].submit_line


def test_describe_failed() -> None:
    """Exit code, signal and paths of ended jobs."""
    (failed,) = parse_describe(read("scontrol_failed.txt"))
    assert (failed.job_id, failed.user, failed.state, failed.exit_code, failed.signal) == (
        "54",
        "alice",
        "FAILED",
        3,
        0,
    )
    assert (failed.work_directory, failed.stdout, failed.command) == ("/tmp", "/tmp/slurm-54.out", None)
    assert (failed.node_list, failed.partition, failed.elapsed) == ("n1", "normal", 0)
    (killed,) = parse_describe(read("scontrol_killed.txt"))
    assert (killed.exit_code, killed.signal) == (0, 9)


def test_describe_array() -> None:
    """An array has one record for what waits and one for each element that started."""
    waiting, running = parse_describe(read("scontrol_array.txt"))
    assert (waiting.base_id, waiting.state) == ("52", "PENDING")
    assert (running.job_id, running.base_id, running.state, running.comment) == (
        "56",
        "52",
        "RUNNING",
        "goldcrest:array",
    )


def test_describe_is_not_fooled_by_a_name() -> None:
    """A job's name that looks like a field does not change its state."""
    (job,) = parse_describe(read("scontrol_held.txt"))
    assert (job.state, job.reason, job.comment) == ("PENDING", "JobHeldUser", "goldcrest:held")


@pytest.mark.parametrize("more", ["Power= ", "TresPerNode=gres:gpu:1", "MailUser=alice MailType=END", ""])
def test_paths_may_hold_anything(more: str) -> None:
    """Blanks, ``=``, and words that look like fields, in the script's path, the folder and the outputs."""
    text = read("scontrol_failed.txt").strip()
    head, _, _ = text.partition(" Command=")
    command, folder, out = "/home/a b/My X=1.sh Arg=2", "/home/a b/W=x", "/s/out Of=3 Job.txt"
    (job,) = parse_describe(
        f"{head} Command={command} WorkDir={folder} Comment=a Field=b  StdErr={out} StdIn=/dev/null StdOut={out} {more}\n"
    )
    assert (job.command, job.work_directory, job.stdout, job.stderr) == (command, folder, out, out)
    assert (job.job_id, job.state, job.comment) == ("54", "FAILED", "a")


@pytest.mark.timeout(30)  # it takes a few hundredths of a second; the time-out is what fails
@pytest.mark.parametrize(
    "evil",
    [
        " " * 100_000 + "x",
        "A= " * 50_000,
        " WorkDir=/ StdErr= Comment=" * 10_000,
        "UserId=a(1) " * 10_000,
        "A" * 200_000,
    ],
)
def test_a_record_costs_what_its_length_costs(evil: str) -> None:
    """Users choose names, comments and paths: none makes reading a record take minutes (with what a careless pattern does, two)."""
    parse_describe(f"JobId=1 JobName={evil} UserId=alice(1) GroupId=a(1) JobState=RUNNING Command={evil}")
    parse_describe(f"JobId=1 {evil} JobState=RUNNING {evil}")


def test_queue_leaves_out_what_is_no_row() -> None:
    """Lines without all fields, as a line break in a comment makes them, are left out; a separator in a comment is part of it."""
    line = read("squeue.txt").splitlines()[0]
    assert parse_queue(f"slurm is having a bad day\n{line}\nrest of a comment\n\n") == parse_queue(line)
    assert parse_queue(line + SEPARATOR + "more")[0].comment == parse_queue(line)[0].comment + SEPARATOR + "more"  # type: ignore[operator]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """No output makes the parsers fail."""
    for parse in (parse_queue, parse_account, parse_describe):
        parse(text)
    parse_submitted(text)
    words(CommandOutput(1, text, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123\n", SubmittedId("123")),
        ("123;cluster2\n", SubmittedId("123", "cluster2")),
        ("Welcome to the site!\n123\n", SubmittedId("123")),
        ("", None),
        ("Submitted batch job 123\n", None),
        ("123\n124\n", None),
    ],
)
def test_submitted(text: str, expected: SubmittedId | None) -> None:
    """Exactly one line with an id is an id."""
    assert parse_submitted(text) == expected


ERROR = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    ("exit_status", "stderr", "verdict"),
    [
        (1, ERROR + "Invalid partition name specified", SubmissionVerdict.REFUSED),
        (1, ERROR + "Invalid account or account/partition combination specified", SubmissionVerdict.REFUSED),
        (1, ERROR + "Job violates accounting/QOS policy (job submit limit, …)", SubmissionVerdict.REFUSED),
        (1, "sbatch: error: lua: you may not do that", SubmissionVerdict.REFUSED),
        (1, ERROR + "Unable to contact slurm controller (connect failure)", SubmissionVerdict.NOT_NOW),
        (1, "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.", SubmissionVerdict.NOT_NOW),
        (1, ERROR + "Socket timed out on send/recv operation", SubmissionVerdict.UNCERTAIN),
        (1, ERROR + "Zero Bytes were transmitted or received", SubmissionVerdict.UNCERTAIN),
        (127, "sbatch: error while loading shared libraries: libslurmfull.so: …", SubmissionVerdict.NOT_NOW),
        (126, "", SubmissionVerdict.NOT_NOW),
        (1, "sbatch: fatal: Could not establish a configuration source", SubmissionVerdict.NOT_NOW),
        (1, "sbatch: fatal: Unable to process configuration file", SubmissionVerdict.NOT_NOW),
        (1, ERROR + "Unable to create job record, try again", SubmissionVerdict.NOT_NOW),
        (1, ERROR + "I/O error writing script/environment to file", SubmissionVerdict.NOT_NOW),
        (1, ERROR + "Invalid authentication credential", SubmissionVerdict.NOT_NOW),
        (1, ERROR + "Rate limit exceeded, please retry momentarily", SubmissionVerdict.NOT_NOW),
        (1, ERROR + "System submissions disabled", SubmissionVerdict.NOT_NOW),
        (0, "", SubmissionVerdict.UNCERTAIN),
        (-9, "", SubmissionVerdict.UNCERTAIN),
        (137, "", SubmissionVerdict.UNCERTAIN),
    ],
)
def test_verdict(exit_status: int, stderr: str, verdict: SubmissionVerdict) -> None:
    """What was refused for good, what was not taken for now, and what nobody knows."""
    assert submission_verdict(CommandOutput(exit_status, "", stderr)) is verdict


def test_words() -> None:
    """Slurm's own words without prefixes and without anything that could steer a terminal."""
    text = "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: \x1b[31mred\n"
    assert words(CommandOutput(1, "", text)) == (
        "invalid partition specified: x; Batch job submission failed: �[31mred"
    )
    assert words(CommandOutput(7, "", "")) == "exit status 7 without a message"


def test_query_that_failed() -> None:
    """A query that failed is a scheduler that does not answer, never an empty list."""
    with pytest.raises(SchedulerUnavailable, match="squeue failed: Unable to contact"):
        require_answer(
            CommandOutput(1, "", "slurm_load_jobs error: Unable to contact slurm controller"), program="squeue"
        )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:03", 3), ("01:02:03", 3723), ("2-03:04:05", 183845), ("7", 7), ("INVALID", None), ("", None), ("1-", None)],
)
def test_duration(text: str, seconds: int | None) -> None:
    """Slurm's forms of elapsed time."""
    assert duration(text) == seconds


@pytest.mark.parametrize("job_id", ["12", "12_3", "12_[4-9%2]", "12+1"])
def test_base_id(job_id: str) -> None:
    """The id of the whole, for jobs, arrays and heterogeneous jobs."""
    assert base_id(job_id) == "12"
