"""Frames on a running channel: cut, mixed, too long, refused, cancelled, idle, old."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from component.ssh_filter.certificates import public_line
from component.ssh_filter.node import (
    ANSWER,
    CANCEL,
    DATA,
    ERROR,
    REFUSED,
    UID,
    Node,
    frame,
    payload_form,
    request_frame,
)

pytestmark = pytest.mark.component


def submission(node: Node) -> dict[str, Any]:
    """Arguments of a command whose payload is held until it is complete."""
    return {
        "token": "goldcrest:01234567:" + "0123456789abcdef" * 2,
        "jobDirectory": f"{node.home}/job",
        "workDirectory": f"{node.home}/job",
        "scriptName": "job.sh",
        "hold": True,
        "options": {},
    }


def test_cut_at_every_byte(node: Node) -> None:
    """Frames arrive as the network cuts them: byte by byte they mean the same, with a payload too."""
    channel = node.open()
    args = {"path": f"{node.home}/x", "mode": 0o600, "overwrite": False}
    certificate = channel.certificate("fs.write", args, b"abcdef").build()
    data = request_frame(1, certificate, b"ab") + frame(1, DATA, b"c") + frame(1, DATA) + frame(1, DATA, b"def")
    for position in range(len(data)):
        channel.send(data[position : position + 1])
    assert channel.finish(1).json["size"] == 6
    assert (node.home / "x").read_bytes() == b"abcdef"


def test_pipelined_requests(node: Node) -> None:
    """Two hundred requests sent at once are all answered, each under its id."""
    channel = node.open()
    args = {"path": str(node.home), "dereference": True}
    channel.send(
        b"".join(request_frame(number, channel.certificate("fs.stat", args).build()) for number in range(1, 201))
    )
    answers = [channel.read_frame() for _ in range(200)]
    assert [got.id for got in answers if got is not None] == list(range(1, 201))
    assert {got.type for got in answers if got is not None} == {ANSWER}


def test_interleaved_payloads(node: Node) -> None:
    """Two payloads in pieces between each other stay apart."""
    channel = node.open()
    for number, data in ((1, b"one!"), (2, b"two?")):
        args = {"path": f"{node.home}/{number}", "mode": 0o600, "overwrite": False}
        channel.send(request_frame(number, channel.certificate("fs.write", args, data).build(), data[:1]))
    for number, data in ((2, b"wo"), (1, b"ne"), (1, b"!"), (2, b"?")):
        channel.send(frame(number, DATA, data))
    assert {channel.read_frame().id, channel.read_frame().id} == {1, 2}  # type: ignore[union-attr]
    assert ((node.home / "1").read_bytes(), (node.home / "2").read_bytes()) == (b"one!", b"two?")


def test_large_payload_and_large_file(node: Node) -> None:
    """16 MiB in, and out again, byte by byte the same."""
    channel = node.open()
    data = os.urandom(16 * 1024 * 1024)
    path = f"{node.home}/x"
    args = {"path": path, "mode": 0o600, "overwrite": False}
    channel.send(request_frame(1, channel.certificate("fs.write", args, data).build(), data[: 1 << 20]))
    for position in range(1 << 20, len(data), 1 << 20):
        channel.send(frame(1, DATA, data[position : position + (1 << 20)]))
    assert channel.finish(1).json["size"] == len(data)
    got = channel.call("fs.read", {"path": path, "offset": 0, "length": 1 << 26})
    assert got.body[: len(data)] == data
    told = json.loads(got.body[len(data) :])
    assert (told["fileSize"], told["size"]) == (16777216, 16777216)


@pytest.mark.parametrize(
    ("sent", "signed"),
    [(b"abc", b"abd"), (b"abcd", b"abc"), (b"x", b"")],
)
def test_payload_that_was_not_signed(node: Node, sent: bytes, signed: bytes) -> None:
    """Other bytes or more bytes than signed: refused, and nothing is written."""
    channel = node.open()
    args = {"path": f"{node.home}/x", "mode": 0o600, "overwrite": False}
    assert channel.refusal(channel.certificate("fs.write", args, signed).build(), sent) == "payload"
    assert list(node.home.iterdir()) == []
    # In two pieces, the surplus in the second.
    request_id = channel.next_id()
    channel.send(request_frame(request_id, channel.certificate("fs.write", args, b"abc").build(), b"ab"))
    channel.send(frame(request_id, DATA, b"cd"))
    assert channel.finish(request_id).json["reason"] == "payload"
    # The rest of it was on its way: no second answer, and the channel goes on.
    channel.send(frame(request_id, DATA, b"more"))
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_empty_payload(node: Node) -> None:
    """A file of 0 bytes is written at once, without a DATA frame."""
    channel = node.open()
    assert channel.ask("fs.write", {"path": f"{node.home}/x", "mode": 0o600, "overwrite": False}, b"")["size"] == 0


def test_replay(node: Node) -> None:
    """The same bytes a second time, and another command under the same serial: refused."""
    channel = node.open()
    path = f"{node.home}/x"
    certificate = channel.certificate("fs.mkdir", {"path": path, "parents": True, "mode": 0o700}, serial=7)
    request_id = channel.next_id()
    channel.send(request_frame(request_id, certificate.build()))
    assert channel.finish(request_id).type == ANSWER
    assert channel.refusal(certificate.build()) == "replay"
    assert channel.refusal(channel.certificate("sys.whoami", {}, serial=7).build()) == "replay"
    # The very same command on a second channel of the same connection.
    assert node.open().refusal(certificate.build()) == "session-id"


def test_a_refused_command_does_not_use_up_its_certificate(node: Node) -> None:
    """`busy` and the like happen before anything is remembered: the client may send the same bytes again."""
    node.policy["commandsAtOnce"] = 1
    node.program("squeue", "sleep 1")
    channel = node.open()
    first = channel.start("slurm.queue", {"scope": "own"})
    certificate = channel.certificate("sys.whoami", {}).build()
    assert channel.refusal(certificate) == "busy"
    assert channel.finish(first).type == ANSWER
    channel.send(request_frame(99, certificate))
    assert channel.finish(99).type == ANSWER


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("unknown-ca", {"ca": ed25519.Ed25519PrivateKey.generate()}),
        ("key", {"key": ed25519.Ed25519PrivateKey.generate()}),
        ("expired", {"valid_after": -200, "valid_before": -100}),
        ("not-yet-valid", {"valid_after": 100, "valid_before": 160}),
        ("window", {"valid_before": 1000}),
        ("principal", {"principals": (b"root",)}),
        ("not-user-certificate", {"type": 2}),
    ],
)
def test_refusals_on_a_channel(node: Node, reason: str, changes: dict[str, Any]) -> None:
    """The reasons of docs/protocol.md reach the client, and the channel goes on. Times are seconds from now."""
    now = int(time.time())  # when the test runs, which may be minutes after it was collected
    changes = {name: now + value if name.startswith("valid_") else value for name, value in changes.items()}
    channel = node.open()
    assert channel.refusal(channel.certificate("sys.whoami", {}, **changes).build()) == reason
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_session_certificate_as_a_command(node: Node) -> None:
    """It opens a connection and does nothing else."""
    channel = node.open()
    assert channel.refusal(node.session_certificate().build()) == "kind"


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", 0),
        struct.pack(">I", 4) + b"\0\0\0\1",
        frame(7, 99),
        frame(7, 1),
        frame(7, 1, b"\0\0\0"),
        frame(7, 1, struct.pack(">I", 100)),
        frame(7, 1, struct.pack(">I", 3) + b"abc"),
        frame(7, 20, b"\0\0\0\1"),
    ],
)
def test_frames_that_cannot_be_read(node: Node, data: bytes) -> None:
    """A parser's error refuses the frame, with its id where it has one, and the channel goes on."""
    channel = node.open()
    channel.send(data)
    got = channel.read_frame()
    assert got is not None
    assert (got.type, got.json["reason"]) == (REFUSED, "malformed")
    assert got.id in (0, 7)
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_request_without_an_id(node: Node) -> None:
    """0 belongs to the channel itself."""
    channel = node.open()
    channel.send(request_frame(0, channel.certificate("sys.whoami", {}).build()))
    got = channel.read_frame()
    assert got is not None
    assert (got.id, got.json["reason"]) == (0, "malformed")


