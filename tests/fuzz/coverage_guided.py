"""Fuzzes a parser of the filter guided by coverage (atheris): `coverage_guided.py TARGET FOLDER [options of libFuzzer]`.

A process of its own, for libFuzzer ends the process that it runs in. Status 0: nothing was found; else the input is in FOLDER.
Run by test_coverage_guided.py, for seconds in `make test` and for hours in `make fuzz`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import atheris
from cryptography.hazmat.primitives.asymmetric import ed25519

sys.path.insert(0, str(Path(__file__).parents[1]))
from component.ssh_filter.certificates import Certificate, public_blob, session_command
from component.ssh_filter.node import FILTER, frame, request_frame

USER, UID, SYSTEM, SID, NOW = "alice", 20001, "cluster", "0123456789abcdef" * 2, 1030
CA, KEY = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))


def load(folder: Path) -> Any:
    """The filter, instrumented: atheris does that to modules as they are imported, by their names."""
    shutil.copyfile(FILTER, folder / "goldcrest_ssh_filter.py")
    sys.path.insert(0, str(folder))
    with atheris.instrument_imports(include=["goldcrest_ssh_filter"]):
        return importlib.import_module("goldcrest_ssh_filter")


def session_of(f: Any) -> Any:
    """A session whose CA signs everything: what is behind the signature is what is to be fuzzed."""
    session = f.Session.__new__(f.Session)
    session.policy = f.parse_policy(b'{"system": "cluster"}')
    session.user, session.uid, session.gid = USER, UID, UID
    session.home, session.shell = "/nonexistent", "/bin/sh"
    session.groups = {UID: USER}
    session.sid = SID
    session.operations = sorted(f.OPERATIONS)
    session.roots = [b"/nonexistent"]
    session.client_address = b"192.0.2.7"
    session.log = f.Log("/nonexistent")
    trusting = SimpleNamespace(verify=lambda *_: True)
    session._ca_keys = SimpleNamespace(value=lambda: {public_blob(CA): trusting})
    session._revoked = None
    session.connection_key = f.parse_certificate(certificate("sys.whoami", {}).build()).key
    return session


def certificate(op: str, args: dict[str, Any], **changes: Any) -> Certificate:
    command = {"kind": "command", "system": SYSTEM, "user": USER, "op": op, "args": args, "payload": {}, "sid": SID}
    return Certificate(
        ca=CA,
        key=KEY,
        command={**command, **changes},
        principals=(USER.encode(),),
        serial=7,
        valid_after=NOW - 30,
        valid_before=NOW + 60,
    )


SEEDS = [
    certificate("sys.whoami", {}).build(),
    certificate("fs.stat", {"path": "/home/alice/x", "dereference": True}).build(),
    certificate("slurm.account", {"scope": "own", "jobIds": ["1", "2_3"]}).build(),
    certificate("x", {}).but(command=session_command(system=SYSTEM, user=USER)).build(),
    certificate("x", {}).but(critical=((b"force-command", b"/x v1.e30"), (b"source-address", b"::1/64"))).build(),
]


def certificates(f: Any) -> Callable[[bytes], None]:
    """One certificate: refused, or accepted with exactly the command of this session."""
    session = session_of(f)

    def one(data: bytes) -> None:
        try:
            parsed = f.parse_certificate(data)
            command = session.check_command(parsed, NOW)
            operation, sha256, size = session.check_operation(command)
        except f.Refused as refusal:
            assert refusal.reason in REASONS, refusal.reason
            return
        assert (command["kind"], command["system"], command["user"], command["sid"]) == ("command", SYSTEM, USER, SID)
        assert parsed.principals == [USER.encode()]
        assert f.OPERATIONS[command["op"]] is operation
        assert (sha256 is None) == (size == 0 and not command["payload"])
        text = f._ENCODER.encode(command).encode()
        assert parsed.critical_options[b"force-command"].endswith(b" v1." + f.base64url(text))

    return one


def commands(f: Any) -> Callable[[bytes], None]:
    """The text of a command, which no fuzzer finds behind base64 and lengths: the same demands as of a certificate."""
    of_certificate = certificates(f)

    def one(data: bytes) -> None:
        text = b"/x v1." + f.base64url(data)
        of_certificate(certificate("", {}).but(critical=((b"force-command", text),)).build())

    return one


def submissions(f: Any) -> Callable[[bytes], None]:
    """The payload of a submission, and the directives in its script."""
    session = session_of(f)

    def one(data: bytes) -> None:
        try:
            environment, script = f.parse_submission(session, data, {})
            f.check_directives(session, script, {"options": {"timeLimit": "5"}, "workDirectory": "/home/alice"})
        except f.Refused as refusal:
            assert refusal.reason in ("payload", "arguments"), refusal.reason
            return
        names = [entry.partition(b"=")[0] for entry in environment.split(b"\0")[:-1]]
        assert len(names) == len(set(names))
        assert all(f.VARIABLE_NAME.fullmatch(name.decode()) for name in names)

    return one


def frames(f: Any) -> Callable[[bytes], None]:
    """What comes in on a channel: answered frame by frame, or the channel is broken; never another error, never a program."""
    session = session_of(f)
    clock = SimpleNamespace(time=lambda: float(NOW), monotonic=lambda: 0.0, strftime=lambda _: "")
    f.time = clock
    f.Channel.spawn = lambda self, request, run, deadline: self.finish_with_error(request, f.Failed("state", "fuzzing"))
    answered: list[tuple[int, bytes]] = []
    f.Channel.send = lambda self, request_id, frame_type, body: answered.append((frame_type, body))

    def one(data: bytes) -> None:
        answered.clear()
        channel = f.Channel(session)
        with contextlib.suppress(f.ChannelBroken):
            # In pieces, as a network cuts it: the first byte says how.
            step = data[0] + 1 if data else 1
            for start in range(1, len(data), step * 16):
                channel.incoming += data[start : start + step * 16]
                channel.handle_frames()
                channel.advance_ready()
            assert len(channel.incoming) <= f.FRAME_LIMIT + 4
        for frame_type, body in answered:
            assert frame_type in (f.ANSWER, f.REFUSED, f.ERROR, f.DATA)
            assert b'"internal"' not in body, body
        assert channel.refusals <= f.REFUSAL_LIMIT
        for request in channel.requests.values():
            request.stop()

    return one


TARGETS = {"certificates": certificates, "commands": commands, "submissions": submissions, "frames": frames}
COMMAND_SEEDS = [
    f'{{"args":{args},"kind":"command","op":"{op}","payload":{payload},"sid":"{SID}","system":"{SYSTEM}","user":"{USER}"}}'.encode()
    for op, args, payload in (
        ("sys.whoami", "{}", "{}"),
        ("fs.read", '{"length":5,"offset":0,"path":"/home/x"}', "{}"),
        ("slurm.cancel", '{"keep":["1_2"],"token":"goldcrest:01234567:' + SID + '"}', "{}"),
        ("fs.write", '{"mode":384,"overwrite":true,"path":"/x"}', '{"sha256":"' + "0" * 64 + '","size":5}'),
    )
]
SUBMISSION_SEEDS = [
    len(header).to_bytes(4, "big") + header + script
    for header, script in (
        (b'{"environment":{}}', b"#!/bin/sh\n#SBATCH --time=5\ntrue\n"),
        (b'{"environment":{"A":"b","PATH":"/x"}}', b"#!/bin/bash\n#SBATCH -t 5 # x\n#SBATCH -D '/home/alice'\n"),
        (b'{"environment":{}}', b'#!/bin/sh\r\n#SLURM --time=5\n#SBATCH --job-name="a b"\n'),
    )
]
FRAME_SEEDS = [
    b"\xff" + request_frame(1, SEEDS[0]) + frame(1, 3),
    b"\x00" + request_frame(1, SEEDS[1]) + request_frame(2, SEEDS[1]) + frame(2, 2, b"x"),
    b"\x10" + frame(0, 1) + frame(5, 99, b"x") + frame(1, 2, b"data"),
    b"\x20" + request_frame(9, certificate("slurm.queue", {"scope": "own"}).build(), b"payload"),
]
ALL_SEEDS = {"certificates": SEEDS, "commands": COMMAND_SEEDS, "submissions": SUBMISSION_SEEDS, "frames": FRAME_SEEDS}
REASONS = frozenset(
    [
        "malformed",
        "unknown-ca",
        "signature",
        "not-user-certificate",
        "revoked",
        "expired",
        "not-yet-valid",
        "window",
        "principal",
        "uid",
        "group",
        "key",
        "extension",
        "critical-option",
        "system",
        "kind",
        "session-id",
        "replay",
        "operation",
        "arguments",
        "payload",
        "busy",
    ]
)


def main(target: str, folder: Path, options: list[str]) -> None:
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(ALL_SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    one = TARGETS[target](load(folder))
    os.chdir(folder)
    atheris.Setup([sys.argv[0], *options, "-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
