"""Two operators of one shard at once: one acts, the other waits; and one that was frozen while it acted does no harm when it wakes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator

import pytest

from bed import Bed
from faults.campaign import OPERATOR, SHORT_LEASE, Campaign, armed
from faults.ledger import Verdict, table
from faults.works import LONG, SIZE, Batch
from goldcrest_bed.component import HostProcess, tcp_ready

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600 + 30 * SIZE)]

FROZEN = ["before-submit", "after-submit", *(["before-intent", "before-persist", "before-release"] if LONG else [])]
_PORT = 28111


class Pair:
    """Two operators, and the batch that nothing happened to."""

    def __init__(self, bed: Bed, campaign: Campaign, reference: Batch) -> None:
        self.bed = bed
        self.campaign = campaign
        self.reference = reference
        first = bed.faults.components[OPERATOR]
        assert isinstance(first, HostProcess)
        self.first = first
        others = {"GOLDCREST_OPERATOR_HEALTH_PORT": str(_PORT), "GOLDCREST_OPERATOR_METRICS_PORT": str(_PORT + 1)}
        self.second = dataclasses.replace(
            first,
            name=f"{OPERATOR}-second",
            needs=(),
            extra_env={**SHORT_LEASE, **others},
            ready=tcp_ready("127.0.0.1", _PORT),
        )

    def run(self) -> Batch:
        return self.campaign.make(self.campaign.works.run(self.campaign.label()))

    def until_second_acts(self) -> None:
        self.campaign.stand_in = self.second
        self.bed.until(lambda: "lease.acquired" in self.second.log.read_text(), bool, seconds=30)

    def verdict(self, batch: Batch) -> Verdict:
        self.campaign.settle(seconds=self.campaign.patience())
        return self.campaign.verdict(batch.label, reference=self.reference.label)


@pytest.fixture(scope="module")
def campaign(bed: Bed) -> Iterator[tuple[Campaign, Batch]]:
    campaign = Campaign(bed)
    campaign.calm()
    reference = campaign.make(campaign.works.run(campaign.label(), size=1))
    yield campaign, reference
    campaign.open_gate()
    bed.faults.restart(OPERATOR)


@pytest.fixture
def pair(bed: Bed, campaign: tuple[Campaign, Batch]) -> Iterator[Pair]:
    pair = Pair(bed, *campaign)
    try:
        yield pair
    finally:
        pair.campaign.stand_in = None
        pair.second.stop()


def test_one_waits(pair: Pair) -> None:
    """Without the Lease an operator does nothing; when the other is killed with much under way, it takes over."""
    if not pair.bed.faults.alive(OPERATOR):
        pair.campaign.calm()
    pair.second.start()
    batch = pair.run()
    pair.bed.until(lambda: pair.bed.log_lines(OPERATOR, '"job.submitted"'), bool, seconds=60)
    pair.bed.faults.kill(OPERATOR)
    assert batch.label not in pair.second.log.read_text(), "the one without the Lease must not act"
    pair.until_second_acts()
    found = pair.verdict(batch)
    assert found.good, found
    assert batch.label in pair.second.log.read_text()


@pytest.mark.parametrize("point", FROZEN)
def test_frozen_and_woken(pair: Pair, point: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Frozen at a point until another has its Lease and works on the same jobs, then woken: it ends by itself, and nothing has run twice."""
    bed = pair.bed
    bed.faults.restart(OPERATOR, armed(OPERATOR, f"freeze:{point}"))
    pid = pair.first.pid()
    assert pid is not None
    try:
        pair.second.start()
        batch = pair.run()
        bed.until(lambda: bed.log_lines(OPERATOR, '"fault.struck"'), bool, seconds=60)
        pair.until_second_acts()
    finally:
        os.kill(pid, signal.SIGCONT)
    bed.until(lambda: bed.faults.alive(OPERATOR), lambda alive: not alive, seconds=60)
    found = pair.verdict(batch)
    with capsys.disabled():
        print(f"\n{table([(f'{OPERATOR} frozen {point}', found)])}")
    assert found.good, found
