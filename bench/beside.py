"""What benches of many users put beside the bed, for their time: accounts on its node, and a delegation and a gateway that trust an issuer of
the bench's own, which gives each of them a token."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from blocking import USER, Target, free_port, until_listening
from component.admission.issuer import Issuer

FIRST_UID = 50_000


@contextmanager
def many_users(
    facts: dict[str, Any], target: Target, number: int, folder: Path, *, seconds: float = 3600, metrics_port: int = 0
) -> Iterator[tuple[Target, dict[str, Target]]]:
    """Users of the bench's own, before a gateway and a delegation of its own: where they are, and the same as each of them by name.

    Args:
        folder: for what is made.
        seconds: that their tokens live.
    """
    with ExitStack() as stack:
        folders = stack.enter_context(accounts(facts, number))
        issuer = Issuer(folder, systems=f'["{target.system}"]')
        delegation, url = stack.enter_context(own_delegation(target, issuer, folder))
        gateway, api = stack.enter_context(own_gateway(target, issuer, url, metrics_port=metrics_port))
        pids = {"gateway": gateway, "delegation": delegation, "OPA": target.pids["OPA"]}
        own = replace(target, gateway=api, pids=pids)
        end = int(time.time() + seconds)
        yield own, {name: replace(own, token=issuer.token(name, exp=end), path=path) for name, path in folders.items()}


@contextmanager
def own_delegation(target: Target, issuer: Issuer, folder: Path) -> Iterator[tuple[int, str]]:
    """One as the running one, which trusts the bench's own issuer; its pid and URL."""
    socket = folder / "delegation.sock"
    changes = {
        "GOLDCREST_DELEGATION_IDENTITY_FILE": str(issuer.identity_file),
        "GOLDCREST_DELEGATION_AUDIT_FILE": str(folder / "audit.jsonl"),
        "GOLDCREST_DELEGATION_METRICS_PORT": "0",
        "GOLDCREST_DELEGATION_LISTEN_SOCKET": str(socket),
    }
    without = ("LISTEN_ADDRESS", "LISTEN_PORT", "TLS_CERT", "TLS_KEY")
    environment = _environment(target.pids["delegation"])
    for name in without:
        environment.pop(f"GOLDCREST_DELEGATION_{name}", None)
    with _process(["goldcrest-delegation", "serve"], environment | changes) as pid:
        for _ in range(400):
            if socket.exists():
                break
            time.sleep(0.05)
        yield pid, f"unix:{socket}"


@contextmanager
def own_gateway(target: Target, issuer: Issuer, delegation: str, *, metrics_port: int = 0) -> Iterator[tuple[int, str]]:
    """One as the running one, before that delegation; its pid and URL."""
    port = free_port()
    changes = {
        "GOLDCREST_API_IDENTITY_FILE": str(issuer.identity_file),
        "GOLDCREST_API_LISTEN__METRICS_PORT": str(metrics_port),
        "GOLDCREST_API_DELEGATION__URL": delegation,
        "GOLDCREST_API_LISTEN__HOST": "127.0.0.1",
        "GOLDCREST_API_LISTEN__PORT": str(port),
    }
    with _process(["goldcrest-api"], _environment(target.pids["gateway"]) | changes) as pid:
        until_listening(port)
        time.sleep(2)  # its caches are filled
        yield pid, f"http://127.0.0.1:{port}"


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)


@contextmanager
def _process(argv: list[str], environment: dict[str, str]) -> Iterator[int]:
    program = str(Path(sys.executable).with_name(argv[0]))
    with subprocess.Popen([program, *argv[1:]], env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


_MAKE = """
import os, shutil, sys
number, uid, scratch = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
names = ["gb%04d" % n for n in range(number)]
files = {"/etc/passwd": "{0}:x:{1}:{1}::/tmp:/bin/bash", "/etc/group": "{0}:x:{1}:", "/etc/shadow": "{0}:*:19000:0:99999:7:::"}
for path, line in files.items():
    kept = [each for each in open(path).read().splitlines() if each[:2] != "gb"]
    new = kept + [line.format(name, uid + n) for n, name in enumerate(names)]
    with open(path + ".bench", "w") as file:
        file.write("\\n".join(new) + "\\n")
    shutil.copystat(path, path + ".bench")
    os.chown(path + ".bench", os.stat(path).st_uid, os.stat(path).st_gid)
    os.rename(path + ".bench", path)
for name in os.listdir(scratch):
    if name[:2] == "gb" and name[2:].isdigit():
        shutil.rmtree(os.path.join(scratch, name))
for n, name in enumerate(names):
    os.mkdir(os.path.join(scratch, name), 0o700)
    os.chown(os.path.join(scratch, name), uid + n, uid + n)
print(" ".join(names))
"""


@contextmanager
def accounts(facts: dict[str, Any], number: int) -> Iterator[dict[str, str]]:
    """Unix users on the node, each with its folder, for the time of the run."""
    container = facts["container"]
    scratch = str(Path(facts["users"][USER]["scratch"]).parent)
    argv = [*container["command"], "exec", "-i", container["name"], "python3", "-"]

    def make(number: int) -> list[str]:
        done = subprocess.run(
            [*argv, str(number), str(FIRST_UID), scratch], input=_MAKE, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"the accounts cannot be made: {done.stderr}")
        return done.stdout.split()

    names = make(number)
    try:
        yield {name: f"{scratch}/{name}" for name in names}
    finally:
        make(0)