def test_frame_above_the_limit(node: Node) -> None:
    """Ends the channel at once with 118; the largest allowed one does not."""
    channel = node.open()
    limit = channel.hello["limits"]["frame"]
    channel.send(frame(5, DATA, bytes(limit - 5)))
    assert channel.ask("sys.whoami", {})["uid"] == UID
    channel.send(struct.pack(">I", limit + 1))
    assert channel.read_frame() is None
    assert channel.process.wait(10) == 118


def test_request_under_an_id_in_use(node: Node) -> None:
    """Nobody could tell the answers apart: the channel ends with 118, and what ran is stopped."""
    node.program("squeue", f"sleep 30; touch {node.scratch}/late")
    channel = node.open()
    request_id = channel.start("slurm.queue", {"scope": "own"})
    channel.send(request_frame(request_id, channel.certificate("sys.whoami", {}).build()))
    assert channel.read_frame() is None
    assert channel.process.wait(10) == 118


def test_ten_refusals(node: Node) -> None:
    """The tenth is answered and is the last; status 118."""
    channel = node.open()
    for _ in range(10):
        assert channel.refusal(b"nonsense") == "malformed"
    assert channel.read_frame() is None
    assert channel.process.wait(10) == 118


def test_what_runs_is_finished_when_the_input_is_closed(node: Node) -> None:
    """A client that has said all it wants: its answers still come, and the status is 0."""
    node.program("squeue", "sleep 1; echo done")
    channel = node.open()
    request_id = channel.start("slurm.queue", {"scope": "own"})
    channel.close_input()
    assert channel.finish(request_id).json["stdout"] == "done\n"
    assert channel.read_frame() is None
    assert channel.process.wait(10) == 0


