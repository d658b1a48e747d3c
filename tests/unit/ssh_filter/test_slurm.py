"""Slurm operations: which programs are run with which arguments, and which jobs are touched (T10)."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unit

TOKEN = "goldcrest:01234567:" + "0123456789abcdef" * 2
MARK = ".goldcrest-submitted"
SHOW = ["scontrol", "--local", "show", "job", "-o"]
OTHER = "goldcrest:01234567:" + "f" * 32


def result(stdout: str = "", exit_status: int = 0, stderr: str = "") -> dict[str, Any]:
    return {"exit": exit_status, "stdout": stdout, "stderr": stderr}


class Steps:
    """Runs an operation and answers its programs from a list."""

    def __init__(
        self, f: Any, session: Any, op: str, arguments: dict[str, Any], *results: Any, payload: bytes = b""
    ) -> None:
        self.runs: list[Any] = []
        left = list(results)
        steps = f.OPERATIONS[op].function(session, arguments, payload)
        value: Any = None
        try:
            while True:
                run = steps.throw(value) if isinstance(value, Exception) else steps.send(value)
                if isinstance(run, f.Shared):
                    run = run.alone()
                self.runs.append(run)
                value = left.pop(0)
                if callable(value):
                    value = value(run)
        except StopIteration as stop:
            self.answer = stop.value
        assert not left

    @property
    def programs(self) -> list[list[str]]:
        return [run.arguments for run in self.runs]


def job_line(
    job_id: str, *, state: str = "PENDING", reason: str = "JobHeldUser", user: str = "alice", token: str = TOKEN
) -> str:
    base = job_id.split("_")[0]
    fields = [job_id, base, "N/A", base, user, state, reason] + ["x"] * 9 + [token]
    return "\x1f".join(fields) + "\n"


def test_queue_format_is_that_of_the_protocol(f: Any, session: Any) -> None:
    """Seventeen fields in the order of docs/protocol.md, with times in seconds."""
    done = Steps(f, session, "slurm.queue", {"scope": "own"}, result("x"))
    (run,) = done.runs
    form = "%i %F %K %A %u %T %r %S %e %V %M %D %N %P %a %q %k".replace(" ", "\x1f")
    assert run.arguments == [
        "squeue",
        "--local",
        "--noheader",
        "--states=all",
        "--array",
        f"--format={form}",
        "--user=alice",
    ]
    assert run.environment == {"SLURM_TIME_FORMAT": "%s"}
    assert done.answer == result("x")
    assert Steps(f, session, "slurm.queue", {"scope": "all"}, result()).programs[0][-1].startswith("--format=")


def test_account(f: Any, session: Any) -> None:
    """The fields of docs/protocol.md, for the user's own jobs or for all."""
    done = Steps(f, session, "slurm.account", {"scope": "own", "jobIds": ["1", "2_3"]}, result())
    fields = (
        "JobID,JobIDRaw,User,State,ExitCode,Submit,Start,End,ElapsedRaw,NNodes,NodeList,Partition,Account,QOS,Comment,"
        "SubmitLine"
    )
    assert done.programs == [
        [
            *("sacct", "--local", "-X", "-n", "-P", "--delimiter=\x1f", "-o", fields),
            *("--user=alice", "-S", "now-366days", "--jobs=1,2_3"),
        ]
    ]
    assert "--allusers" in Steps(f, session, "slurm.account", {"scope": "all", "jobIds": ["1"]}, result()).programs[0]


def test_usage(f: Any, session: Any) -> None:
    """With steps, as docs/protocol.md says."""
    done = Steps(f, session, "slurm.usage", {"scope": "own", "jobIds": ["1", "2"]}, result())
    fields = "JobID,User,State,End,ElapsedRaw,TotalCPU,MaxRSS"
    assert done.programs == [
        [
            *("sacct", "--local", "-n", "-P", "--noconvert", "--delimiter=\x1f", "-o", fields),
            *("--user=alice", "-S", "now-366days", "--jobs=1,2"),
        ]
    ]
    assert "--allusers" in Steps(f, session, "slurm.usage", {"scope": "all", "jobIds": ["1"]}, result()).programs[0]


