"""Rows of people's questions: the fields of contract 5.4, 5.5 and 5.7, as Slurm 22.05 and 24.11 print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldcrest.commands.listings import parse_details, parse_history, parse_listing
from goldcrest.commands.outputs import SEPARATOR
from goldcrest.commands.records import parse_nodes, parse_partitions, parse_reservations

pytestmark = pytest.mark.unit


def line(*fields: str) -> str:
    return SEPARATOR.join(fields) + "\n"


WAITING = line(
    "52_[2-3%1]", "52", "2-3%1", "normal", "alice", "PENDING", "0:00", "N/A", "10:00", "1", "(Priority)", "a job"
)
RUNNING = line(
    "53", "53", "N/A", "normal", "alice", "RUNNING", "1-02:03:04", "2026-11-25T10:00:00", "9:00", "2", "n[1-2]", "b"
)


def test_listing() -> None:
    """Names say what they hold (D2): the start is the start, and the time what has elapsed."""
    waiting, running = parse_listing(WAITING + RUNNING)
    assert (waiting.job_id, waiting.base_id, waiting.array_index) == ("52_[2-3%1]", "52", "2-3%1")
    assert (waiting.start, waiting.node_list, waiting.name) == ("N/A", "(Priority)", "a job")
    assert (running.job_id, running.array_index, running.state) == ("53", None, "RUNNING")
    assert (running.elapsed, running.start) == ("1-02:03:04", "2026-11-25T10:00:00")
    assert (running.time_left, running.nodes, running.node_list) == ("9:00", "2", "n[1-2]")
    assert (running.partition, running.user) == ("normal", "alice")


def test_a_name_stays_in_its_field() -> None:
    """Whatever somebody calls a job, it does not become another field, nor another job."""
    name = SEPARATOR.join(("x", "99", "99", "COMPLETED"))
    (job,) = parse_listing(RUNNING.replace(f"{SEPARATOR}b\n", f"{SEPARATOR}{name}\n"))
    assert (job.job_id, job.state, job.name) == ("53", "RUNNING", name)
    assert parse_listing(RUNNING + "CLUSTER: second\nrest of a name\n\n") == parse_listing(RUNNING)
    assert parse_listing(line("54", "53", *"x" * 10)) == ()  # an id that is not of that base


def test_history() -> None:
    """Each field of contract 5.5 has its own value."""
    text = line(
        "52_1", "normal", "alice", "CANCELLED by 2001", "s", "00:00:02", "e", "1", "n1", "0:15", "00:00:01", "my|job"
    )
    (row,) = parse_history(text + "\n" + line("x") + line("batch", *"x" * 11))
    assert (row.job_id, row.state, row.exit_code, row.name) == ("52_1", "CANCELLED by 2001", "0:15", "my|job")
    assert (row.start, row.cpu_time, row.end, row.elapsed) == ("s", "00:00:02", "e", "00:00:01")
    assert (row.partition, row.user, row.nodes, row.node_list) == ("normal", "alice", "1", "n1")


def test_details() -> None:
    """Files of jobs by the ids of the listing; what is not told is None or empty."""
    job = {
        "jobId": "53",
        "command": "/home/a b/x=1.sh",
        "stdout": "/s/out",
        "stderr": "(null)",
        "stdoutTail": "hello\n",
    }
    details = parse_details([job, {"jobId": "52_[2-3]", "error": "Invalid job id specified"}])
    assert (details["53"].command, details["53"].stdout, details["53"].stderr) == ("/home/a b/x=1.sh", "/s/out", None)
    assert (details["53"].stdout_tail, details["53"].stderr_tail, details["53"].error) == ("hello\n", "", None)
    assert (details["52_[2-3]"].command, details["52_[2-3]"].error) == (None, "Invalid job id specified")


NODE_2205 = (
    "NodeName=n1 Arch=x86_64 CoresPerSocket=1 CPUAlloc=0 CPUEfctv=2 CPUTot=2 CPULoad=0.33 AvailableFeatures=f7t,gpu "
    "ActiveFeatures=f7t,gpu Gres=(null) NodeAddr=cluster NodeHostName=cluster Port=17000 Version=22.05.8 "
    "OS=Linux 5.10.0-22-amd64 #1 SMP Debian 5.10.178-3 (2023-04-22) RealMemory=2000 AllocMem=0 FreeMem=1 Sockets=2 Boards=1 "
    "State=IDLE+DRAIN ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=normal,long "
    "BootTime=2026-11-25T10:00:00 CfgTRES=cpu=2,mem=2000M,billing=2 AllocTRES= CapWatts=n/a "
    "ExtSensorsJoules=n/s Reason=disk State=BROKEN and x=1 [root@2026-11-25T10:00:00]\n"
)
NODE_2411 = (
    "NodeName=n2 CoresPerSocket=1 CPUAlloc=0 CPUEfctv=2 CPUTot=2 CPULoad=N/A AvailableFeatures=(null) ActiveFeatures=(null) "
    "Gres=(null) NodeAddr=n2 NodeHostName=n2 RealMemory=1 AllocMem=0 FreeMem=N/A Sockets=2 Boards=1 State=DOWN+CLOUD+NEW_FLAG "
    "ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A NewField=some thing InstanceId=a=b BootTime=None "
    "CfgTRES=cpu=2 AllocTRES= Comment=two words\n"
)


def test_nodes() -> None:
    """Of both versions, with free text that looks like fields; what a record lacks is None."""
    first, second = parse_nodes(NODE_2205 + NODE_2411)
    assert (first.name, first.active_features, first.partitions) == ("n1", ("f7t", "gpu"), ("normal", "long"))
    assert first.state == ("IDLE", "DRAIN")
    assert (second.name, second.partitions, second.state) == ("n2", None, ("DOWN", "CLOUD", "NEW_FLAG"))


def test_partitions() -> None:
    """Five fields among many."""
    text = (
        "PartitionName=normal AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A DefaultTime=NONE "
        "Hidden=NO MaxTime=1-00:00:00 Nodes=n[1-2] State=UP TotalCPUs=4 TotalNodes=2 SelectTypeParameters=NONE "
        "JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=4,mem=4000M,node=2,billing=4\n"
        "PartitionName=odd State=DOWN\n"
    )
    normal, odd = parse_partitions(text)
    assert (normal.name, normal.state, normal.total_cpus, normal.total_nodes) == ("normal", "UP", "4", "2")
    assert normal.default == "YES"
    assert (odd.name, odd.state, odd.default) == ("odd", "DOWN", None)


def test_reservations() -> None:
    """Features are split on ``&``; without reservations there is a sentence and no row."""
    text = (
        "ReservationName=maint StartTime=2026-12-01T00:00:00 EndTime=2026-12-01T01:00:00 Duration=01:00:00 Nodes=n1 NodeCnt=1 "
        "CoreCnt=2 Features=f7t&gpu PartitionName=(null) Flags=MAINT,SPEC_NODES TRES=cpu=2 Users=root Groups=(null) "
        "Accounts=(null) Licenses=(null) State=INACTIVE BurstBuffer=(null) MaxStartDelay=(null)\n"
    )
    (row,) = parse_reservations(text)
    assert (row.name, row.state, row.nodes, row.features) == ("maint", "INACTIVE", "n1", ("f7t", "gpu"))
    assert (row.start_time, row.end_time) == ("2026-12-01T00:00:00", "2026-12-01T01:00:00")
    assert parse_reservations("No reservations in the system\n") == ()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """No output makes the parsers fail."""
    for parse in (parse_listing, parse_history, parse_nodes, parse_partitions, parse_reservations):
        parse(text)
        parse("NodeName=" + text)
