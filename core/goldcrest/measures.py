"""What a process measures, for Prometheus: one registry for each, and labels that nobody outside can add values to.

Every name begins with ``goldcrest_<process>_``. A label value is a constant of ours, the name of a System that an administrator made, or
``other``: users, paths, hosts and whatever else comes with a request are never labels, for each new value costs memory until the process
ends. What a label may have is stated in docs/observing.md, and a test sends hostile values through every door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from goldcrest.errors import GoldcrestError

OTHER: Final = "other"
OK: Final = "ok"
DEFECT: Final = "Defect"  # an exception that is none of ours
CANCELLED: Final = "cancelled"  # whoever asked does not wait any more
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

FAST_SECONDS: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what takes milliseconds."""
SLOW_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Bounds for what waits for a scheduler, or in a queue."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which says when the first began

_Metric = TypeVar("_Metric", bound=MetricWrapperBase)

_MOST_SYSTEMS: Final = 200  # label values; a site with more Systems than that sees the later ones as "other"


class Measures:
    """The registry of one process.

    Args:
        process: api, operator, delegation or admission.
    """

    def __init__(self, process: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"goldcrest_{process}_"
        ProcessCollector(registry=self.registry)
        self._systems: set[str] = set()

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(self._prefix + name, documentation, labels, registry=self.registry)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(self._prefix + name, documentation, labels, registry=self.registry)

    def histogram(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, bounds: Sequence[float] = FAST_SECONDS
    ) -> Histogram:
        return Histogram(self._prefix + name, documentation, labels, buckets=bounds, registry=self.registry)

    def read(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for its value when the page is."""
        self.gauge(name, documentation).set_function(value)

    def read_each(
        self, name: str, documentation: str, label: str, values: Callable[[], Iterable[tuple[str, float]]]
    ) -> None:
        """Gauges of which there are as many as there are of something now: those of what is gone are gone."""
        self.registry.register(_Read(self._prefix + name, documentation, label, values))

    def system(self, name: str) -> str:
        """Label value of a System that exists; callers make sure of that."""
        if name in self._systems:
            return name
        if len(self._systems) >= _MOST_SYSTEMS:
            return OTHER
        self._systems.add(name)
        return name

    def page(self) -> bytes:
        """All of them, in Prometheus' text form."""
        return generate_latest(self.registry)


class ByLabels(dict[tuple[str | int, ...], _Metric]):
    """The children of a metric by the values of their labels: to look one up there takes longer than to count."""

    def __init__(self, metric: _Metric) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, values: tuple[str | int, ...]) -> _Metric:
        child: _Metric = self._metric.labels(*values)
        self[values] = child
        return child


class _Read(Collector):
    def __init__(
        self, name: str, documentation: str, label: str, values: Callable[[], Iterable[tuple[str, float]]]
    ) -> None:
        self._described = (name, documentation, [label])
        self._label = label
        self._values = values

    def collect(self) -> Iterable[GaugeMetricFamily]:
        name, documentation, labels = self._described
        family = GaugeMetricFamily(name, documentation, labels=labels)
        for value, number in self._values():
            family.add_metric([value], number)
        yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        name, documentation, labels = self._described
        yield GaugeMetricFamily(name, documentation, labels=labels)


def one_of(value: str, known: Collection[str]) -> str:
    """The value where it is known, else ``other``."""
    return value if value in known else OTHER


class Codes:
    """Label values for errors: the codes of our own classes, and others that are named.

    Args:
        more: codes that instances carry without a class of their own.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._more = frozenset(more)
        self._known = self._collect()

    def of(self, error: BaseException | None) -> str:
        """``ok`` for None."""
        if error is None:
            return OK
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            return CANCELLED
        return self.named(error.code) if isinstance(error, GoldcrestError) else DEFECT

    def named(self, code: str) -> str:
        if code not in self._known:
            self._known = self._collect()  # a class may have been defined since
        return one_of(code, self._known)

    def _collect(self) -> frozenset[str]:
        found, waiting = {CANCELLED, DEFECT, OK, *self._more}, [GoldcrestError]
        while waiting:
            kind = waiting.pop()
            found.add(kind.code)
            waiting += kind.__subclasses__()
        return frozenset(found)