def test_find_reduces_to_the_token(f: Any, session: Any) -> None:
    """A user with thousands of jobs: only lines with the token travel, from both lists."""
    queue = job_line("1") + job_line("2", token=OTHER)
    done = Steps(f, session, "slurm.find", {"token": TOKEN}, result(queue), result("nothing\n", 1, "slurmdbd is down"))
    assert done.answer == {"squeue": result(job_line("1")), "sacct": result("", 1, "slurmdbd is down")}
    assert done.programs[1][-6:-1] == ["--user=alice", "-S", "now-30days", "-E", "now+1days"]
    assert set(done.programs[1][-1].removeprefix("--state=").split(",")) >= {"CA", "CD", "F", "PD", "R", "TO"}


def test_describe_one_by_one(f: Any, session: Any) -> None:
    """One scontrol a job, so that an unknown id spoils only its own answer."""
    done = Steps(f, session, "slurm.describe", {"jobIds": ["1", "2"]}, result("a"), result("", 1, "Invalid job id"))
    assert done.programs == [[*SHOW, "1"], [*SHOW, "2"]]
    assert done.answer == {"jobs": [{"jobId": "1", **result("a")}, {"jobId": "2", **result("", 1, "Invalid job id")}]}


def record(*, name: str = "x", user: str = "alice(20001)", comment: str | None = TOKEN) -> str:
    tail = "" if comment is None else f" Comment={comment}"
    return f"JobId=1 JobName={name} UserId={user} GroupId=a(1) Command=/x WorkDir=/y{tail} StdErr=/z Power=\n"


@pytest.mark.parametrize(("op", "verb"), [("slurm.release", "release"), ("slurm.hold", "hold")])
def test_release_and_hold_of_the_own_submission(f: Any, session: Any, op: str, verb: str) -> None:
    """After a look at user and token, exactly that id."""
    done = Steps(f, session, op, {"token": TOKEN, "jobId": "1"}, result(record()), result("", 0))
    assert done.programs == [[*SHOW, "1"], ["scontrol", verb, "1"]]
    assert done.answer == result()


def test_what_this_process_submitted_is_released_without_a_look(f: Any, session: Any) -> None:
    """sbatch itself said that the job is of this token; of any other pair, or on another cluster, Slurm is asked."""
    session.submissions.add({"token": TOKEN}, "1")
    done = Steps(f, session, "slurm.release", {"token": TOKEN, "jobId": "1"}, result("", 0))
    assert done.programs == [["scontrol", "release", "1"]]
    for arguments in (
        {"token": TOKEN, "jobId": "2"},
        {"token": OTHER, "jobId": "1"},
        {"token": TOKEN, "jobId": "1", "cluster": "second"},
    ):
        assert f.OPERATIONS["slurm.hold"].function(session, arguments, b"").send(None).arguments[-2] == "-o"


@pytest.mark.parametrize(
    "shown",
    [
        result(record(comment=None)),
        result(record(comment=OTHER)),
        result(record(comment=TOKEN + "0")),
        result(record(user="bob(20002)")),
        result(record(user="alice(20002)")),
        result(record(name="x UserId=alice(20001) Comment=" + TOKEN, user="bob(20002)", comment=None)),
        result(record(name="Comment=" + TOKEN, comment=OTHER)),
        result(record(name="x Comment=" + OTHER)),
        result(record() + record(comment=OTHER)),
        result("", 1, "slurm_load_jobs error: Invalid job id specified"),
        result(""),
    ],
)
def test_other_jobs_are_not_touched(f: Any, session: Any, shown: dict[str, Any]) -> None:
    """Another token, another user, a name that imitates fields, one wrong task of an array: state, and no second program."""
    runs = []

    def look(run: Any) -> Any:
        runs.append(run)
        return shown

    with pytest.raises(f.Failed) as failed:
        Steps(f, session, "slurm.release", {"token": TOKEN, "jobId": "1"}, look)
    assert failed.value.kind == "state"
    assert len(runs) == 1


def test_array_of_the_own_submission(f: Any, session: Any) -> None:
    """Several records are right when all of them are."""
    Steps(f, session, "slurm.release", {"token": TOKEN, "jobId": "1"}, result(record() + record() + "\n"), result())


