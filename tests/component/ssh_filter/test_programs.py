"""Programs that the filter starts: fake Slurm, slow, loud, stubborn."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest

from component.ssh_filter.node import ANSWER, DATA, REFUSED, UID, USER, Node, request_frame

pytestmark = pytest.mark.component

TOKEN = "goldcrest:01234567:" + "0123456789abcdef" * 2


def submission(script: bytes, **environment: str) -> bytes:
    header = json.dumps({"environment": environment}).encode()
    return struct.pack(">I", len(header)) + header + script


def test_output_is_passed_on(node: Node) -> None:
    """Status and both streams; bytes that are no UTF-8 are replaced, not refused."""
    node.program("squeue", "printf 'a\\377b\\n'; echo words >&2; exit 3")
    assert node.open().ask("slurm.queue", {"scope": "own"}) == {"exit": 3, "stdout": "a\ufffdb\n", "stderr": "words\n"}


def test_programs_get_nothing_of_the_channel(node: Node) -> None:
    """Input is empty, and no descriptor of the filter is open in them."""
    node.program("squeue", "cat; ls /proc/$$/fd")
    channel = node.open()
    for _ in range(2):
        listed = channel.ask("slurm.queue", {"scope": "own"})["stdout"].split()
        assert set(listed) <= {"0", "1", "2", "10", "255"}  # the shell's own


def test_program_that_is_missing(node: Node) -> None:
    """An error that names the program, and not a channel that ends."""
    node.policy["environment"]["PATH"] = str(node.bin)
    failed = node.open().fail("slurm.queue", {"scope": "own"})
    assert (failed["kind"], failed["name"], failed["path"]) == ("os", "ENOENT", "squeue")


def test_program_that_cannot_start(node: Node) -> None:
    """An interpreter that is not there: status 127 and words, like a shell's."""
    (node.bin / "squeue").write_text("#!/nowhere/interpreter\n")
    (node.bin / "squeue").chmod(0o755)
    result = node.open().ask("slurm.queue", {"scope": "own"})
    assert (result["exit"], "cannot start" in result["stderr"]) == (127, True)


def test_program_that_is_killed(node: Node) -> None:
    """128 and the number of the signal."""
    node.program("squeue", "kill -TERM $$")
    assert node.open().ask("slurm.queue", {"scope": "own"})["exit"] == 143


def test_broken_pipes_end_programs(node: Node) -> None:
    """Python ignores SIGPIPE; a program must not inherit that, or `yes | head` never ends."""
    node.program("squeue", "yes | head -n 1")
    assert node.open().ask("slurm.queue", {"scope": "own"})["stdout"] == "y\n"


def test_a_slow_program_blocks_nothing(node: Node) -> None:
    """While squeue waits for its controller, file operations are answered."""
    node.program("squeue", "sleep 2; echo late")
    channel = node.open()
    slow = channel.start("slurm.queue", {"scope": "own"})
    began = time.monotonic()
    for _ in range(20):
        channel.ask("fs.stat", {"path": str(node.home), "dereference": True})
    assert time.monotonic() - began < 1.5
    assert channel.finish(slow).json["stdout"] == "late\n"


def test_programs_run_side_by_side(node: Node) -> None:
    """Each with its own output."""
    node.program("squeue", "sleep 1; echo squeue")
    node.program("sacct", "sleep 1; echo sacct")
    channel = node.open()
    began = time.monotonic()
    ids = {
        channel.start("slurm.queue", {"scope": "own"}): "squeue\n",
        channel.start("slurm.account", {"scope": "own", "jobIds": ["1"]}): "sacct\n",
    }
    for _ in range(2):
        got = channel.read_frame()
        assert got is not None
        assert got.json["stdout"] == ids[got.id]
    assert time.monotonic() - began < 1.9


def test_time_limit(node: Node) -> None:
    """A program that hangs is ended with all that it started; the error says the limit."""
    node.policy["commandSeconds"] = 1
    node.program("squeue", f"trap '' TERM; (sleep 3; touch {node.scratch}/late) & sleep 60")
    failed = node.open().fail("slurm.queue", {"scope": "own"})
    assert (failed["kind"], failed["seconds"]) == ("timeout", 1)
    time.sleep(2.5)
    assert not (node.scratch / "late").exists()


def test_time_limit_of_several_programs(node: Node) -> None:
    """Fifty slow programs in one command have the time of one."""
    node.policy["commandSeconds"] = 2
    node.program("scontrol", "sleep 0.7")
    began = time.monotonic()
    failed = node.open().fail("slurm.describe", {"jobIds": [str(number) for number in range(1, 51)]})
    assert failed["kind"] == "timeout"
    assert time.monotonic() - began < 6