def test_what_runs_is_finished_when_nobody_listens(node: Node) -> None:
    """The connection is cut in the middle of a submission: it must not be cut in two."""
    node.program("squeue", f"sleep 1; echo done; touch {node.scratch}/finished")
    channel = node.open()
    channel.start("slurm.queue", {"scope": "own"})
    time.sleep(0.3)
    channel.close_input()
    assert channel.process.stdout is not None
    channel.process.stdout.close()
    channel.process.wait(10)
    assert (node.scratch / "finished").exists()


def test_idle(node: Node) -> None:
    """A quiet channel says goodbye under id 0 and ends with 0; a running command is no quiet."""
    node.policy["idleSeconds"] = 1
    node.program("squeue", "sleep 2; echo done")
    channel = node.open()
    assert channel.ask("slurm.queue", {"scope": "own"})["stdout"] == "done\n"
    got = channel.read_frame()
    assert got is not None
    assert (got.id, got.type, got.json) == (0, ANSWER, {"ended": "idle"})
    assert channel.read_frame() is None
    assert channel.process.wait(10) == 0


def test_idle_with_half_a_payload(node: Node) -> None:
    """A payload that never comes does not keep a channel; its request is refused, so nothing was done."""
    node.policy["idleSeconds"] = 1
    channel = node.open()
    channel.send(request_frame(1, channel.certificate("slurm.submit", submission(node), b"abc").build(), b"a"))
    got = channel.read_frame()
    assert got is not None
    assert (got.id, got.type, got.json["reason"]) == (1, REFUSED, "busy")
    got = channel.read_frame()
    assert got is not None
    assert got.json == {"ended": "idle"}
    assert list(node.home.iterdir()) == []


