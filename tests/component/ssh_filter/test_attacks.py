"""What somebody could try with a command that is signed, on the running filter: nothing of it reaches a shell or another file."""

from __future__ import annotations

import base64
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from component.ssh_filter.node import ANSWER, ERROR, REFUSED, Channel, Node, request_frame

pytestmark = pytest.mark.component

TOKEN = "goldcrest:01234567:" + "0123456789abcdef" * 2

# Texts that mean something to a shell, to a program's option parser, or to a terminal.
HOSTILE = (
    "a'b",
    'a"b',
    "$(touch /tmp/goldcrest-attack)",
    "`touch /tmp/goldcrest-attack`",
    "; touch /tmp/goldcrest-attack",
    "| cat /etc/passwd",
    "> /tmp/goldcrest-attack",
    "--wrap=id",
    "-J evil --uid=0",
    "x --uid=0 --wrap=id",
    "--",
    "-",
    "*",
    "~root",
    "\\",
    "%s%n",
    "${IFS}",
    "größe \U0001f600",
)


def recorder(node: Node) -> Path:
    """An sbatch that writes down its arguments and its environment, each ended by NUL, and submits job 17."""
    node.program(
        "sbatch",
        f'for word in "$@"; do printf "%s\\0" "$word"; done >{node.scratch}/arguments\n'
        f"cat /proc/$$/environ >{node.scratch}/environment\n"
        f'for word in "$@"; do case $word in --export-file=*) cp "${{word#*=}}" {node.scratch}/exported;; esac; done\n'
        "echo 17\n",
    )
    node.program("scontrol", "true")
    return node.scratch


def submit(
    node: Node, channel: Channel, *, options: dict[str, Any] | None = None, environment: dict[str, str] | None = None,
    script: bytes = b"#!/bin/sh\n", **changes: Any,
) -> Any:  # fmt: skip
    """The last frame of a submission."""
    header = json.dumps({"environment": environment or {}}).encode()
    args = {
        "token": TOKEN,
        "jobDirectory": f"{node.home}/goldcrest/1",
        "workDirectory": f"{node.home}/work",
        "scriptName": "job.sh",
        "hold": True,
        "options": options or {},
        **changes,
    }
    return channel.call("slurm.submit", args, struct.pack(">I", len(header)) + header + script)


