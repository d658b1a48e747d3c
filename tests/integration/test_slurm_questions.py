"""People's questions to a real Slurm: typed commands, the real filter, typed rows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from bed import Bed
from bed_commands import Node, node_of
from goldcrest.commands import CommandOutput, History, Kill, ListJobs, Nodes, Partitions, Reservations
from goldcrest.commands.listings import ListedJob, parse_details, parse_history, parse_listing
from goldcrest.commands.records import parse_nodes, parse_partitions, parse_reservations
from goldcrest.commands.refusals import answered
from goldcrest.errors import SchedulerRefused

pytestmark = pytest.mark.integration


@pytest.fixture
async def node(bed: Bed) -> AsyncIterator[Node]:
    async with node_of(bed) as node:
        yield node


def sbatch(bed: Bed, *options: str, script: str = "sleep 60", user: str = "alice") -> str:
    """A job submitted by hand, in the user's work folder: its id."""
    words = ["sbatch", "--parsable", f"--chdir=/scratch/{user}", *options, f"--wrap={script}"]
    return bed.node(*words, user=user).strip().split(";")[0]


def stdout(result: object, program: str = "squeue") -> str:
    return answered(CommandOutput.of(result), program=program)  # type: ignore[arg-type]


async def listing(node: Node, *job_ids: str) -> tuple[ListedJob, ...]:
    return parse_listing(stdout((await node.run(ListJobs(scope="own", job_ids=job_ids)))["squeue"]))


async def test_a_running_job_with_its_output(bed: Bed, node: Node) -> None:
    """Names with blanks and separators, an output with blanks and ``=``, patterns, the end of what was written."""
    name = "a b=c|d\u00e9"
    job_id = sbatch(
        bed, "--job-name", name, "--output=/scratch/alice/out of=%x %j.txt", script="echo one; echo two; sleep 60"
    )
    try:
        command = ListJobs(scope="own", job_ids=(job_id,), details=True, tail_bytes=4)
        for _ in range(100):
            answer = await node.run(command)
            detail = parse_details(answer["jobs"]).get(job_id)
            if detail is not None and detail.stdout_tail:
                break
            await asyncio.sleep(0.2)
        (job,) = parse_listing(stdout(answer["squeue"]))
        assert detail is not None
        assert (job.job_id, job.name, job.user, job.state, job.partition) == (
            job_id,
            name,
            "alice",
            "RUNNING",
            "normal",
        )
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", job.start), "the start, and not what has elapsed (D2)"
        assert re.fullmatch(r"[0-9:]+", job.elapsed)
        assert job.node_list.startswith("n")
        assert detail.stdout == f"/scratch/alice/out of={name} {job_id}.txt"
        assert (detail.stdout_tail, detail.stderr, detail.stderr_tail) == ("two\n", detail.stdout, "two\n")
        assert detail.error is None
    finally:
        bed.node("scancel", job_id)


async def test_an_array(bed: Bed, node: Node) -> None:
    """Elements that run and those that wait; single elements and ranges of them can be asked for and ended."""
    base = sbatch(bed, "--array=1-6%1", "--output=/scratch/alice/array-%A_%a.txt")
    try:
        rows: tuple[ListedJob, ...] = ()
        for _ in range(100):
            rows = await listing(node, base)
            if {row.state for row in rows} == {"RUNNING", "PENDING"}:
                break
            await asyncio.sleep(0.2)
        by_id = {row.job_id: row for row in rows}
        assert by_id[f"{base}_1"].state == "RUNNING"
        (waiting,) = [row for row in rows if row.state == "PENDING"]
        assert waiting.job_id.startswith(f"{base}_[2-6")
        assert waiting.base_id == base
        answer = await node.run(ListJobs(scope="own", job_ids=(base,), details=True, tail_bytes=10))
        details = parse_details(answer["jobs"])
        assert details[f"{base}_1"].stdout == f"/scratch/alice/array-{base}_1.txt"
        assert details[waiting.job_id].stdout == f"/scratch/alice/array-{base}_%a.txt"
        some = await listing(node, f"{base}_[3-4]")
        assert {row.base_id for row in some} == {base}
        assert f"{base}_1" not in {row.job_id for row in some}
        ended = CommandOutput.of(await node.run(Kill(job_ids=(f"{base}_[3-4]",))))
        assert (ended.exit, "Terminating job" in ended.stderr) == (0, True), ended
        left = [row for row in await listing(node, base) if row.state == "PENDING"]
        assert len(left) == 1
        assert "3" not in left[0].job_id.removeprefix(base)
    finally:
        bed.node("scancel", base)


