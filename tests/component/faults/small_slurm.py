"""The small Slurm on a login node, as a test arranges it and looks at it."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from component.plain_node.machine import Machine

FOLDER = "/opt/batch"
PROGRAMS = ("sbatch", "squeue", "scontrol", "sacct", "scancel")


class SmallSlurm:
    """Jobs of a node, and what goes wrong there; a job runs for ``seconds`` from its release."""

    def __init__(self, machine: Machine) -> None:
        self._folder = machine.path(FOLDER)
        for name in ("", "jobs", "faults", "bin"):
            (self._folder / name).mkdir()
            (self._folder / name).chmod(0o777)
        for program in PROGRAMS:
            shutil.copy(Path(__file__).with_name("batch_program.py"), self._folder / "bin" / program)
            (self._folder / "bin" / program).chmod(0o755)
        for name, text in (("next", "100"), ("calls", "")):
            self._write(name, text)
        policy = machine.path("/etc/goldcrest/ssh-filter.json")
        changed = json.loads(policy.read_text())
        changed["environment"]["PATH"] = f"{FOLDER}/bin:/usr/bin:/bin"
        changed["commandSeconds"] = 5  # an sbatch that hangs is given up after this
        policy.write_text(json.dumps(changed))

    def jobs(self) -> list[dict[str, Any]]:
        """All that were ever submitted, oldest first."""
        found = [json.loads(path.read_text()) for path in (self._folder / "jobs").glob("*.json")]
        return sorted(found, key=lambda job: job["id"])

    def carrying(self, token: str) -> list[dict[str, Any]]:
        return [job for job in self.jobs() if job["token"] == token]

    def runs(self) -> dict[str, int]:
        """By token: how often it was let run."""
        found: defaultdict[str, int] = defaultdict(int)
        for job in self.jobs():
            found[job["token"]] += job["start"] is not None
        return dict(found)

    def run_for(self, seconds: float) -> None:
        """How long jobs run that are submitted from now on."""
        self._write("seconds", json.dumps(seconds))

    def forget_after(self, seconds: float) -> None:
        """MinJobAge."""
        self._write("min_job_age", json.dumps(seconds))

    def clock_off(self, seconds: float) -> None:
        self._write("skew", json.dumps(seconds))

    def end_all(self) -> None:
        """Whatever runs is over now."""
        for path in (self._folder / "jobs").glob("*.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 0}))

    def calls(self) -> list[str]:
        return (self._folder / "calls").read_text().split()

    @contextmanager
    def fault(self, kind: str, *programs: str, seconds: float = 0) -> Iterator[None]:
        """These programs go wrong in this way until the end."""
        with ExitStack() as stack:
            for program in programs:
                stack.enter_context(self.faults(program, [kind], seconds=seconds, for_ever=True))
            yield

    @contextmanager
    def faults(
        self, program: str, kinds: Sequence[str], *, seconds: float = 0, for_ever: bool = False
    ) -> Iterator[None]:
        """A program goes wrong once in each of these ways, one after the other; or in the first of them for ever."""
        what = {"kinds": list(kinds), "seconds": seconds, "forEver": for_ever}
        self._write(f"faults/{program}", json.dumps(what))
        try:
            yield
        finally:
            (self._folder / "faults" / program).unlink()

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)
        (self._folder / name).chmod(0o666)