def words(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\0")[:-1]


def test_values_stay_values(node: Node) -> None:
    """Quotes, $(…), blanks and dashes in an option's value: one argument each, letter for letter; no option is added."""
    scratch = recorder(node)
    channel = node.open()
    for text in HOSTILE:
        options = {"jobName": text, "account": text, "stdout": text, "constraint": text}
        assert submit(node, channel, options=options).type == ANSWER, text
        arguments = words(scratch / "arguments")
        flags = [word for word in arguments[: arguments.index("--", 6)] if not word.endswith("=" + text)]
        assert {f"--{name}={text}" for name in ("job-name", "account", "output", "constraint")} <= set(arguments)
        assert [flag.partition("=")[0] for flag in flags] == [
            "--parsable", "--hold", "--comment", "--chdir", "--export", "--export-file",
        ]  # fmt: skip
    assert not Path("/tmp/goldcrest-attack").exists()


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x1b[2Jb", "a\0b", "a\x7fb", "\t", "", "x" * 4097])
def test_values_that_are_refused(node: Node, text: str) -> None:
    """Newlines, escapes, NUL, nothing, too long: refused before anything is written."""
    scratch = recorder(node)
    got = submit(node, node.open(), options={"jobName": text})
    assert (got.type, got.json["reason"]) == (REFUSED, "arguments")
    assert list(scratch.iterdir()) == list(node.home.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["-x", "--wrap=id", ".bashrc", "../x", "a/b", "a b", "a\nb", "$(id)", "", "x" * 129, "\u00e9", "\x1b[2J"]
)
def test_names_of_scripts_that_are_refused(node: Node, name: str) -> None:
    """A name that sbatch could take for an option, or that leads elsewhere."""
    scratch = recorder(node)
    got = submit(node, node.open(), scriptName=name)
    assert (got.type, got.json["reason"]) == (REFUSED, "arguments")
    assert list(scratch.iterdir()) == []


def test_the_users_variables_reach_the_job_and_not_sbatch(node: Node) -> None:
    """LD_PRELOAD, BASH_ENV, SLURM_*, SBATCH_* and PATH of a payload are in the job's file; sbatch itself has the node's."""
    scratch = recorder(node)
    hostile = {
        "LD_PRELOAD": "/tmp/evil.so",
        "LD_LIBRARY_PATH": "/tmp/evil",
        "BASH_ENV": "/tmp/evil",
        "ENV": "/tmp/evil",
        "PATH": "/tmp/evil",
        "HOME": "/tmp/evil",
        "IFS": "evil",
        "SLURM_CONF": "/tmp/evil",
        "SLURM_CLUSTERS": "evil",
        "SBATCH_ACCOUNT": "evil",
        "SBATCH_WRAP": "evil",
        "SBATCH_EXPORT": "evil",
        "PYTHONPATH": "/tmp/evil",
    }
    assert submit(node, node.open(), environment=hostile).type == ANSWER
    exported = dict(word.split("=", 1) for word in words(scratch / "exported"))
    assert hostile.items() <= exported.items()
    own = (scratch / "environment").read_bytes()
    assert b"evil" not in own
    assert {word.split(b"=")[0] for word in own.split(b"\0") if word} == {
        b"HOME", b"USER", b"LOGNAME", b"SHELL", b"PATH", b"LANG", b"SLURM_CONF", b"SBATCH_IGNORE_PBS",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["A=B", "", "A B", "1A", "A\n", "Ä", "A\0", "BASH_FUNC_x%%", "x()"])
def test_names_of_variables_that_are_refused(node: Node, name: str) -> None:
    """A name with `=` or NUL would smuggle in another; one with `%%` is a function for bash."""
    scratch = recorder(node)
    got = submit(node, node.open(), environment={name: "x"})
    assert (got.type, got.json["reason"]) == (REFUSED, "payload")
    assert list(scratch.iterdir()) == []


def test_arguments_of_128_kibibytes(node: Node) -> None:
    """Longer than the command may be, or than a certificate: refused, and the channel goes on."""
    channel = node.open()
    for length in (64 * 1024, 128 * 1024, 700 * 1024):
        certificate = channel.certificate("fs.stat", {"path": "/" + "x" * length, "dereference": True}).build()
        assert channel.refusal(certificate) == "malformed"
    certificate = channel.certificate("fs.stat", {"path": f"{node.home}/" + "x" * 4096, "dereference": True}).build()
    assert channel.refusal(certificate) == "arguments"
    assert channel.ask("sys.whoami", {})


def test_bytes_that_are_not_utf_8(node: Node) -> None:
    """In the command of a certificate: refused. In a file's name: they are named as docs/protocol.md says, and in no other way."""
    channel = node.open()
    text = (
        b'{"args":{},"kind":"command","op":"sys.whoami","payload":{},"sid":"\xff","system":"cluster","user":"nobody"}'
    )
    encoded = base64.urlsafe_b64encode(text).rstrip(b"=")
    made = channel.certificate("sys.whoami", {}, critical=((b"force-command", b"/x v1." + encoded),))
    assert channel.refusal(made.build()) == "malformed"
    (Path(os.fsdecode(os.fsencode(str(node.home)) + b"/\xff\xfe"))).write_bytes(b"x")
    assert channel.ask("fs.stat", {"path": f"{node.home}/\\xff\\xfe", "dereference": True})["size"] == 1
    for other in ("\ufffd", "\ufffd\ufffd", "\u00ff\u00fe", "\\xFF\\xFE"):
        got = channel.call("fs.stat", {"path": f"{node.home}/{other}", "dereference": True})
        assert (got.type, got.json["name"]) == (ERROR, "ENOENT")


def test_terminal_escapes_in_a_files_name(node: Node) -> None:
    """They come back to the client as JSON, and stand escaped in the node's log."""
    name = f"{node.home}/a\x1b]0;owned\x07\nevent=command outcome=ok"
    channel = node.open()
    got = channel.call("fs.stat", {"path": name, "dereference": True})
    assert (got.type, got.json["path"]) == (ERROR, name)
    assert b"\x1b" not in got.body
    channel.end()
    lines = [line for line in node.log_lines() if "op=fs.stat" in line]
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert "outcome=ENOENT" in lines[0].split('"')[-1]


def test_links_out_of_the_roots(node: Node) -> None:
    """A link that leads out is refused, whatever is to be done behind it, and nothing is done there."""
    outside = node.folder / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "secret").write_text("secret")
    (node.home / "link").symlink_to(outside)
    (node.home / "file").symlink_to(outside / "secret")
    channel = node.open()
    for op, args, payload in (
        ("fs.read", {"path": f"{node.home}/file", "offset": 0, "length": 10}, None),
        ("fs.read", {"path": f"{node.home}/link/secret", "offset": 0, "length": 10}, None),
        ("fs.checksum", {"path": f"{node.home}/file", "limit": 100}, None),
        ("fs.stat", {"path": f"{node.home}/link/secret", "dereference": True}, None),
        ("fs.mkdir", {"path": f"{node.home}/link/new", "parents": True, "mode": 0o700}, None),
        ("fs.mkdir", {"path": f"{node.home}/link/new", "parents": False, "mode": 0o700}, None),
        ("fs.write", {"path": f"{node.home}/link/new", "mode": 0o600, "overwrite": True}, b"x"),
    ):
        assert channel.fail(op, args, payload)["name"] == "EPERM", op
    assert submit(node, channel, jobDirectory=f"{node.home}/link/job").json["name"] == "EPERM"
    assert submit(node, channel, workDirectory=f"{node.home}/link/work").json["name"] == "EPERM"
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_certificate_of_another_session(node: Node) -> None:
    """Caught on one connection, it is of no use on another of the same user, nor for the same system elsewhere."""
    first, second = node.open(), node.open()
    caught = first.certificate("sys.whoami", {}).build()
    assert second.refusal(caught) == "session-id"
    node.policy["system"] = "other"
    elsewhere = node.open(
        certificate=node.certificate(
            {"kind": "session", "system": "other", "user": "nobody", "op": "session", "args": {}, "payload": {}}
        ).build()
    )
    for certificate, reason in (
        (caught, "system"),
        (elsewhere.certificate("sys.whoami", {}).build(), "system"),  # its command names `cluster`
    ):
        assert elsewhere.refusal(certificate) == reason
    request_id = first.next_id()
    first.send(request_frame(request_id, caught))  # where it belongs, it still counts, once
    assert first.finish(request_id).type == ANSWER
