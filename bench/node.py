"""What the login node spends: CPU and memory of the processes below one sshd, looked at from the machine that the node runs on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int, *, children: bool = False) -> float:
    """User and system time of a process (proc(5): fields 14 and 15), with its reaped children's on demand (16 and 17)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11 : 15 if children else 13])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Tree:
    """An sshd that listens, and everything below it."""

    pid: int

    def pids(self) -> Iterator[int]:
        """All that live now, the listener first."""
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            try:
                waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue

    def cpu_seconds(self) -> float:
        """So far, with what has ended."""
        return sum(cpu_seconds(pid, children=True) for pid in self.pids())

    def sessions(self) -> int:
        """Connections that are open: sshd's own children."""
        return len(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())

    def memory_bytes(self) -> int:
        """Proportional set size of all but the listener: what each page costs, shared ones divided among who shares them."""
        return sum(_proportional(pid) for pid in self.pids() if pid != self.pid)


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def listeners(facts: dict[str, Any]) -> tuple[Tree, Tree]:
    """The site's sshd and the dedicated one in the bed's container."""
    container = facts["container"]
    inspect = [*container["command"], "container", "inspect", "-f", "{{.State.Pid}}", container["name"]]
    init = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    space = Path(f"/proc/{init}/ns/pid").readlink()
    found: dict[bool, Tree] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if "sshd" in title and "[listener]" in title and (folder / "ns/pid").readlink() == space:
                found["sshd_goldcrest_config" in title] = Tree(int(folder.name))
        except OSError:
            continue
    if set(found) != {False, True}:
        raise SystemExit("the node's two sshd are not running; `make bed-up` repairs the bed")
    return found[False], found[True]
