"""What Slurm's failures mean: whether it is busy, away, or says no, and whether trying again makes sense."""

from __future__ import annotations

import pytest

from goldcrest.commands import CommandOutput
from goldcrest.commands.outputs import SubmissionVerdict, submission_verdict
from goldcrest.commands.refusals import answered, raise_if_passing, submission_refusal
from goldcrest.errors import Again, GoldcrestError, SchedulerBusy, SchedulerRefused, SchedulerUnavailable

pytestmark = pytest.mark.unit

FAILED = "sbatch: error: Batch job submission failed: "
POLICY = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("stderr", "again"),
    [
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + POLICY, Again.LATER),
        ("sbatch: error: AssocMaxSubmitJobLimit\n" + POLICY, Again.LATER),
        ("sbatch: error: AssocGrpSubmitJobsLimit\n" + POLICY, Again.LATER),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\n" + POLICY, Again.CHANGED),
        ("sbatch: error: AssocMaxCpuPerJobLimit\n" + POLICY, Again.CHANGED),
        ("sbatch: error: QOSGrpNodeLimit\n" + POLICY, Again.CHANGED),
        ("sbatch: error: QOSMinCpuNotSatisfied\n" + POLICY, Again.CHANGED),
        (POLICY, Again.UNKNOWN),
        (FAILED + "Invalid account or account/partition combination specified", Again.CHANGED),
        (FAILED + "Invalid qos specification", Again.CHANGED),
        (
            "sbatch: error: invalid partition specified: x\n" + FAILED + "Invalid partition name specified",
            Again.CHANGED,
        ),
        (FAILED + "Requested node configuration is not available", Again.CHANGED),
        (FAILED + "More processors requested than permitted", Again.CHANGED),
        (FAILED + "Requested time limit is invalid (missing or exceeds some limit)", Again.CHANGED),
        (FAILED + "Memory required by task is not available", Again.CHANGED),
        ("sbatch: error: Batch script contains DOS line breaks (\\r\\n)", Again.CHANGED),
        ("sbatch: error: This does not look like a batch script.", Again.CHANGED),
        (FAILED + "Access/permission denied", Again.SITE),
        (FAILED + "Invalid user id", Again.SITE),
        (FAILED + "User's group not permitted to use this partition", Again.SITE),
        (FAILED + "Required partition not available (inactive or drain)", Again.LATER),
        (FAILED + "Requested reservation not usable now", Again.LATER),
        (FAILED + "Required node not available (down, drained or reserved)", Again.LATER),
        (
            "sbatch: error: the site says: please ask for an hour at most\n" + FAILED + "Unspecified error",
            Again.UNKNOWN,
        ),
    ],
)
def test_whether_trying_again_makes_sense(stderr: str, again: Again) -> None:
    """Associations, QOS, partitions, reservations, and a plugin whose words nobody can know."""
    output = CommandOutput(1, "", stderr)
    assert submission_verdict(output) is SubmissionVerdict.REFUSED
    assert submission_refusal(output).again is again


def test_a_refusal_is_told_in_slurms_words_and_says_what_to_do() -> None:
    """A person reads both; where nobody knows, nothing is added."""
    limit = submission_refusal(CommandOutput(1, "", "sbatch: error: AssocMaxSubmitJobLimit\n" + POLICY))
    assert limit.message == (
        "AssocMaxSubmitJobLimit; Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
        "and/or time limits). It may be accepted later: submit it again then."
    )
    rule = submission_refusal(CommandOutput(1, "", "sbatch: error: ask for an hour at most."))
    assert rule.message == "ask for an hour at most."


@pytest.mark.parametrize(
    ("exit_status", "stderr", "error"),
    [
        (1, "slurm_load_jobs error: Rate limit exceeded, please retry momentarily", SchedulerBusy),
        (1, "slurm_load_jobs error: Socket timed out on send/recv operation", SchedulerBusy),
        (1, "scontrol: error: Resource temporarily unavailable", SchedulerBusy),
        (1, "squeue: error: Slurm temporarily unable to accept job, sleeping and retrying", SchedulerBusy),
        (1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)", SchedulerUnavailable),
        (1, "slurm_load_jobs error: Zero Bytes were transmitted or received", SchedulerUnavailable),
        (1, "sacct: error: Problem talking to the database: Connection refused", SchedulerUnavailable),
        (
            1,
            "squeue: error: 'second' can't be reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list clusters'…",
            SchedulerUnavailable,
        ),
        (127, "sacct: error while loading shared libraries: libslurmfull.so: …", SchedulerUnavailable),
        (137, "", SchedulerUnavailable),
        (1, "slurm_load_jobs error: Invalid job id specified", SchedulerRefused),
        (1, "sacct: error: Too wide of a date range in query", SchedulerRefused),
        (210, "scancel: error: Kill job error on job id 5: Access/permission denied", SchedulerRefused),
    ],
)
def test_a_question_that_failed(exit_status: int, stderr: str, error: type[GoldcrestError]) -> None:
    """What passes is told apart from an answer that is no, and only what passes is asked again."""
    output = CommandOutput(exit_status, "", stderr)
    with pytest.raises(error) as raised:
        answered(output, program="squeue")
    assert type(raised.value) is error
    assert raised.value.retryable == issubclass(error, SchedulerUnavailable)
    if error is SchedulerRefused:
        raise_if_passing(output, program="squeue")


def test_words_on_standard_output() -> None:
    """scontrol says there that it does not know a node."""
    with pytest.raises(SchedulerRefused, match="Node n99 not found"):
        answered(CommandOutput(1, "Node n99 not found\n", ""), program="scontrol")


def test_a_question_that_was_answered() -> None:
    """Words on standard error are no failure."""
    assert answered(CommandOutput(0, "out", "scontrol: warning"), program="scontrol") == "out"
