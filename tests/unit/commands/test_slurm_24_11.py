"""What Slurm 24.11.5 printed on the test bed (`bed.py up --profile newer`) is read as that of 22.05 is."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldcrest.commands.listings import parse_listing
from goldcrest.commands.outputs import parse_account, parse_describe, parse_queue
from goldcrest.commands.records import parse_nodes, parse_partitions

pytestmark = pytest.mark.unit

DATA = Path(__file__).parent / "data" / "slurm-24.11"


def read(name: str) -> str:
    return (DATA / name).read_text()


def test_queue() -> None:
    """Running, held, waiting and ended jobs."""
    rows = {row.job_id: row for row in parse_queue(read("squeue.txt"))}
    running, held, element = rows["22"], rows["23"], rows["24_2"]
    assert (running.state, running.start, running.elapsed, running.comment) == (
        "RUNNING",
        1795637444,
        12,
        "goldcrest:rec",
    )
    assert (held.state, held.reason, held.start) == ("PENDING", "JobHeldUser", None)
    assert (element.base_id, element.array_index, element.reason) == ("24", "2", "JobArrayTaskLimit")
    assert (rows["20"].state, rows["20"].comment) == ("FAILED", None)


def test_account() -> None:
    """A job's comment is there when it has ended; the line of its submission at once."""
    rows = {row.job_id: row for row in parse_account(read("sacct.txt"))}
    assert (rows["26"].state, rows["26"].exit_code, rows["26"].end) == ("FAILED", 3, 1795637451)
    assert (rows["23"].state, rows["23"].start, rows["23"].node_list, rows["23"].comment) == (
        "PENDING",
        None,
        None,
        None,
    )
    assert "--comment goldcrest:held" in rows["23"].submit_line
    assert (rows["24_[2-3%1]"].base_id, rows["24_1"].state) == ("24", "RUNNING")


def test_describe() -> None:
    """Names and paths with blanks and ``=``; there is no ``Power=`` behind them any more."""
    (running,) = parse_describe(read("scontrol_running.txt"))
    assert (running.job_id, running.state, running.comment) == ("22", "RUNNING", "goldcrest:rec")
    assert running.stdout == running.stderr == "/scratch/alice/o ut=a b-22 X=1.txt"
    assert (running.work_directory, running.command, running.node_list) == ("/scratch/alice", None, "n1")
    (failed,) = parse_describe(read("scontrol_failed.txt"))
    assert (failed.state, failed.exit_code, failed.signal, failed.reason) == ("FAILED", 3, 0, "NonZeroExitCode")
    (held,) = parse_describe(read("scontrol_held.txt"))
    assert (held.state, held.reason) == ("PENDING", "JobHeldUser")
    waiting, element = parse_describe(read("scontrol_array.txt"))
    assert (waiting.base_id, waiting.state, element.job_id, element.state) == ("24", "PENDING", "25", "RUNNING")


def test_listing() -> None:
    """What people see of the queue."""
    rows = {row.job_id: row for row in parse_listing(read("listing.txt"))}
    assert (rows["22"].name, rows["22"].start, rows["22"].time_left) == ("a b", "2026-11-25T20:10:44", "4:43")
    assert (rows["24_[2-3%1]"].array_index, rows["24_[2-3%1]"].node_list) == ("2-3%1", "(JobArrayTaskLimit)")


def test_nodes_and_partitions() -> None:
    """The same fields among others than before."""
    nodes = parse_nodes(read("nodes.txt"))
    assert [(row.name, row.state, row.partitions) for row in nodes] == [
        ("n1", ("MIXED",), ("normal", "debug")),
        ("n2", ("IDLE",), ("normal",)),
        ("n3", ("IDLE",), ("normal", "xfer")),
    ]
    normal, debug, xfer = parse_partitions(read("partitions.txt"))
    assert (normal.name, normal.state, normal.default, normal.total_cpus, normal.total_nodes) == (
        "normal",
        "UP",
        "YES",
        "12",
        "3",
    )
    assert (debug.default, xfer.name) == ("NO", "xfer")
