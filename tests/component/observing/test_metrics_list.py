"""The list in docs/observing.md is what the processes measure, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from prometheus_client.metrics import MetricWrapperBase

from component.observing.documented import Documented, documented
from component.observing.registries import PROCESSES, registries
from goldcrest.measures import Measures

pytestmark = pytest.mark.component


async def test_the_list() -> None:
    """Names, types and labels."""
    async with registries() as measured:
        assert tuple(measured) == PROCESSES
        found = {metric.name: metric for measures in measured.values() for metric in _measured(measures)}
    listed = documented()
    assert len(listed) > 50
    assert sorted(found) == sorted(listed)
    assert {name: metric.labels for name, metric in found.items()} == {n: m.labels for n, m in listed.items()}
    assert {name: metric.type for name, metric in found.items()} == {n: m.type for n, m in listed.items()}


async def test_every_metric_is_of_its_process() -> None:
    """Names begin as they should, and have a sentence."""
    async with registries() as measured:
        for process, measures in measured.items():
            for family in measures.registry.collect():
                assert family.name.startswith((f"goldcrest_{process}_", "process_")), family.name
                assert family.documentation.endswith("."), family.name


def _measured(measures: Measures) -> Iterable[Documented]:
    for collector in measures.registry._collector_to_names:
        for family in getattr(collector, "describe", collector.collect)():
            if family.name.startswith("goldcrest_"):
                labels = frozenset((collector if isinstance(collector, MetricWrapperBase) else family)._labelnames)
                name = family.name + "_total" if family.type == "counter" else family.name
                yield Documented(name, family.type, labels)
