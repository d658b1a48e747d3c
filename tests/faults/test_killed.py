"""kill -9 of every process at every step: nothing is lost, nothing runs twice, and the end is that of a run without a fault.

Two series of tests: first each process dies at each of its points, with at least ten resources under way; then, when all is over, what was
under way at each point is judged. The last one prints the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bed import Bed
from faults.campaign import DELEGATION, FILTER, GATEWAY, OPERATOR, Campaign
from faults.ledger import Verdict, table
from faults.nodes import faulty_filter
from faults.portals import Portal
from faults.works import LONG, SIZE, Batch, Kind

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900 + 60 * SIZE)]


@dataclass(frozen=True, slots=True)
class Row:
    """A process dies at a point while such things are under way. ``again``: only in the long run, as the point has its turn elsewhere."""

    process: str
    point: str
    work: Kind
    again: bool = False

    def __str__(self) -> str:
        return f"{self.process} {self.point} ({self.work})"


def _rows(process: str, work: Kind, *points: str, again: bool = False) -> list[Row]:
    return [Row(process, point, work, again) for point in points]


OPERATOR_ROWS = [
    *_rows(OPERATOR, "cancel", "before-cancel", "after-cancel"),
    *_rows(OPERATOR, "cancel", "before-end", "after-end", again=True),
    *_rows(OPERATOR, "delete", "before-finalizer-removal", "after-finalizer-removal"),
    *_rows(OPERATOR, "delete", "before-cancel", "after-cancel", again=True),
    *_rows(OPERATOR, "hold", "before-hold", "after-hold"),
    *_rows(OPERATOR, "run", "before-intent", "after-intent", "before-submit", "after-submit", "after-persist"),
    *_rows(OPERATOR, "run", "before-persist", "before-release", "after-release", again=True),
    *_rows(OPERATOR, "run", "before-status", "after-status", "end-seen", "before-end", "after-end"),
    *_rows(OPERATOR, "tasks", "before-task-begin", "after-task-begin", "after-task-carry", "after-task-end"),
    *_rows(OPERATOR, "tasks", "before-task-carry", "before-task-end", again=True),
]
RESUMED = ("before-release", "after-release")
"""Where the operator dies while the first two batches that it held are let go."""
DELEGATION_ROWS = [
    *_rows(DELEGATION, "run", *(f"{when}/slurm.submit" for when in ("before-signing", "after-signing", "after-audit"))),
    *_rows(DELEGATION, "run", "after-audit/slurm.release", again=True),
    *_rows(DELEGATION, "cancel", "after-audit/slurm.cancel", again=True),
]
PORTAL_ROWS = [
    *_rows(DELEGATION, "run", "before-grant/job.create", "after-grant/job.create"),
    *_rows(GATEWAY, "run", "after-grant/Job", "after-write/Job"),
    *_rows(GATEWAY, "cancel", "after-grant/cancel", "after-write/cancel"),
    *_rows(GATEWAY, "tasks", "after-grant/Task", "after-write/Task"),
]
FILTER_ROWS = [
    *_rows(FILTER, "run", *(f"{when}-verification@slurm.submit" for when in ("before", "after"))),
    *_rows(FILTER, "run", "before-exec@slurm.submit", "after-exec@slurm.submit", "before-answer@slurm.submit"),
    *_rows(FILTER, "run", "before-answer@slurm.release"),
    *_rows(FILTER, "cancel", "before-exec@slurm.cancel", "before-answer@slurm.cancel"),
]
ROWS = [row for row in (*OPERATOR_ROWS, *DELEGATION_ROWS, *PORTAL_ROWS, *FILTER_ROWS) if LONG or not row.again]


def of(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [row for row in rows if row in ROWS], ids=str)


class Series:
    """The campaign, and which batch belongs to which row."""

    def __init__(self, bed: Bed) -> None:
        self.campaign = Campaign(bed)
        self.batches: dict[Row, Batch] = {}
        self.reference: dict[str, Batch] = {}

    def prepare(self) -> None:
        """What waits in the queue for its row, and one batch of each kind that nothing happens to."""
        campaign, works = self.campaign, self.campaign.works
        campaign.calm()
        kinds: tuple[Kind, ...] = ("cancel", "delete", "hold")
        for kind in kinds:
            self.reference[kind] = campaign.make(works.waiting(campaign.label(), kind, one_runs=kind != "hold"))
        self.reference["run"] = campaign.make(works.run(campaign.label()))
        self.reference["tasks"] = campaign.make(self.tasks())
        rows = [row for row in ROWS if row.work in kinds and row.process != GATEWAY]
        for row in rows:
            one_runs = row.work != "hold" and not row.again  # there are twelve processors
            self.batches[row] = campaign.make(works.waiting(campaign.label(), row.work, one_runs=one_runs))
        waiting = [*(self.reference[kind] for kind in kinds), *(self.batches[row] for row in rows)]
        campaign.until_queued(waiting, seconds=campaign.patience())
        for kind in kinds:
            campaign.wish(self.reference[kind])
        campaign.until_held([self.reference["hold"]])
        campaign.resume(self.reference["hold"])
        others = [batch for kind, batch in self.reference.items() if kind != "hold"]
        campaign.until_ended(others, seconds=campaign.patience())

    def tasks(self) -> Batch:
        return self.campaign.works.tasks(self.campaign.label(), self.campaign.foreign(max(SIZE, 7)))

    def begin(self, row: Row) -> None:
        """Have it under way that the row's process dies in."""
        campaign = self.campaign
        if row in self.batches:
            campaign.wish(self.batches[row])
        else:
            batch = self.tasks() if row.work == "tasks" else campaign.works.run(campaign.label())
            self.batches[row] = campaign.make(batch)


