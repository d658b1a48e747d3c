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
}
OPTIONAL = {"again", "scriptPath", "scriptSha256"}
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
        ):
            continue  # another value of the same type may be right
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
        ("slurm.describe", {"jobIds": ["1"] * 51}),
        ("slurm.account", {"scope": "own", "jobIds": ["1"] * 1001}),
        ("slurm.account", {"scope": "mine", "jobIds": ["1"]}),
        ("slurm.usage", {"scope": "own", "jobIds": ["1"] * 101}),
        ("slurm.usage", {"scope": "own", "jobIds": ["--all"]}),
        ("slurm.cancel", {"token": TOKEN, "keep": ["1"] * 11}),
        ("fs.read", {"path": "/x", "offset": -1, "length": 1}),
        ("fs.read", {"path": "/x", "offset": 0, "length": 64 * 1024 * 1024 + 1}),
        ("fs.mkdir", {"path": "/x", "parents": True, "mode": 0o10000}),
    ],
)
def test_bounds(f: Any, op: str, args: dict[str, Any]) -> None:
    """The numbers of docs/protocol.md."""
    assert refused(f, op, args)
