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
    """A batch, and the points at which a process dies in turn while it is under way. ``again``: points that have their turn elsewhere."""

    process: str
    points: tuple[str, ...]
    work: Kind
    again: bool = False

    def __str__(self) -> str:
        return f"{self.process}: {', '.join(self.points)} ({self.work})"

    def alone(self) -> list[Row]:
        """A row for each point, with a batch of its own."""
        return [Row(self.process, (point,), self.work, self.again) for point in self.points]


_HOLD = Row(OPERATOR, ("before-hold", "after-hold"), "hold")
_LET_GO = ("before-release", "after-release")
"""Where operators die while what ``_HOLD`` held is let go."""
_ROWS = [
    Row(OPERATOR, ("before-cancel", "after-cancel"), "cancel"),
    Row(OPERATOR, ("before-end", "after-end"), "cancel", again=True),
    Row(OPERATOR, ("before-finalizer-removal", "after-finalizer-removal"), "delete"),
    Row(OPERATOR, ("before-cancel", "after-cancel"), "delete", again=True),
    _HOLD,
    Row(OPERATOR, ("before-intent", "after-intent", "before-submit", "after-submit", "after-persist"), "run"),
    Row(OPERATOR, ("before-persist", "before-release", "after-release"), "run", again=True),
    Row(OPERATOR, ("before-status", "after-status", "end-seen", "before-end", "after-end"), "run"),
    Row(OPERATOR, ("before-task-begin", "after-task-begin", "after-task-carry", "after-task-end"), "tasks"),
    Row(OPERATOR, ("before-task-carry", "before-task-end"), "tasks", again=True),
    Row(DELEGATION, ("before-signing/slurm.submit", "after-signing/slurm.submit", "after-audit/slurm.submit"), "run"),
    Row(DELEGATION, ("after-audit/slurm.release",), "run", again=True),
    Row(DELEGATION, ("after-audit/slurm.cancel",), "cancel", again=True),
    Row(DELEGATION, ("after-audit/slurm.cancel",), "delete", again=True),
    Row(DELEGATION, ("after-audit/slurm.queue", "after-audit/slurm.describe"), "run", again=True),
    *Row(DELEGATION, ("before-grant/job.create", "after-grant/job.create"), "run").alone(),
    *Row(GATEWAY, ("after-grant/Job", "after-write/Job"), "run").alone(),
    *Row(GATEWAY, ("after-grant/cancel", "after-write/cancel"), "cancel").alone(),
    *Row(GATEWAY, ("after-grant/Task", "after-write/Task"), "tasks").alone(),
    Row(
        FILTER,
        (
            "before-verification@slurm.submit",
            "after-verification@slurm.submit",
            "before-exec@slurm.submit",
            "after-exec@slurm.submit",
            "before-answer@slurm.submit",
            "before-answer@slurm.release",
        ),
        "run",
    ),
    Row(FILTER, ("before-exec@slurm.cancel", "before-answer@slurm.cancel"), "cancel"),
    Row(
        FILTER,
        ("before-exec@slurm.queue", "before-answer@slurm.queue", "before-answer@slurm.describe"),
        "run",
        again=True,
    ),
]
ROWS = [alone for row in _ROWS for alone in row.alone()] if LONG else [row for row in _ROWS if not row.again]
_WAITING: tuple[Kind, ...] = ("cancel", "delete", "hold")
"""What is in the queue before its row has its turn."""


def _is_a_request(row: Row) -> bool:
    return row.process == GATEWAY or "grant" in row.points[0]


def of(process: str, *, requests: bool = False) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "row",
        [row for row in ROWS if requests == _is_a_request(row) and (requests or row.process == process)],
        ids=str,
    )


class Series:
    """The campaign, and which batch belongs to which row."""

    def __init__(self, bed: Bed, rows: set[Row]) -> None:
        self.campaign = Campaign(bed)
        self.rows = [row for row in ROWS if row in rows]
        self.batches: dict[Row, Batch] = {}
        self.reference: dict[str, Batch] = {}

    def prepare(self) -> None:
        """What waits in the queue for its row, and one batch of each kind that nothing happens to."""
        campaign, works = self.campaign, self.campaign.works
        campaign.calm_all()
        wanted = {row.work for row in self.rows}
        kinds = [kind for kind in _WAITING if kind in wanted]
        for kind in kinds:
            batch = works.waiting(campaign.label(), kind, one_runs=kind != "hold", size=1)
            self.reference[kind] = campaign.make(batch)
        for kind in wanted - {*kinds}:
            batch = works.run(campaign.label(), size=1) if kind == "run" else self.tasks(1)
            self.reference[kind] = campaign.make(batch)
        rows = [row for row in self.rows if row.work in kinds and not _is_a_request(row)]
        for row in rows:
            one_runs = row.work != "hold" and not row.again  # there are twelve processors
            self.batches[row] = campaign.make(works.waiting(campaign.label(), row.work, one_runs=one_runs))
        waiting = [*(self.reference[kind] for kind in kinds), *(self.batches[row] for row in rows)]
        campaign.until_queued(waiting, seconds=campaign.patience())
        for kind in kinds:
            campaign.wish(self.reference[kind])
        if "hold" in wanted:
            campaign.until_held([self.reference["hold"]])
            campaign.resume(self.reference["hold"])
        others = [batch for kind, batch in self.reference.items() if kind != "hold"]
        campaign.until_ended(others, seconds=campaign.patience())

    def tasks(self, number: int) -> Batch:
        return self.campaign.works.tasks(self.campaign.label(), self.campaign.foreign(number))

    def begin(self, row: Row) -> None:
        """Have it under way that the row's process dies in."""
        campaign = self.campaign
        if row in self.batches:
            campaign.wish(self.batches[row])
        else:
            batch = self.tasks(max(SIZE, 10)) if row.work == "tasks" else campaign.works.run(campaign.label())
            self.batches[row] = campaign.make(batch)