def test_a_program_that_leaves_something_behind(node: Node) -> None:
    """A grandchild that keeps the output open holds the command only until its time is over."""
    node.policy["commandSeconds"] = 1
    node.program("squeue", "sleep 30 & echo done")
    assert node.open().fail("slurm.queue", {"scope": "own"})["kind"] == "timeout"


def test_output_limit(node: Node) -> None:
    """More than the policy allows: ended at once, whichever stream it is."""
    node.policy["outputLimit"] = 100_000
    channel = node.open()
    for redirect in ("", ">&2"):
        node.program("squeue", f"yes {redirect}")
        failed = channel.fail("slurm.queue", {"scope": "own"})
        assert (failed["kind"], failed["limit"]) == ("limit", 100_000)


def test_a_result_longer_than_a_frame(node: Node) -> None:
    """Its JSON begins in DATA frames and ends in the ANSWER; no frame is above the limit."""
    node.program("squeue", "head -c 5000000 /dev/zero | tr '\\0' 'x'")
    channel = node.open()
    request_id = channel.start("slurm.queue", {"scope": "own"})
    pieces, got = [], None
    while got is None or got.type == DATA:
        got = channel.read_frame()
        assert got is not None
        assert got.id == request_id
        assert 5 + len(got.body) <= channel.hello["limits"]["frame"]
        pieces.append(got.body)
    assert got.type == ANSWER
    assert len(pieces) > 1
    assert json.loads(b"".join(pieces))["stdout"] == "x" * 5_000_000


def test_many_programs_leave_nothing_behind(node: Node) -> None:
    """No zombie and no descriptor after fifty programs, some of them cut off."""
    node.policy["outputLimit"] = 1000
    node.program("squeue", "echo x")
    node.program("sacct", "yes")
    channel = node.open()
    descriptors = len(list(Path(f"/proc/{channel.process.pid}/fd").iterdir()))
    for _ in range(25):
        channel.ask("slurm.queue", {"scope": "own"})
        channel.fail("slurm.account", {"scope": "own", "jobIds": ["1"]})
    folder = Path(f"/proc/{channel.process.pid}")

    def left() -> tuple[int, list[str]]:
        channel.ask("sys.whoami", {})  # it tidies up between commands
        children = (folder / "task" / folder.name / "children").read_text().split()
        return len(list((folder / "fd").iterdir())), children

    deadline = time.monotonic() + 10  # a killed program takes its moment to end on a busy machine
    while left() != (descriptors, []) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left() == (descriptors, [])


def test_submission_from_end_to_end(node: Node) -> None:
    """sbatch sees script, environment and options as in docs/protocol.md; ids of strange form stay text."""
    node.program(
        "sbatch",
        'printf "%s\\n" "$@" > "$OUT/arguments"\n'
        'for word in "$@"; do case $word in --export-file=*) cp "${word#*=}" "$OUT/environment";; esac; last=$word; done\n'
        'cp "$last" "$OUT/script"; echo "17;cluster"; echo "a warning" >&2\n',
    )
    node.program("scontrol", 'echo "JobId=$5 Comment=x"')
    node.policy["environment"]["OUT"] = str(node.scratch)
    data = submission(b"#!/bin/sh\n#SBATCH --time=1\ntrue\n", GREETING="a b\n$(id)")
    args = {
        "token": TOKEN,
        "jobDirectory": f"{node.home}/goldcrest/1",
        "workDirectory": f"{node.home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {"timeLimit": "5", "jobName": "a b; $(id)"},
    }
    job_file = f"{node.home}/goldcrest/1/job.sh"
    assert node.open().ask("slurm.submit", args, data) == {
        "exit": 0,
        "stdout": "17;cluster\n",
        "stderr": "a warning\n",
        "jobFile": job_file,
        "describe": "JobId=17 Comment=x\n",
    }
    arguments = (node.scratch / "arguments").read_text().splitlines()
    assert arguments[:4] == ["--parsable", "--hold", f"--comment={TOKEN}", f"--chdir={node.home}/work"]
    assert arguments[6:] == ["--job-name=a b; $(id)", "--time=5", "--", job_file]
    assert (node.scratch / "script").read_bytes() == b"#!/bin/sh\n#SBATCH --time=1\ntrue\n"
    variables = (node.scratch / "environment").read_bytes().split(b"\0")
    assert b"GREETING=a b\n$(id)" in variables
    assert f"USER={USER}".encode() in variables
    owner = Path(job_file).stat()
    assert (owner.st_uid, owner.st_mode & 0o777) == (UID, 0o700)
    assert sorted(path.name for path in Path(job_file).parent.iterdir()) == [".goldcrest-submitted", "job.sh"]


