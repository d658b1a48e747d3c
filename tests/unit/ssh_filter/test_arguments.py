"""Arguments of every operation, by the filter's own table."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.unit

TOKEN = "goldcrest:01234567:" + "0123456789abcdef" * 2
GOOD: dict[str, dict[str, Any]] = {
    "sys.whoami": {},
    "fs.stat": {"path": "/home/a", "dereference": True},
    "fs.mkdir": {"path": "/home/a", "parents": False, "mode": 0o755},
    "fs.read": {"path": "/home/a", "offset": 0, "length": 64 * 1024 * 1024},
    "fs.write": {"path": "/home/a", "mode": 0o644, "overwrite": True},
    "fs.checksum": {"path": "/home/a", "limit": 1000},
    "fs.ls": {
        "path": "a",
        "limit": 10,
        "hidden": True,
        "recursive": True,
        "dereference": True,
        "numericIds": True,
        "sorted": True,
    },
    "fs.head": {"path": "a", "limit": 10, "skip": True, "bytes": 1, "lines": 1, "grep": "x"},
    "fs.tail": {"path": "a", "limit": 10, "skip": True, "bytes": 1, "lines": 1, "grep": "x"},
    "fs.type": {"path": "a"},
    "fs.rename": {"source": "a", "target": "b"},
    "fs.copy": {"source": "a", "target": "b"},
    "fs.chmod": {"path": "a", "mode": "u+x"},
    "fs.chown": {"path": "a", "owner": "alice", "group": "alice"},
    "fs.symlink": {"path": "a", "target": "../b"},
    "fs.rm": {"path": "a"},
    "fs.compress": {"source": "a", "target": "b", "dereference": True},
    "fs.extract": {"source": "a", "target": "b", "format": "tar"},
    "slurm.submit": {
        "token": TOKEN,
        "jobDirectory": "/home/a/goldcrest",
        "workDirectory": "/home/a",
        "scriptName": "job.sh",
        "scriptPath": "/home/a/script",
        "scriptSha256": "0" * 64,
        "hold": True,
        "again": False,
        "options": {},
    },
    "slurm.find": {"token": TOKEN},
    "slurm.release": {"token": TOKEN, "jobId": "12"},
    "slurm.hold": {"token": TOKEN, "jobId": "12_3"},
    "slurm.cancel": {"token": TOKEN, "keep": ["12"]},
    "slurm.queue": {"scope": "own"},
    "slurm.describe": {"jobIds": ["12", "13_1"]},
    "slurm.account": {"scope": "all", "jobIds": ["12"]},
    "slurm.usage": {"scope": "all", "jobIds": ["12"]},
    "slurm.jobs": {"scope": "own", "jobIds": ["1", "1+2", "1_2", "1_[2-9]"], "details": True, "tailBytes": 65536},
    "slurm.history": {"scope": "all", "jobIds": []},
    "slurm.nodes": {"names": ["n1", "n[2-4]"]},
    "slurm.partitions": {},
    "slurm.reservations": {},
    "slurm.kill": {"jobIds": ["12", "12_[1-3]"]},
    "fs.quota": {"command": "quota-tool"},
    "rsv.list": {"command": "rsvmgmt"},
    "rsv.create": {
        "command": "rsvmgmt",
        "name": "course_1",
        "account": "physics",
        "nodes": 2,
        "nodeType": "gpu",
        "startTime": "2030-01-31T08:00:00",
        "endTime": "2030-01-31T09:00:00",
    },
    "rsv.update": {
        "command": "rsvmgmt",
        "name": "course_1",
        "nodes": 2,
        "nodeType": "gpu",
        "startTime": "2030-01-31T08:00:00",
        "endTime": "2030-01-31T09:00:00",
    },
    "rsv.delete": {"command": "rsvmgmt", "name": "course_1"},
}
OPTIONAL = {"again", "scriptPath", "scriptSha256", "bytes", "lines", "grep", "owner", "group"}
FREE_TEXT = {"path", "source", "target", "grep", "owner", "group"}
WRONG_TYPES: list[Any] = [None, 1.5, [], {}, "", 7, True, "text", [1], ["x"], {"x": 1}, -1]


def refused(f: Any, op: str, args: dict[str, Any]) -> bool:
    try:
        f.check_arguments(f.OPERATIONS[op].arguments, args)
    except f.Refused as refusal:
        assert refusal.reason == "arguments"
        return True
    return False


def test_all_operations_are_covered_here(f: Any) -> None:
    """A new operation needs its line in this module."""
    assert set(GOOD) == set(f.OPERATIONS)


@pytest.mark.parametrize("op", GOOD)
def test_good_arguments(f: Any, op: str) -> None:
    """The example of each operation is accepted."""
    assert not refused(f, op, GOOD[op])


@pytest.mark.parametrize("op", GOOD)
def test_unknown_argument(f: Any, op: str) -> None:
    """Whatever the filter does not know could have been meant to restrict the command."""
    assert refused(f, op, {**GOOD[op], "extra": 1})


@pytest.mark.parametrize(("op", "name"), [(op, name) for op, args in GOOD.items() for name in args])
def test_missing_argument(f: Any, op: str, name: str) -> None:
    """Only arguments marked optional may be missing; there are no defaults on the node."""
    left = {key: value for key, value in GOOD[op].items() if key != name}
    assert refused(f, op, left) is (name not in OPTIONAL)


@pytest.mark.parametrize(("op", "name"), [(op, name) for op, args in GOOD.items() for name in args])
def test_argument_of_a_wrong_type(f: Any, op: str, name: str) -> None:
    """No value of another type is taken: above all not true for 1, or 1 for true."""
    good = GOOD[op][name]
    for wrong in WRONG_TYPES:
        if type(wrong) is type(good) and name in (
            "options",
            "keep",
            "scriptName",
            "dereference",
            "parents",
            "overwrite",
            "hold",
            "again",
            "details",
            "hidden",
            "recursive",
            "numericIds",
            "sorted",
            "skip",
            "command",
            "name",
            "account",
            "nodeType",
        ):
            continue  # another value of the same type may be right
        if wrong == [] and name in ("jobIds", "names") and op in ("slurm.jobs", "slurm.history", "slurm.nodes"):
            continue  # none named: all are meant
        if wrong == ["x"] and name == "names":
            continue
        if type(wrong) is str and wrong and name in FREE_TEXT:
            continue
        if name == "grep" and wrong == "":
            continue  # which every line has
        if type(wrong) is int and type(good) is int and wrong >= 0:
            continue
        assert refused(f, op, {**GOOD[op], name: wrong}), wrong


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "./a",
        "~/a",
        "/home/../etc",
        "/..",
        "/home/a/..",
        "/home/a\0b",
        "/" + "a" * 4096,
        "/\udc80",
        "/" + "ü" * 2048,
    ],
)
def test_paths(f: Any, path: str) -> None:
    """Absolute, no NUL, no `..` component, at most 4096 bytes (not characters), encodable."""
    assert not f.is_path(path)


@pytest.mark.parametrize(
    "path", ["/", "/home/a..b", "/home/...", "/home//a/", "/home/ü", "/" + "a" * 4095, "/home/a\nb"]
)
def test_unusual_paths_that_are_right(f: Any, path: str) -> None:
    """Dots within a name, doubled slashes and line breaks are legal in file names."""
    assert f.is_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..",
        "a/../b",
        "a\0b",
        "a" * 4097,
        "\udc80",
        "a\\xc3\\xa9",
        "a\\x5cb",
        "\\xe9" * 4097,
    ],
)
def test_paths_of_file_operations(f: Any, path: str) -> None:
    """Never empty, no NUL, no `..`, at most 4096 bytes, and in the one form that each name has."""
    assert not f.is_file(path)


@pytest.mark.parametrize(
    "path", ["a", ".", "./a", "~", "-rf", "a\nb", "\x1b[2J", "a\\b", "a\\xe9", "\\xe9" * 4096, "\\x5cxff"]
)
def test_unusual_paths_of_file_operations(f: Any, path: str) -> None:
    """Relative ones, and whatever a name may have."""
    assert f.is_file(path)


@pytest.mark.parametrize(
    "token",
    [
        "",
        TOKEN + "0",
        TOKEN[:-1],
        TOKEN + "\n",
        TOKEN.upper(),
        "x" + TOKEN,
        TOKEN.replace(":", ";"),
        TOKEN.replace("0", "g"),
    ],
)
def test_tokens(f: Any, token: str) -> None:
    """Exactly the form of docs/protocol.md: a token ends up on a command line."""
    assert f.is_token(TOKEN)
    assert not f.is_token(token)


@pytest.mark.parametrize(
    "job_id", ["", "-1", "1\n", "1 2", "1_", "_1", "1_2_3", "1,2", "all", "1.batch", "٣", "1_[1-4]"]
)
def test_job_ids(f: Any, job_id: str) -> None:
    """A job id can never be an option of scontrol or scancel, or a list."""
    assert not f.is_job_id(job_id)


@pytest.mark.parametrize("name", ["", ".", "..", ".bashrc", "-x", "a/b", "a b", "a\n", "ä", "a" * 129])
def test_script_names(f: Any, name: str) -> None:
    """One component, no option, no hidden file."""
    assert not f.is_script_name(name)
    assert f.is_script_name("job-1_2.sh")


@pytest.mark.parametrize(
    "options",
    [
        {"unknown": "x"},
        {"wrap": "x"},
        {"uid": "0"},
        {"jobName": ""},
        {"jobName": "a\nb"},
        {"jobName": "a\x7f"},
        {"jobName": "a" * 4097},
        {"jobName": 5},
        {"tasks": "5"},
        {"tasks": 0},
        {"tasks": True},
        {"tasks": -1},
        {"mailType": "END"},
        {"mailType": ["END,--uid=0"]},
        {"mailType": [5]},
        {"mailType": []},
        {"requeue": 1},
        {"requeue": "yes"},
        {"contiguous": False},
        {"exclusive": "all"},
        {"exclusive": True},
        {"nodelist": "/etc/hosts"},
        {"gres": "help"},
        {"nice": "5"},
        {"waitAllNodes": 2},
        {"export": "NONE"},
        {"hold": True},
    ],
)
def test_options_of_sbatch(f: Any, options: dict[str, Any]) -> None:
    """Known names only, each with a value of its form."""
    assert refused(f, "slurm.submit", {**GOOD["slurm.submit"], "options": options})


def test_all_options_become_arguments(f: Any) -> None:
    """Each option is exactly one argument, so that a value with blanks or dashes stays a value."""
    options = {
        "jobName": "--uid=0 x",
        "account": "a",
        "partition": "p",
        "qos": "q",
        "reservation": "r",
        "constraint": "c",
        "nodes": "1-2",
        "tasks": 3,
        "tasksPerNode": 4,
        "cpusPerTask": 5,
        "memory": "1G",
        "memoryPerCpu": "2G",
        "gpus": "1",
        "timeLimit": "1:00",
        "array": "0-3",
        "dependency": "afterok:1",
        "stdin": "/dev/null",
        "stdout": "o",
        "stderr": "e",
        "mailUser": "a@b",
        "mailType": ["END", "FAIL"],
        "requeue": False,
        "gres": "gpu:2",
        "exclusive": "true",
        "overcommit": True,
        "nice": 100,
        "coreSpec": 0,
        "noKill": "off",
        "propagate": "ALL",
    }
    assert not refused(f, "slurm.submit", {**GOOD["slurm.submit"], "options": options})
    assert f.sbatch_arguments(options) == [
        "--job-name=--uid=0 x",
        "--account=a",
        "--partition=p",
        "--qos=q",
        "--reservation=r",
        "--constraint=c",
        "--nodes=1-2",
        "--ntasks=3",
        "--ntasks-per-node=4",
        "--cpus-per-task=5",
        "--mem=1G",
        "--mem-per-cpu=2G",
        "--gpus=1",
        "--time=1:00",
        "--array=0-3",
        "--dependency=afterok:1",
        "--input=/dev/null",
        "--output=o",
        "--error=e",
        "--mail-user=a@b",
        "--mail-type=END,FAIL",
        "--no-requeue",
        "--gres=gpu:2",
        "--core-spec=0",
        "--exclusive",
        "--overcommit",
        "--nice",
        "--no-kill=off",
        "--propagate",
    ]


def test_every_option_is_one_argument(f: Any) -> None:
    """Whatever its kind: the flag, alone or with an equals sign and the value."""
    values = {"text": "x", "integer": 1, "flag": True, "switch": True, "words": ["END"]}
    for name, option in f.SBATCH_OPTIONS.items():
        value = option.choices[-1] if option.choices else values[option.kind]
        assert not refused(f, "slurm.submit", {**GOOD["slurm.submit"], "options": {name: value}})
        (argument,) = f.sbatch_arguments({name: value})
        assert argument.partition("=")[0] == f"--{option.flag}"


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("slurm.describe", {"jobIds": []}),
        ("slurm.describe", {"jobIds": ["1_[2-3]"]}),
        *[
            ("slurm.kill", {"jobIds": [job_id]})
            for job_id in ("1_[1,3]", "1.0", "1_[3-1]", "1_[0-1000]", "-u", "1 2", "")
        ],
        ("slurm.kill", {"jobIds": []}),
        ("slurm.kill", {"jobIds": ["1"] * 101}),
        ("slurm.jobs", {**GOOD["slurm.jobs"], "tailBytes": 65537}),
        ("slurm.history", {**GOOD["slurm.history"], "start": "now-1days"}),
        ("slurm.history", {**GOOD["slurm.history"], "end": "2026-01-01"}),
        ("slurm.nodes", {"names": ["--all"]}),
        ("slurm.nodes", {"names": ["n1 State=DOWN"]}),
        ("slurm.nodes", {"names": ["n1"] * 1001}),
        ("sys.whoami", {"cluster": "second"}),
        ("slurm.describe", {"jobIds": ["1"] * 51}),
        ("slurm.account", {"scope": "own", "jobIds": ["1"] * 1001}),
        ("slurm.account", {"scope": "mine", "jobIds": ["1"]}),
        ("slurm.usage", {"scope": "own", "jobIds": ["1"] * 101}),
        ("slurm.usage", {"scope": "own", "jobIds": ["--all"]}),
        ("slurm.cancel", {"token": TOKEN, "keep": ["1"] * 11}),
        ("fs.read", {"path": "/x", "offset": -1, "length": 1}),
        ("fs.read", {"path": "/x", "offset": 0, "length": 64 * 1024 * 1024 + 1}),
        ("fs.mkdir", {"path": "/x", "parents": True, "mode": 0o10000}),
        ("fs.ls", {**GOOD["fs.ls"], "limit": 0}),
        ("fs.ls", {**GOOD["fs.ls"], "limit": 10**6 + 1}),
        ("fs.head", {"path": "x", "limit": 64 * 1024 * 1024 + 1, "skip": False}),
        ("fs.tail", {"path": "x", "limit": 1, "skip": False, "grep": "x" * 4097}),
        ("fs.symlink", {"path": "x", "target": "x" * 4096}),
        ("fs.chmod", {"path": "x", "mode": "u+x" + ",u+x" * 100}),
        ("fs.chmod", {"path": "x", "mode": "0888"}),
        ("fs.chown", {"path": "x", "owner": "a:b"}),
        ("fs.chown", {"path": "x", "owner": "x" * 257}),
        ("fs.extract", {"source": "x", "target": "x", "format": "rar"}),
    ],
)
def test_bounds(f: Any, op: str, args: dict[str, Any]) -> None:
    """The numbers of docs/protocol.md."""
    assert refused(f, op, args)


@pytest.mark.parametrize("op", [op for op in GOOD if op.startswith("slurm.")])
def test_every_slurm_operation_may_name_a_cluster(f: Any, op: str) -> None:
    """Without one it is that of the node's own configuration."""
    assert not refused(f, op, GOOD[op])
    assert not refused(f, op, {**GOOD[op], "cluster": "second"})


@pytest.mark.parametrize("op", [op for op in GOOD if op.startswith("slurm.")])
@pytest.mark.parametrize("cluster", ["all", "ALL", "first,second", "-M", "", 1, None, ["second"]])
def test_every_slurm_operation_is_for_one_cluster(f: Any, op: str, cluster: Any) -> None:
    """A list, `all` or an option in its place is refused: who signed had one cluster in mind."""
    assert refused(f, op, {**GOOD[op], "cluster": cluster})
