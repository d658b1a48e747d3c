"""What became of everything that was under way: lost, run twice, in another state than without a fault; and the table of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bed import Bed
from faults.works import Batch, Made

_ENDED: Final = ("Succeeded", "Failed", "Cancelled")
_OWN: Final = ("phase", "exitCode", "signal", "array", "cancelRequestedAt")


@dataclass(slots=True)
class Verdict:
    """Of one batch."""

    label: str
    of: int
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.wrong)


@dataclass(frozen=True, slots=True)
class World:
    """What Kubernetes, accounting and the jobs' own traces say, all read at once."""

    resources: Mapping[tuple[str, str], dict[str, Any]]
    slurm: Mapping[str, list[dict[str, str]]]
    """Jobs of the scheduler by their token."""
    runs: Mapping[str, int]
    """How often each job, or element of an array, ran."""

    @classmethod
    def read(cls, bed: Bed, *, runs: str) -> World:
        resources = resources_of(bed)
        slurm: dict[str, list[dict[str, str]]] = {}
        for row in bed.slurm_jobs("goldcrest:"):
            slurm.setdefault(_token_in(row), []).append(row)
        lines = bed.node("grep", "-rc", "^ran$", runs, check=False).splitlines()
        found = dict(line.rsplit("/", 1)[1].rsplit(":", 1) for line in lines)
        return cls(resources, slurm, {name: int(number) for name, number in found.items()})

    def end_of(self, made: Made) -> dict[str, Any]:
        """The end that all of a role share: without ids, times and words that have such in them."""
        raw = self.resources.get((made.kind, made.name))
        if raw is None:
            return {"gone": True, "runs": self._runs_of(made.ran_as or made.name)}
        status = raw.get("status", {})
        end = {key: status[key] for key in _OWN if key in status}
        if "cancelRequestedAt" in end:
            end["cancelRequestedAt"] = True
        end["conditions"] = sorted(
            (condition["type"], condition["status"], condition.get("reason", ""))
            for condition in status.get("conditions", [])
        )
        end["dependencies"] = [one.get("state") for one in status.get("dependencies", [])]
        end["generation"] = status.get("observedGeneration") == raw["metadata"]["generation"]
        return {**end, "runs": self._runs_of(made.ran_as or made.name)}

    def _runs_of(self, name: str) -> dict[str, int]:
        return {
            file.removeprefix(name): number
            for file, number in self.runs.items()
            if file == name or file.startswith(f"{name}.")
        }


def resources_of(bed: Bed) -> dict[tuple[str, str], dict[str, Any]]:
    """alice's Jobs and Tasks, by kind and name."""
    listed = bed.kubectl("get", "gjob,gtask", "-n", bed.namespace("alice"), "-o", "json")
    assert listed.returncode == 0, listed.stderr
    return {(item["kind"], item["metadata"]["name"]): item for item in json.loads(listed.stdout)["items"]}


def unfinished(batches: Iterable[Batch], resources: Mapping[tuple[str, str], dict[str, Any]]) -> list[str]:
    """What has not come to its end yet: ``name: where it is``."""
    left = []
    for batch in batches:
        for made in batch.made:
            raw = resources.get((made.kind, made.name))
            phase = raw.get("status", {}).get("phase") if raw is not None else None
            if batch.kind == "delete" and raw is not None:
                left.append(f"{made.name}: {phase}, to be deleted")
            elif batch.kind != "delete" and raw is not None and phase not in _ENDED:
                left.append(f"{made.name}: {phase}, {raw.get('status', {}).get('message')}")
    return left


def judge(batch: Batch, world: World, *, reference: Mapping[str, dict[str, Any]], tokens: Mapping[str, str]) -> Verdict:
    """Each ran once, none is lost, and the end is that of the run without a fault.

    Args:
        reference: the end of each role when nobody was killed.
        tokens: of Jobs whose resource is deleted, which submission was theirs.
    """
    verdict = Verdict(batch.label, len(batch.made))
    for made in batch.made:
        raw = world.resources.get((made.kind, made.name))
        end, expected = world.end_of(made), reference[made.role]
        runs, wanted = Counter(end["runs"]), Counter(expected["runs"])
        if runs - wanted:
            verdict.twice.append(f"{made.name} ran {dict(runs)}, and {dict(wanted)} without a fault")
        if (raw is None) != ("gone" in expected) or wanted - runs:
            verdict.lost.append(f"{made.name}: {end}, and {expected} without a fault")
        elif end != expected:
            verdict.wrong.append(f"{made.name}: {end}, and {expected} without a fault")
        if made.kind == "Job":
            status = (raw or {}).get("status", {})
            token = status.get("submission", {}).get("token") or tokens.get(made.name, "")
            _judge_in_slurm(verdict, made, world.slurm.get(token, []), status.get("jobId"))
    return verdict


def _judge_in_slurm(verdict: Verdict, made: Made, rows: list[dict[str, str]], job_id: str | None) -> None:
    """Of all jobs of the scheduler with one token, one counts; another was held all its life, and is cancelled."""
    by_base: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_base.setdefault(row["JobID"].partition("_")[0], []).append(row)
    if job_id is None and by_base:
        job_id = min(by_base, key=int)  # of a resource that is gone
    if job_id is None or job_id not in by_base:
        verdict.lost.append(f"{made.name}: accounting has no job {job_id} of its token")
    for base, of_base in by_base.items():
        states = {row["State"].split()[0] for row in of_base}
        if states & {"PENDING", "RUNNING"}:
            verdict.wrong.append(f"{made.name}: job {base} is still {', '.join(sorted(states))}")
        began = [row for row in of_base if row["ElapsedRaw"] != "0" or row["State"].split()[0] != "CANCELLED"]
        if base != job_id and began:
            verdict.twice.append(f"{made.name}: job {base} ran beside {job_id}")


def _token_in(row: Mapping[str, str]) -> str:
    for text in (row["Comment"], row["SubmitLine"]):
        _, found, rest = text.partition("goldcrest:")
        if found:
            return f"{found}{rest.split()[0]}"
    return ""


def table(verdicts: Iterable[tuple[str, Verdict]]) -> str:
    """Figures for people: a line for each point, and the sum."""
    rows = [
        (point, verdict.of, len(verdict.lost), len(verdict.twice), len(verdict.wrong)) for point, verdict in verdicts
    ]
    sums = tuple(sum(row[column] for row in rows) for column in range(1, 5))
    width = max(len(row[0]) for row in rows)
    lines = [f"{'process, and where it died':{width}} {'under way':>9} {'lost':>5} {'twice':>5} {'wrong':>5}"]
    lines += [
        f"{name:{width}} {of:9} {lost:5} {twice:5} {wrong:5}"
        for name, of, lost, twice, wrong in (*rows, ("all", *sums))
    ]
    return "\n".join(lines)