async def test_an_unknown_job(node: Node) -> None:
    """Slurm's own words, as the answer to whoever asked."""
    answer = await node.run(ListJobs(scope="own", job_ids=("4000000",)))
    with pytest.raises(SchedulerRefused, match="Invalid job id"):
        stdout(answer["squeue"])


async def test_history(bed: Bed, node: Node) -> None:
    """An ended job by its id, and between times of the system."""
    job_id = sbatch(bed, "--job-name=two words", script="exit 3")
    row = None
    for _ in range(100):
        text = stdout(await node.run(History(scope="own", job_ids=(job_id,))), "sacct")
        row = next((row for row in parse_history(text) if row.state == "FAILED"), None)
        if row is not None:
            break
        await asyncio.sleep(0.2)
    assert row is not None
    assert (row.job_id, row.name, row.user, row.exit_code, row.partition) == (
        job_id,
        "two words",
        "alice",
        "3:0",
        "normal",
    )
    during = History(scope="own", start=row.start, end=row.end)
    assert job_id in {row.job_id for row in parse_history(stdout(await node.run(during), "sacct"))}
    before = History(scope="own", start="2020-01-01T00:00:00", end="2020-01-02T00:00:00")
    assert parse_history(stdout(await node.run(before), "sacct")) == ()


async def test_nodes_partitions_reservations(bed: Bed, node: Node) -> None:
    """What the bed is configured with."""
    system = bed.facts["system"]
    nodes = parse_nodes(stdout(await node.run(Nodes()), "scontrol"))
    assert [row.name for row in nodes] == system["nodes"]
    assert all(row.state and row.partitions for row in nodes)
    some = parse_nodes(stdout(await node.run(Nodes(names=("n[1-2]",))), "scontrol"))
    assert [row.name for row in some] == ["n1", "n2"]
    with pytest.raises(SchedulerRefused, match="n99"):
        stdout(await node.run(Nodes(names=("n99",))), "scontrol")
    partitions = {row.name: row for row in parse_partitions(stdout(await node.run(Partitions()), "scontrol"))}
    assert list(partitions) == system["partitions"]
    normal = partitions["normal"]
    assert (normal.state, normal.default, normal.total_nodes, normal.total_cpus) == ("UP", "YES", "3", "12")
    assert parse_reservations(stdout(await node.run(Reservations()), "scontrol")) == ()
    # Of everybody: with PrivateData=reservations others see only those that they may use.
    words = ["starttime=now+1hour", "duration=10", "users=alice", "nodes=n2", "flags=ignore_jobs"]
    name = bed.node("scontrol", "create", "reservation", *words).split()[-1]
    try:
        (row,) = parse_reservations(stdout(await node.run(Reservations()), "scontrol"))
        assert (row.name, row.state, row.nodes) == (name, "INACTIVE", "n2")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", row.start_time or "")
    finally:
        bed.node("scontrol", "delete", f"reservation={name}")


async def test_another_users_job_is_not_ended(bed: Bed, node: Node) -> None:
    """Slurm decides, and its words and its status 210 are the answer."""
    job_id = sbatch(bed, user="bob")
    try:
        refused = CommandOutput.of(await node.run(Kill(job_ids=(job_id,))))
        assert refused.exit != 0
        assert re.search("denied|Invalid job id", refused.stderr), refused
        assert bed.node("squeue", "--noheader", "-o", "%T", "-j", job_id).strip() in ("PENDING", "RUNNING")
    finally:
        bed.node("scancel", job_id)