def test_cancel_everything_with_the_token(f: Any, session: Any) -> None:
    """Running or held, by base id and each once; ended ones and those of others are left alone."""
    listing = (
        job_line("1", state="RUNNING", reason="None")
        + job_line("2_0", state="RUNNING", reason="None")
        + job_line("2_1")
        + job_line("3", token=OTHER)
        + job_line("4", user="bob")
        + job_line("5", state="COMPLETED", reason="None")
        + job_line("6", state="CANCELLED", reason="None")
        + "garbage\n"
    )
    done = Steps(
        f, session, "slurm.cancel", {"token": TOKEN, "keep": []}, result(listing), result(), result("", 1, "no")
    )
    assert done.programs[1:] == [["scancel", "1"], ["scancel", "2"]]
    assert done.answer == {"cancelled": ["1"], "results": [result(), result("", 1, "no")]}


def test_sweep_cancels_held_doubles_only(f: Any, session: Any) -> None:
    """With a job to keep: that one never, a running one never, only held others."""
    listing = (
        job_line("1") + job_line("2") + job_line("3", state="RUNNING", reason="None") + job_line("4", reason="Priority")
    )
    done = Steps(f, session, "slurm.cancel", {"token": TOKEN, "keep": ["1"]}, result(listing), result())
    assert done.answer["cancelled"] == ["2"]


def test_sweep_keeps_a_whole_array(f: Any, session: Any) -> None:
    """The base id stands for all of its tasks; a task that is named keeps only itself."""
    listing = job_line("1_0") + job_line("1_1") + job_line("2_0") + job_line("2_1")
    done = Steps(f, session, "slurm.cancel", {"token": TOKEN, "keep": ["1"]}, result(listing), result())
    assert done.answer["cancelled"] == ["2"]
    done = Steps(f, session, "slurm.cancel", {"token": TOKEN, "keep": ["1", "2_0"]}, result(listing), result())
    assert done.answer["cancelled"] == ["2_1"]


def test_cancel_does_nothing_without_a_listing(f: Any, session: Any) -> None:
    """A controller that is away must not look like `nothing left to cancel`."""
    away = result("", 1, "Unable to contact slurm controller")
    done = Steps(f, session, "slurm.cancel", {"token": TOKEN, "keep": []}, away)
    assert done.answer == {"cancelled": [], "results": [away]}


# ---- submit ----