def test_directive_that_was_not_signed(node: Node) -> None:
    """Refused with the number of the line; sbatch is never started and nothing is made."""
    node.program("sbatch", f"touch {node.scratch}/started")
    data = submission(b"#!/bin/sh\n#SBATCH --time=1\n")
    args = {
        "token": TOKEN,
        "jobDirectory": f"{node.home}/goldcrest/1",
        "workDirectory": f"{node.home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {},
    }
    got = node.open().call("slurm.submit", args, data)
    assert (got.type, got.json["reason"]) == (REFUSED, "arguments")
    assert "line 2 " in got.json["message"]
    assert list(node.home.iterdir()) == list(node.scratch.iterdir()) == []


def test_release_of_another_job(node: Node) -> None:
    """The real loop with a generator that fails: an error of kind state."""
    node.program("scontrol", "echo 'JobId=1 JobName=x UserId=root(0) Comment=other'")
    assert node.open().fail("slurm.release", {"token": TOKEN, "jobId": "1"})["kind"] == "state"


def test_ending_jobs_is_logged_with_their_ids(node: Node) -> None:
    """scancel gets the ids as they were signed, and syslog has them."""
    node.program("scancel", 'echo "$@" >&2')
    channel = node.open()
    answer = channel.ask("slurm.kill", {"jobIds": ["12", "13_[1-3]"], "cluster": "second"})
    assert answer == {"exit": 0, "stdout": "", "stderr": "-v --clusters=second 12 13_[1-3]\n"}
    channel.end()
    (line,) = [line for line in node.log_lines() if "op=slurm.kill" in line]
    assert "about=12,13_[1-3]" in line.replace('"', "")


def test_listings_of_others_files_are_refused(node: Node) -> None:
    """REFUSED with the reason, a line in syslog, and no program is started."""
    node.program("squeue", f"touch {node.scratch}/started")
    args = {"scope": "all", "jobIds": [], "details": True, "tailBytes": 0}
    channel = node.open()
    got = channel.call("slurm.jobs", args)
    assert (got.type, got.json["reason"]) == (REFUSED, "arguments")
    assert got.json["message"] == "details are given of one's own jobs only"
    channel.end()
    (line,) = [line for line in node.log_lines() if "op=slurm.jobs" in line]
    assert "outcome=refused" in line
    assert "reason=arguments" in line
    assert list(node.scratch.iterdir()) == []


def test_a_command_that_is_cut_off_may_not_leave_its_environment(node: Node) -> None:
    """CANCEL during sbatch: the file with the variables is removed."""
    node.program("sbatch", "sleep 30")
    channel = node.open()
    args = {
        "token": TOKEN,
        "jobDirectory": f"{node.home}/job",
        "workDirectory": f"{node.home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "again": False,
        "options": {},
    }
    data = submission(b"#!/bin/sh\n", SECRET="s3cret")
    request_id = channel.next_id()
    channel.send(request_frame(request_id, channel.certificate("slurm.submit", args, data).build(), data))
    deadline = time.monotonic() + 10
    while not list(node.home.glob("job/.goldcrest-environment-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    channel.send(struct.pack(">IIB", 5, request_id, 3))
    assert channel.finish(request_id).json["kind"] == "cancelled"
    assert sorted(path.name for path in (node.home / "job").iterdir()) == [".goldcrest-submitted", "job.sh"]


def test_folder_of_another_user(node: Node) -> None:
    """The user's own rights are the last word: EACCES with the path."""
    (node.home / "closed").mkdir(mode=0o700)
    failed = node.open().fail("fs.stat", {"path": f"{node.home}/closed/x", "dereference": True})
    assert (failed["kind"], failed["errno"], failed["name"]) == ("os", 13, "EACCES")
    assert failed["path"] == f"{node.home}/closed/x"


def test_umask_of_the_policy(node: Node) -> None:
    """Whatever the login shell set."""
    node.policy["umask"] = "0027"
    node.open().ask("fs.write", {"path": f"{node.home}/x", "mode": 0o666, "overwrite": False}, b"")
    assert (node.home / "x").stat().st_mode & 0o777 == 0o640
