"""Processes that outlive the program that started them, known by pid *and* start time.

A pid alone is reused: after a reboot, or on a busy machine within hours. The kernel's start time (clock ticks since
boot, proc(5) field 22) together with the boot id names one process for good.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")
OWN_ROOT = PROC / "self" / "root"
# In the environment of every process of the bed: finds those whose record was lost.
MARK = "GOLDCREST_BED_PROCESS"


@dataclass(frozen=True)
class ProcessRecord:
    """One process as it was started; ``digest`` stands for what it was started with."""

    pid: int
    start_ticks: int
    boot_id: str
    digest: str

    def alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return self.boot_id == boot_id() and start_ticks(self.pid) == self.start_ticks

    def save(self, path: Path) -> None:
        """Write atomically."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.rename(path)

    @classmethod
    def load(cls, path: Path) -> ProcessRecord | None:
        """What was saved; None where there is nothing or something broken."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def boot_id() -> str:
    """The kernel's name for this boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of ``pid``; None if it is gone or a zombie."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text())
    except OSError:
        return None


def parse_stat(text: str) -> int | None:
    """Start time from a line of /proc/<pid>/stat; None for a zombie.

    The second field is the program's name in parentheses and may itself hold blanks and parentheses, so fields are
    counted from the last one that closes.
    """
    fields = text[text.rindex(")") + 1 :].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, log: Path, mark: str, digest: str
) -> ProcessRecord:
    """Start a process in a session of its own, with its output in ``log`` (the former log is kept as ``.1``).

    :param mark: says whose process it is, for :func:`marked`.
    """
    if log.exists() and log.stat().st_size:
        log.replace(log.with_name(log.name + ".1"))
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**env, MARK: mark},
            cwd=cwd,
            start_new_session=True,
        )
    child.returncode = 0  # it is meant to outlive us: no ResourceWarning
    return ProcessRecord(pid=child.pid, start_ticks=start_ticks(child.pid) or 0, boot_id=boot_id(), digest=digest)


def marked(mark: str) -> Iterator[int]:
    """Pids of running processes whose environment carries a mark that begins with ``mark``."""
    wanted = f"{MARK}={mark}".encode()
    for folder in PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if not (folder / "root").samefile(OWN_ROOT):
                    continue  # of another root file system (a container, a chroot) with the same paths
                entries = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(entry.startswith(wanted) for entry in entries) and start_ticks(int(folder.name)) is not None:
                yield int(folder.name)


def end(pid: int, *, grace: float = 10.0, first: signal.Signals = signal.SIGTERM) -> None:
    """End a process and its group: TERM (or ``first``), after ``grace`` seconds KILL; returns when it is gone."""
    ticks = start_ticks(pid)
    if ticks is None:
        return
    for number, seconds in ((first, grace), (signal.SIGKILL, 5.0)):
        _signal(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            _reap(pid)
            if start_ticks(pid) != ticks:
                return
            time.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
