"""People's questions to Slurm: which programs are run, and what is read of the files that Slurm names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from unit.ssh_filter.test_slurm import TOKEN, Steps, job_line, record, result

pytestmark = pytest.mark.unit

FORM = "--format=" + "%i %F %K %P %u %T %M %S %L %D %R %j".replace(" ", "\x1f")
ASKED = {"scope": "own", "jobIds": [], "details": False, "tailBytes": 0}
SHOW = ["scontrol", "--local", "show", "job"]


def listed(job_id: str, state: str = "RUNNING", name: str = "a job") -> str:
    base = job_id.split("_")[0]
    return "\x1f".join([job_id, base, "N/A", "normal", "alice", state, "0:01", "s", "9:59", "1", "n1", name]) + "\n"


def shown(
    job_id: str, *, out: str, err: str = "/dev/null", state: str = "RUNNING", user: str = "alice(20001)", more: str = ""
) -> str:
    return (
        f"JobId={job_id}{more} JobName=x StdOut=/etc/shadow\n   UserId={user} GroupId=a(1) MCS_label=N/A\n"
        f"   JobState={state} Reason=None Dependency=(null)\n   NodeList=n1\n   BatchHost=n1\n   NewField=some thing\n"
        f"   Command=/home/alice/my scripts/x=1.sh --flag\n   WorkDir=/home/alice\n   StdErr={err}\n   StdIn=/dev/null\n"
        f"   StdOut={out}\n   Power=\n   \n\n"
    )


def test_a_listing(f: Any, session: Any) -> None:
    """One squeue, with the fields of the protocol; ids with a range name each element."""
    done = Steps(f, session, "slurm.jobs", {**ASKED, "jobIds": ["7", "8+1", "9_[3-5]"]}, result(listed("7")))
    assert done.programs == [["squeue", "--local", "--noheader", FORM, "--user=alice", "--jobs=7,8+1,9_3,9_4,9_5"]]
    assert done.runs[0].environment == {"SLURM_TIME_FORMAT": "standard"}
    assert done.answer == {"squeue": result(listed("7")), "jobs": []}
    everybody = Steps(f, session, "slurm.jobs", {**ASKED, "scope": "all"}, result())
    assert everybody.programs == [["squeue", "--local", "--noheader", FORM]]


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "all", "details": True},
        {"tailBytes": 10},
        {"jobIds": ["1_[0-999]", "2"]},
    ],
)
def test_listings_that_are_refused(f: Any, session: Any, changes: dict[str, Any]) -> None:
    """Others' files, ends without files, more jobs than may be asked for: no program is run."""
    with pytest.raises(f.Refused) as refused:
        Steps(f, session, "slurm.jobs", {**ASKED, **changes})
    assert refused.value.reason == "arguments"


@pytest.fixture
def home(session: Any, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    session.roots = [os.path.realpath(str(home)).encode()]
    return home


def test_files_and_what_is_in_them(f: Any, session: Any, home: Path) -> None:
    """Paths keep their blanks and ``=``; patterns that Slurm left are resolved; the ends are cut to size."""
    (home / "out put=7 x.txt").write_bytes(b"0123456789\xff")
    done = Steps(
        f,
        session,
        "slurm.jobs",
        {**ASKED, "details": True, "tailBytes": 4},
        result(listed("7") + listed("8", "PENDING")),
        result(shown("7", out=f"{home}/out put=%j %N.txt".replace("%N", "%s").replace("%s", "x"), err=f"{home}/none")),
        result(shown("8", out=f"{home}/%5j-%x.txt", state="PENDING")),
    )
    assert done.programs[1:] == [[*SHOW, "7"], [*SHOW, "8"]]
    seven, eight = done.answer["jobs"]
    assert seven["command"] == "/home/alice/my scripts/x=1.sh --flag"
    assert (seven["stdout"], seven["stdoutTail"]) == (f"{home}/out put=7 x.txt", "789\ufffd")
    assert (seven["stderr"], seven["stderrTail"], seven["error"]) == (f"{home}/none", "", "")
    assert (eight["jobId"], eight["stdoutTail"]) == ("8", "")
    assert eight["stdout"] == f"{home}/00008-x StdOut=/etc/shadow.txt"  # a name is a name


def test_an_array_that_waits(f: Any, session: Any, home: Path) -> None:
    """Its own record among those of its elements; the index in a path is not known yet."""
    records = shown("57", out=f"{home}/o-52_1", more=" ArrayJobId=52 ArrayTaskId=1") + shown(
        "52", out=f"{home}/o-52_4294967294", state="PENDING", more=" ArrayJobId=52 ArrayTaskId=2-3%1"
    )
    done = Steps(
        f, session, "slurm.jobs", {**ASKED, "details": True}, result(listed("52_[2-3%1]", "PENDING")), result(records)
    )
    assert done.programs[1] == [*SHOW, "52"]
    (job,) = done.answer["jobs"]
    assert (job["jobId"], job["stdout"], job["error"]) == ("52_[2-3%1]", f"{home}/o-52_%a", "")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            result("", 1, "slurm_load_jobs error: Invalid job id specified\n"),
            "slurm_load_jobs error: Invalid job id specified",
        ),
        (result(shown("7", out="/x", user="bob(20002)")), "Slurm does not show this job"),
        (result(""), "Slurm does not show this job"),
    ],
)
def test_a_job_that_is_not_shown(f: Any, session: Any, answer: dict[str, Any], error: str) -> None:
    """It stays in the listing, and says why there is no more about it."""
    done = Steps(f, session, "slurm.jobs", {**ASKED, "details": True}, result(listed("7")), answer)
    (job,) = done.answer["jobs"]
    assert (job["jobId"], job["stdout"], job["error"]) == ("7", "", error)