@pytest.fixture(scope="module")
def series(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Series]:
    series = Series(
        bed,
        {
            row
            for item in request.session.items
            if isinstance(row := getattr(item, "callspec", None) and item.callspec.params.get("row"), Row)
        },
    )
    try:
        series.prepare()
        bed.faults.kill(OPERATOR)  # its successor is the first that has a point
        yield series
    finally:
        for process in (DELEGATION, OPERATOR, GATEWAY):
            bed.faults.restart(process)


@of(OPERATOR)
def test_operator_dies(series: Series, row: Row) -> None:
    """With nobody there, much is asked for; operators come, find what their predecessors left, and die one after another."""
    series.begin(row)
    for point in row.points:
        series.campaign.die(OPERATOR, point)


def test_operator_dies_letting_go(series: Series) -> None:
    """What was to be held while operators died is held; it is let go while others die."""
    campaign = series.campaign
    held = [batch for row, batch in series.batches.items() if row.work == "hold"]
    campaign.calm_all()
    campaign.until_held(held)
    campaign.bed.faults.kill(OPERATOR)
    for batch in held:
        campaign.resume(batch)
    for point in _LET_GO:
        campaign.die(OPERATOR, point)


@of(DELEGATION)
def test_delegation_dies(series: Series, row: Row) -> None:
    """The operator, which lives, asks again until the next delegation is there."""
    campaign = series.campaign
    campaign.calm_all()
    campaign.bed.faults.kill(DELEGATION)
    series.begin(row)
    for point in row.points:
        campaign.die(DELEGATION, point)


@of(FILTER)
def test_filter_dies(series: Series, row: Row) -> None:
    """It dies with all commands of its channel; what became of each is found out on another, where the next filter dies.

    Where it had left its mark and sbatch was not started, 75 seconds pass until sbatch is tried again: what follows fills them.
    """
    series.campaign.calm_all()
    with faulty_filter(series.campaign.bed) as filter_:
        filter_.arm(row.points)
        series.begin(row)
        filter_.until_struck()


@of(GATEWAY, requests=True)
def test_a_request_dies(series: Series, row: Row) -> None:
    """Clients whose requests got no answer, or none that helps, send them again with the same Idempotency-Key."""
    campaign = series.campaign
    campaign.calm_all()
    portal = Portal(campaign, number=max(SIZE, 10))
    (point,) = row.points
    match row.work:
        case "run":
            batch = portal.dies_while_submitting(row.process, point)
        case "cancel":
            batch = portal.dies_while_cancelling(row.process, point)
        case _:
            batch = portal.dies_while_asking(row.process, point)
    series.batches[row] = batch


def test_all_come_to_their_end(series: Series) -> None:
    """With ordinary processes, and the gate open."""
    campaign = series.campaign
    campaign.calm_all()
    campaign.open_gate()
    campaign.settle(seconds=campaign.patience())


def verdict(series: Series, row: Row) -> Verdict:
    return series.campaign.verdict(series.batches[row].label, reference=series.reference[row.work].label)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_once(series: Series, row: Row) -> None:
    """Each ran once, none is lost, and the end of each is that of its like that nothing happened to."""
    found = verdict(series, row)
    assert found.good, found


def test_nothing_is_written_again(series: Series) -> None:
    """A new operator looks at everything that is over, and writes nothing."""
    assert series.campaign.writes_of_another_look() == []


def test_figures(series: Series, capsys: pytest.CaptureFixture[str]) -> None:
    """The table; and enough was under way for it to say something."""
    found = [(str(row), verdict(series, row)) for row in series.rows]
    with capsys.disabled():
        print(f"\n{table(found)}")
    assert min(one.of for _, one in found) >= 10
    if LONG and series.rows == ROWS:
        assert sum(one.of for _, one in found) >= 200