def test_age(node: Node) -> None:
    """An old channel finishes what runs, refuses what is new as busy, says goodbye and ends with 0."""
    node.policy["ageSeconds"] = 1
    node.program("squeue", "sleep 2; echo done")
    channel = node.open()
    running = channel.start("slurm.queue", {"scope": "own"})
    time.sleep(1.3)
    for _ in range(12):
        assert channel.refusal(channel.certificate("sys.whoami", {}).build()) == "busy"
    assert channel.finish(running).json["stdout"] == "done\n"
    got = channel.read_frame()
    assert got is not None
    assert (got.id, got.type, got.json) == (0, ANSWER, {"ended": "age"})
    assert channel.process.wait(10) == 0


def test_age_without_anything_running(node: Node) -> None:
    """The common case; a busy client must not keep the channel for ever."""
    node.policy.update(ageSeconds=1, idleSeconds=60)
    channel = node.open()
    got = channel.read_frame()
    assert got is not None
    assert (got.id, got.json) == (0, {"ended": "age"})
    assert channel.process.wait(10) == 0


def test_cancel_a_program(node: Node) -> None:
    """Its whole process group ends; the client gets `cancelled` at once."""
    node.program("squeue", f"(sleep 2; touch {node.scratch}/late) & wait")
    channel = node.open()
    request_id = channel.start("slurm.queue", {"scope": "own"})
    time.sleep(0.3)
    began = time.monotonic()
    channel.send(frame(request_id, CANCEL))
    got = channel.finish(request_id)
    assert (got.type, got.json["kind"]) == (ERROR, "cancelled")
    assert time.monotonic() - began < 1.5
    time.sleep(2.2)
    assert not (node.scratch / "late").exists()
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_cancel_a_payload_and_what_is_over(node: Node) -> None:
    """A request whose payload is still coming is cancelled; one that is over, or never was, is ignored."""
    channel = node.open()
    args = {"path": f"{node.home}/x", "mode": 0o600, "overwrite": False}
    channel.send(request_frame(50, channel.certificate("fs.write", args, b"abc").build(), b"a"))
    channel.send(frame(50, CANCEL))
    assert channel.finish(50).json["kind"] == "cancelled"
    channel.send(frame(50, CANCEL) + frame(51, CANCEL) + frame(50, DATA, b"bc"))
    assert channel.ask("sys.whoami", {})["uid"] == UID
    assert list(node.home.iterdir()) == []


def test_too_many_at_once(node: Node) -> None:
    """Above the limit of the hello: busy, until one is over."""
    node.policy["commandsAtOnce"] = 2
    node.program("squeue", "sleep 1")
    channel = node.open()
    running = [channel.start("slurm.queue", {"scope": "own"}) for _ in range(2)]
    assert channel.refusal(channel.certificate("sys.whoami", {}).build()) == "busy"
    assert {channel.read_frame().id for _ in running} == set(running)  # type: ignore[union-attr]
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_too_much_payload_at_once(node: Node) -> None:
    """A channel holds at most twice the payload of one command, whatever is promised."""
    node.policy["payloadLimit"] = 1000
    channel = node.open()

    def begin(number: int) -> bytes:
        return request_frame(number, channel.certificate("slurm.submit", submission(node), bytes(1000)).build(), b"\0")

    channel.send(begin(100) + begin(101) + begin(102))
    got = channel.read_frame()
    assert got is not None
    assert (got.id, got.json["reason"]) == (102, "busy")