@pytest.fixture
def home(session: Any, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    session.roots = [os.path.realpath(str(home)).encode()]
    session.home = str(home)
    session.policy.environment["PATH"] = str(tmp_path / "bin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text("")
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    return home


def submission(home: Path, **changes: Any) -> dict[str, Any]:
    return {
        "token": TOKEN,
        "jobDirectory": f"{home}/goldcrest/1",
        "workDirectory": f"{home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {"partition": "debug"},
        **changes,
    }


def payload(script: bytes = b"#!/bin/sh\ntrue\n", environment: Any = None) -> bytes:
    header = json.dumps(
        {"environment": environment if environment is not None else {"A": "1", "PATH": "/opt/bin"}}
    ).encode()
    return struct.pack(">I", len(header)) + header + script


def test_submit(f: Any, session: Any, home: Path) -> None:
    """The argument list of docs/protocol.md; script and environment are in files when sbatch runs, the environment not after."""
    seen: dict[str, bytes] = {}

    def sbatch(run: Any) -> Any:
        file = next(argument for argument in run.arguments if argument.startswith("--export-file="))[14:]
        seen["environment"] = Path(file).read_bytes()
        seen["mode"] = oct(Path(file).stat().st_mode & 0o777).encode()
        return result("17\n")

    done = Steps(f, session, "slurm.submit", submission(home), sbatch, result("JobId=17"), payload=payload())
    job_file = f"{home}/goldcrest/1/job.sh"
    assert done.answer == {**result("17\n"), "jobFile": job_file, "describe": "JobId=17"}
    program = done.programs[0]
    assert program[:4] == ["sbatch", "--parsable", "--hold", f"--comment={TOKEN}"]
    assert program[4] == f"--chdir={home}/work"
    assert program[5] == "--export=ALL"
    assert program[6].startswith(f"--export-file={home}/goldcrest/1/.goldcrest-environment-")
    assert program[7:] == ["--partition=debug", "--", job_file]
    assert done.runs[0].environment == {"SBATCH_IGNORE_PBS": "1"}
    assert done.programs[1] == [*SHOW, "17"]
    assert sorted(seen["environment"].rstrip(b"\0").split(b"\0")) == sorted(
        [
            b"A=1",
            b"HOME=" + str(home).encode(),
            b"LANG=C.UTF-8",
            b"LOGNAME=alice",
            b"PATH=/opt/bin",
            b"SHELL=/bin/bash",
            b"SLURM_JOB_NAME=job.sh",
            f"SLURM_SUBMIT_DIR={home}/work".encode(),
            f"SLURM_SUBMIT_HOST={os.uname().nodename}".encode(),
            b"USER=alice",
        ]
    )
    assert seen["mode"] == b"0o600"
    assert names(home / "goldcrest" / "1") == [".goldcrest-submitted", "job.sh"]
    assert Path(job_file).read_bytes() == b"#!/bin/sh\ntrue\n"
    assert Path(job_file).stat().st_mode & 0o777 == 0o700
    for folder in (home / "goldcrest", home / "goldcrest" / "1", home / "work"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_name_of_a_job_is_in_its_environment(f: Any, session: Any, home: Path) -> None:
    """As sbatch would put it there; a variable of the user's own wins."""
    seen: list[bytes] = []

    def sbatch(run: Any) -> Any:
        file = next(argument for argument in run.arguments if argument.startswith("--export-file="))[14:]
        seen.extend(line for line in Path(file).read_bytes().split(b"\0") if line.startswith(b"SLURM_JOB_NAME="))
        return result("17\n")

    asked = submission(home, options={"jobName": "named"})
    for environment in ({}, {"SLURM_JOB_NAME": "mine"}):
        Steps(
            f,
            session,
            "slurm.submit",
            {**asked, "again": True},
            sbatch,
            result(),
            payload=payload(environment=environment),
        )
    assert seen == [b"SLURM_JOB_NAME=named", b"SLURM_JOB_NAME=mine"]


def test_submit_without_hold(f: Any, session: Any, home: Path) -> None:
    """Systems without the fence."""
    done = Steps(f, session, "slurm.submit", submission(home, hold=False), result("1"), result(), payload=payload())
    assert "--hold" not in done.programs[0]


def test_submit_again_replaces_the_script(f: Any, session: Any, home: Path) -> None:
    """A retry finds the folder of the first attempt."""
    for script in (b"#!/bin/sh\n1\n", b"#!/bin/sh\n2\n"):
        arguments = submission(home, again=True)
        Steps(f, session, "slurm.submit", arguments, result("1"), result(), payload=payload(script))
    assert (home / "goldcrest" / "1" / "job.sh").read_bytes() == b"#!/bin/sh\n2\n"


@pytest.mark.parametrize("first", [[result("17\n"), result()], [result("", 1, "no")], []])
def test_a_submission_that_was_begun_is_not_begun_unasked(f: Any, session: Any, home: Path, first: list[Any]) -> None:
    """Whatever became of the first: without `again` sbatch is not started, and the values of variables do not stay behind."""
    if first:
        Steps(f, session, "slurm.submit", submission(home), *first, payload=payload())
    else:  # cut off
        steps = f.slurm_submit(session, submission(home), payload())
        next(steps)
        steps.close()
    with pytest.raises(f.Failed) as failed:
        Steps(f, session, "slurm.submit", submission(home), payload=payload())
    assert failed.value.kind == "repeated"
    assert failed.value.details == {"path": f"{home}/goldcrest/1/{MARK}"}
    assert names(home / "goldcrest" / "1") == [".goldcrest-submitted", "job.sh"]


def test_a_control_plane_of_before_may_repeat(f: Any, session: Any, home: Path) -> None:
    """It does not say `again`, and looks for the token where it was cut off."""
    arguments = submission(home)
    del arguments["again"]
    for _ in range(2):
        Steps(f, session, "slurm.submit", arguments, result("1"), result(), payload=payload())


def test_nothing_is_begun_where_that_cannot_be_remembered(f: Any, session: Any, home: Path) -> None:
    """A link in the mark's place counts as a mark and is not followed; a mark that cannot be made is an error of the job's folder."""
    folder = home / "goldcrest" / "1"
    folder.mkdir(parents=True)
    (folder / ".goldcrest-submitted").symlink_to(home / "elsewhere")
    with pytest.raises(f.Failed):
        Steps(f, session, "slurm.submit", submission(home), payload=payload())
    assert not (home / "elsewhere").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_mark_that_cannot_be_made(f: Any, session: Any, home: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A full or read-only disk, no rights: the error of the system with the path of the mark, and no sbatch, also for another try."""
    real = os.open

    def opened(name: Any, *arguments: Any, **more: Any) -> int:
        if name == MARK.encode():
            raise OSError(code, os.strerror(code), name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(os, "open", opened)
    for arguments in (submission(home), submission(home, again=True)):
        with pytest.raises(OSError, match=MARK) as error:
            Steps(f, session, "slurm.submit", arguments, payload=payload())
        assert (error.value.errno, error.value.filename) == (code, f"{home}/goldcrest/1/{MARK}")
    assert [path.name for path in (home / "goldcrest" / "1").iterdir()] == ["job.sh"]


def test_nothing_is_remembered_of_an_sbatch_that_is_not_there(f: Any, session: Any, home: Path, tmp_path: Path) -> None:
    """As while Slurm is updated: no mark, so that the next one goes on as if it were the first."""
    (tmp_path / "bin" / "sbatch").unlink()
    with pytest.raises(FileNotFoundError) as error:
        Steps(f, session, "slurm.submit", submission(home), payload=payload())
    assert error.value.filename == "sbatch"
    assert names(home / "goldcrest" / "1") == ["job.sh"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("stdout", "exit_status", "described"),
    [
        ("17;cluster\n", 0, "17"),
        ("17", 0, "17"),
        ("", 1, None),
        ("17\n", 1, None),
        ("x17\n", 0, None),
        ("17x", 0, None),
    ],
)
def test_describe_after_submit(
    f: Any, session: Any, home: Path, stdout: str, exit_status: int, described: str | None
) -> None:
    """Only with an id that sbatch printed and exit status 0; its output is passed on untouched."""
    results = [result(stdout, exit_status, "words")] + ([result("shown")] if described else [])
    done = Steps(f, session, "slurm.submit", submission(home), *results, payload=payload())
    assert (done.answer["stdout"], done.answer["stderr"], done.answer["exit"]) == (stdout, "words", exit_status)
    assert [program[-1] for program in done.programs[1:]] == ([described] if described else [])


def test_an_id_is_told_even_when_describing_fails(f: Any, session: Any, home: Path) -> None:
    """The job exists by then: losing its id would make the submission ambiguous."""
    for failure in (f.Failed("timeout", "too long"), OSError(11, "no process"), result("", 1)):
        done = Steps(f, session, "slurm.submit", submission(home, again=True), result("17"), failure, payload=payload())
        assert (done.answer["stdout"], done.answer["describe"]) == ("17", "")
        assert done.runs[1].seconds == 10


def test_environment_file_goes_away_when_sbatch_is_cut_off(f: Any, session: Any, home: Path) -> None:
    """Cancelled or timed out: values that may be secret do not stay behind."""
    for end in ("close", "throw"):
        steps = f.slurm_submit(session, submission(home, again=True), payload())
        next(steps)
        folder = home / "goldcrest" / "1"
        assert len(list(folder.iterdir())) == 3
        if end == "close":
            steps.close()
        else:
            with pytest.raises(f.Failed):
                steps.throw(f.Failed("timeout", "too long"))
        assert names(folder) == [".goldcrest-submitted", "job.sh"]


def test_submit_by_path(f: Any, session: Any, home: Path) -> None:
    """The file's bytes are copied and submitted; a changed file is not."""
    import hashlib

    (home / "script").write_bytes(b"#!/bin/sh\ntrue\n")
    digest = hashlib.sha256(b"#!/bin/sh\ntrue\n").hexdigest()
    arguments = submission(home, scriptPath=f"{home}/script", scriptSha256=digest)
    Steps(f, session, "slurm.submit", arguments, result("1"), result(), payload=payload(b""))
    assert (home / "goldcrest" / "1" / "job.sh").read_bytes() == b"#!/bin/sh\ntrue\n"
    (home / "script").write_bytes(b"#!/bin/sh\nfalse\n")
    with pytest.raises(f.Failed) as failed:
        Steps(f, session, "slurm.submit", arguments, payload=payload(b""))
    assert failed.value.kind == "state"


def test_a_large_script_by_path_is_not_read(f: Any, session: Any, home: Path) -> None:
    """16 MiB at most, whatever its digest."""
    with (home / "script").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    arguments = submission(home, scriptPath=f"{home}/script", scriptSha256="0" * 64)
    with pytest.raises(f.Failed) as failed:
        Steps(f, session, "slurm.submit", arguments, payload=payload(b""))
    assert failed.value.kind == "state"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "payload"),
        (b"\0\0\0\5{}", "payload"),
        (struct.pack(">I", 2) + b"{}", "payload"),
        (struct.pack(">I", 2) + b"[]", "payload"),
        (payload(environment=[]), "payload"),
        (payload(environment={"A B": "x"}), "payload"),
        (payload(environment={"": "x"}), "payload"),
        (payload(environment={"A\n": "x"}), "payload"),
        (payload(environment={"A=B": "x"}), "payload"),
        (payload(environment={"Ä": "x"}), "payload"),
        (payload(environment={"A": 5}), "payload"),
        (payload(environment={"A": "x\0B=1"}), "payload"),
        (payload(environment={"A": "\ud800"}), "payload"),
        (payload(b"#!/bin/sh\n#SBATCH --time=5\n"), "arguments"),
    ],
)
def test_payloads_that_are_refused(f: Any, session: Any, home: Path, data: bytes, reason: str) -> None:
    """Refused means that nothing was done: no folder, no file, no program."""
    with pytest.raises(f.Refused) as refused:
        Steps(f, session, "slurm.submit", submission(home), payload=data)
    assert refused.value.reason == reason
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "script"),
    [
        ({"scriptPath": "/x"}, b""),
        ({"scriptSha256": "0" * 64}, b""),
        ({"scriptPath": "/x", "scriptSha256": "0" * 64}, b"#!/bin/sh\n"),
    ],
)
def test_a_script_comes_one_way(f: Any, session: Any, home: Path, changes: dict[str, Any], script: bytes) -> None:
    """By path with its digest, or in the payload; never half of one or both."""
    with pytest.raises(f.Refused):
        Steps(f, session, "slurm.submit", submission(home, **changes), payload=payload(script))


@pytest.mark.parametrize("name", ["jobDirectory", "workDirectory"])
@pytest.mark.parametrize("where", ["/etc", "/nowhere/x", "{home}/.ssh/x", "{home}/.config/systemd"])
def test_folders_of_a_submission_are_paths_like_others(f: Any, session: Any, home: Path, name: str, where: str) -> None:
    """Within the roots, and no start-up folders."""
    with pytest.raises(PermissionError):
        Steps(f, session, "slurm.submit", submission(home, **{name: where.format(home=home)}), payload=payload())


def test_programs_are_found_in_the_policys_path_only(f: Any, tmp_path: Path) -> None:
    """Executables in absolute folders of the list; what is missing is said by name."""
    (tmp_path / "squeue").write_text("")
    (tmp_path / "scancel").write_text("")
    (tmp_path / "scancel").chmod(0o755)
    (tmp_path / "folder").mkdir()
    assert f.find_program("scancel", f"relative::{tmp_path}") == str(tmp_path / "scancel")
    for name in ("squeue", "folder", "sacct-that-is-nowhere"):
        with pytest.raises(FileNotFoundError) as error:
            f.find_program(name, f"relative::{tmp_path}")
        assert error.value.filename == name
