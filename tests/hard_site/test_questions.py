"""People's questions on the hard site: the same as on the friendly one, with chatty start-up files and PrivateData."""

from __future__ import annotations

import pytest

from bed import Bed
from bed_commands import Node
from goldcrest.commands import CommandOutput, ListJobs
from goldcrest.commands.listings import parse_listing
from goldcrest.commands.refusals import answered
from integration.test_slurm_questions import (
    node,
    sbatch,
    test_a_running_job_with_its_output,
    test_an_array,
    test_an_unknown_job,
    test_another_users_job_is_not_ended,
    test_history,
    test_nodes_partitions_reservations,
)

pytestmark = [pytest.mark.integration, pytest.mark.profile("hard")]

__all__ = [
    "node",
    "test_a_running_job_with_its_output",
    "test_an_array",
    "test_an_unknown_job",
    "test_another_users_job_is_not_ended",
    "test_history",
    "test_nodes_partitions_reservations",
]


async def test_nobody_sees_anothers_jobs(bed: Bed, node: Node) -> None:
    """With PrivateData a listing of all jobs is one's own."""
    job_id = sbatch(bed, user="bob")
    try:
        everybody = CommandOutput.of((await node.run(ListJobs(scope="all")))["squeue"])
        assert {job.user for job in parse_listing(answered(everybody, program="squeue"))} <= {"alice"}
        own = CommandOutput.of((await node.run(ListJobs(scope="all"), user="bob"))["squeue"])
        assert job_id in {job.job_id for job in parse_listing(answered(own, program="squeue"))}
    finally:
        bed.node("scancel", job_id)