@pytest.fixture(scope="module")
def series(bed: Bed) -> Iterator[Series]:
    series = Series(bed)
    try:
        series.prepare()
        bed.faults.kill(OPERATOR)  # its successor is the first that has a point
        yield series
    finally:
        for process in (DELEGATION, OPERATOR, GATEWAY):
            bed.faults.restart(process)


@of(OPERATOR_ROWS)
def test_operator_dies(series: Series, row: Row) -> None:
    """With nobody there, much is asked for; an operator comes, finds what its predecessors left, and dies at the point."""
    series.begin(row)
    series.campaign.die(OPERATOR, row.point)


@pytest.mark.parametrize("point", RESUMED)
def test_operator_dies_letting_go(series: Series, point: str) -> None:
    """What was held while operators died is held; it is let go while others die."""
    held = [batch for row, batch in series.batches.items() if row.work == "hold"]
    if point == RESUMED[0]:
        series.campaign.calm()
        series.campaign.until_held(held)
        series.campaign.bed.faults.kill(OPERATOR)
    series.campaign.resume(held[RESUMED.index(point)])
    series.campaign.die(OPERATOR, point)


@of(DELEGATION_ROWS)
def test_delegation_dies(series: Series, row: Row) -> None:
    """The operator, which lives, asks again until the next delegation is there."""
    campaign = series.campaign
    if not campaign.bed.faults.alive(OPERATOR):
        campaign.calm()
    series.begin(row)
    campaign.die(DELEGATION, row.point)


@of(PORTAL_ROWS)
def test_a_request_dies(series: Series, row: Row) -> None:
    """Clients whose requests got no answer, or none that helps, send them again with the same Idempotency-Key."""
    campaign = series.campaign
    for process in (DELEGATION, OPERATOR):
        if not campaign.bed.faults.alive(process):
            campaign.calm(process)
    portal = Portal(campaign, number=max(SIZE, 10))
    match row.work:
        case "run":
            batch = portal.dies_while_submitting(row.process, row.point)
        case "cancel":
            batch = portal.dies_while_cancelling(row.process, row.point)
        case _:
            batch = portal.dies_while_asking(row.process, row.point)
    series.batches[row] = batch


@of(FILTER_ROWS)
def test_filter_dies(series: Series, row: Row) -> None:
    """It dies with all commands of its channel; what became of each is found out on another."""
    campaign = series.campaign
    for process in (DELEGATION, OPERATOR, GATEWAY):
        if not campaign.bed.faults.alive(process):
            campaign.calm(process)
    with faulty_filter(campaign.bed) as filter_:
        filter_.arm(row.point)
        series.begin(row)
        filter_.until_struck(row.point)


def test_all_come_to_their_end(series: Series) -> None:
    """With ordinary processes, and the gate open."""
    campaign = series.campaign
    for process in (DELEGATION, OPERATOR, GATEWAY):
        if not campaign.bed.faults.alive(process):
            campaign.calm(process)
    campaign.open_gate()
    campaign.settle(seconds=campaign.patience())


def verdict(series: Series, row: Row) -> Verdict:
    return series.campaign.verdict(series.batches[row].label, reference=series.reference[row.work].label)


@of(ROWS)
def test_each_once(series: Series, row: Row) -> None:
    """Each ran once, none is lost, and the end of each is that of its like that nothing happened to."""
    found = verdict(series, row)
    assert found.good, found


def test_nothing_is_written_again(series: Series) -> None:
    """A new operator looks at everything that is over, and writes nothing."""
    assert series.campaign.writes_of_another_look() == []


def test_figures(series: Series, capsys: pytest.CaptureFixture[str]) -> None:
    """The table; and enough was under way for it to say something."""
    found = [(str(row), verdict(series, row)) for row in ROWS]
    with capsys.disabled():
        print(f"\n{table(found)}")
    assert min(one.of for _, one in found) >= 10
    assert sum(one.of for _, one in found) >= 200