def test_only_files_of_the_roots_are_read(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """An output that lies elsewhere, or is a link to elsewhere, or no file, shows nothing."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (home / "link").symlink_to(secret)
    os.mkfifo(home / "pipe")
    for out in (str(secret), f"{home}/link", f"{home}/pipe", f"{home}", "relative", "", f"{home}/\ud800"):
        done = Steps(
            f,
            session,
            "slurm.jobs",
            {**ASKED, "details": True, "tailBytes": 100},
            result(listed("7")),
            result(shown("7", out=out)),
        )
        assert done.answer["jobs"][0]["stdoutTail"] == ""


def test_the_ends_of_many_outputs_are_bounded(f: Any, session: Any, home: Path) -> None:
    """Together no more than a program may print; what is left out says so."""
    (home / "out").write_bytes(b"x" * 100)
    session.policy.output_limit = 350
    listing = "".join(listed(str(number)) for number in range(3))
    shows = [result(shown(str(number), out=f"{home}/out")) for number in range(3)]
    done = Steps(f, session, "slurm.jobs", {**ASKED, "details": True, "tailBytes": 100}, result(listing), *shows)
    assert [len(job["stdoutTail"]) for job in done.answer["jobs"]] == [100, 100, 0]
    assert done.answer["jobs"][2]["error"] == "the ends of all outputs together are more than 350 bytes"


def test_history(f: Any, session: Any) -> None:
    """The fields of the contract, between times of the system."""
    fields = "JobID,Partition,User,State,Start,CPUTime,End,NNodes,NodeList,ExitCode,Elapsed,JobName"
    form = ["sacct", "--local", "-X", "-n", "-P", "--delimiter=\x1f", "-o", fields]
    start, end = "2026-01-01T00:00:00", "2026-01-02T00:00:00"
    done = Steps(
        f, session, "slurm.history", {"scope": "own", "jobIds": ["1_[2-3]"], "start": start, "end": end}, result()
    )
    assert done.programs == [[*form, "--user=alice", f"--starttime={start}", f"--endtime={end}", "--jobs=1_2,1_3"]]
    assert done.runs[0].environment == {"SLURM_TIME_FORMAT": "standard"}
    assert Steps(f, session, "slurm.history", {"scope": "all", "jobIds": []}, result()).programs == [
        [*form, "--allusers"]
    ]


def test_nodes_partitions_reservations(f: Any, session: Any) -> None:
    """All of them, hidden ones too, one record a line; times in one form."""
    show = ["scontrol", "--local", "--all", "--oneliner", "show"]
    done = Steps(f, session, "slurm.nodes", {"names": ["n1", "n[2-3]"]}, result("x"))
    assert (done.programs, done.answer) == ([[*show, "nodes", "n1,n[2-3]"]], result("x"))
    assert Steps(f, session, "slurm.nodes", {"names": []}, result()).programs == [[*show, "nodes"]]
    assert Steps(f, session, "slurm.partitions", {}, result()).programs == [[*show, "partitions"]]
    done = Steps(f, session, "slurm.reservations", {}, result())
    assert done.programs == [[*show, "reservations"]]
    assert done.runs[0].environment == {"SLURM_TIME_FORMAT": "standard"}


def test_kill(f: Any, session: Any) -> None:
    """scancel by ids, in its own words."""
    said = result("", 0, "scancel: Terminating job 1\n")
    done = Steps(f, session, "slurm.kill", {"jobIds": ["1", "2_[3-4]"]}, said)
    assert (done.programs, done.answer) == ([["scancel", "-v", "1", "2_[3-4]"]], said)


def test_another_cluster(f: Any, session: Any) -> None:
    """Each program is told which cluster is meant, and its line about it is no record."""
    at = {"cluster": "second"}
    ids = {"token": TOKEN, "jobId": "1"}
    named = result("CLUSTER: second\n" + record())
    for op, arguments, answers in [
        ("slurm.queue", {"scope": "own"}, [result()]),
        ("slurm.account", {"scope": "own", "jobIds": ["1"]}, [result()]),
        ("slurm.describe", {"jobIds": ["1"]}, [result()]),
        ("slurm.find", {"token": TOKEN}, [result(), result()]),
        ("slurm.release", ids, [named, result()]),
        ("slurm.hold", ids, [named, result()]),
        ("slurm.cancel", {"token": TOKEN, "keep": []}, [result("CLUSTER: second\n" + job_line("1")), result()]),
        (
            "slurm.jobs",
            {**ASKED, "details": True},
            [result("CLUSTER: second\n" + listed("7")), result(shown("7", out="/x"))],
        ),
        ("slurm.history", {"scope": "own", "jobIds": []}, [result()]),
        ("slurm.nodes", {"names": []}, [result()]),
        ("slurm.partitions", {}, [result()]),
        ("slurm.reservations", {}, [result()]),
        ("slurm.kill", {"jobIds": ["1"]}, [result()]),
    ]:
        done = Steps(f, session, op, {**arguments, **at}, *answers)
        for program in done.programs:
            assert "--clusters=second" in program, op
            assert "--local" not in program, op