def test_a_client_that_does_not_read(node: Node) -> None:
    """Downloads wait for their reader instead of filling the memory of the node."""
    (node.home / "x").write_bytes(bytes(64 * 1024 * 1024))
    channel = node.open()
    args = {"path": f"{node.home}/x", "offset": 0, "length": 1 << 26}
    request_ids = [channel.start("fs.read", args) for _ in range(4)]
    time.sleep(1)
    status = Path(f"/proc/{channel.process.pid}/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert memory < 100_000  # KiB
    received = dict.fromkeys(request_ids, 0)
    left = set(request_ids)
    while left:
        got = channel.read_frame()
        assert got is not None
        if got.type == DATA:
            received[got.id] += len(got.body)
        else:
            assert got.type == ANSWER
            left.remove(got.id)
    assert set(received.values()) == {1 << 26}


def test_ca_is_changed_in_operation(node: Node) -> None:
    """A new CA counts from the next frame on, an old one no longer; while the file is unsafe, nobody does."""
    channel = node.open()
    old, new = node.ca, ed25519.Ed25519PrivateKey.generate()
    node.ca_file.write_text(public_line(old) + public_line(new))
    for ca in (old, new):
        request_id = channel.next_id()
        channel.send(request_frame(request_id, channel.certificate("sys.whoami", {}, ca=ca).build()))
        assert channel.finish(request_id).type == ANSWER
    node.ca_file.write_text(public_line(new))
    assert channel.refusal(channel.certificate("sys.whoami", {}, ca=old).build()) == "unknown-ca"
    node.ca_file.chmod(0o666)
    assert channel.refusal(channel.certificate("sys.whoami", {}, ca=new).build()) == "unknown-ca"
    node.ca_file.chmod(0o644)
    node.ca = new
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_revocation_in_operation(node: Node) -> None:
    """A serial that is revoked while the channel is open."""
    revoked = node.folder / "revoked"
    revoked.write_text("")
    node.policy["revocationFile"] = str(revoked)
    channel = node.open()
    revoked.write_text("serial: 42\n")
    assert channel.refusal(channel.certificate("sys.whoami", {}, serial=42).build()) == "revoked"
    assert channel.ask("sys.whoami", {})["uid"] == UID


def test_every_step_is_logged(node: Node) -> None:
    """Opening, command, refusal and end, with serial, key id, operation, outcome and time."""
    channel = node.open()
    certificate = channel.certificate("sys.whoami", {}, serial=77, key_id=b"goldcrest/alice/u/trace\x1b[2J\nevent=open")
    channel.send(request_frame(1, certificate.build()))
    channel.finish(1)
    channel.fail("fs.stat", {"path": f"{node.home}/missing", "dereference": True})
    channel._next_id = 5
    channel.refusal(certificate.build())
    channel.end()
    lines = [line.partition("]: ")[2] for line in node.log_lines()]
    assert [line.split()[0] for line in lines] == [
        "event=open",
        "event=command",
        "event=command",
        "event=refused",
        "event=close",
    ]
    for line in lines:
        assert f"sid={channel.hello['sid']}" in line
        assert line.isprintable()
    for word in (
        "serial=77",
        'keyid="goldcrest/alice/u/trace\\u001b[2J\\nevent=open"',
        "op=sys.whoami",
        "outcome=ok",
        "ms=",
    ):
        assert word in lines[1]
    assert "outcome=ENOENT" in lines[2]
    for word in ("reason=replay", "serial=77", "op=sys.whoami"):
        assert word in lines[3]


def test_without_syslog(node: Node) -> None:
    """A missing log socket changes nothing."""
    node.policy["syslogSocket"] = "/nowhere/log"
    assert node.open().ask("sys.whoami", {})["uid"] == UID


def test_payload_form_of_this_module() -> None:
    """The helper that all of this relies on."""
    assert payload_form(b"abc") == {
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "size": 3,
    }


def test_says_how_long_it_took(node: Node) -> None:
    """Beside the result, in microseconds, of what went well and of what failed; and in its log line."""
    channel = node.open()
    for op, args in (("sys.whoami", {}), ("fs.stat", {"path": f"{node.home}/none", "dereference": True})):
        got = channel.call(op, args)
        assert set(got.took) == {"verify", "run"}
        assert 0 < got.took["verify"] < 5_000_000
        assert 0 <= got.took["run"] < 5_000_000
    end = time.monotonic() + 5
    told: list[str] = []
    while len(told) < 2 and time.monotonic() < end:  # the answer comes before the line is read here
        told += [line for line in node.log_lines() if "event=command" in line]
    assert len(told) == 2
    assert all(" verify_ms=" in line for line in told)
