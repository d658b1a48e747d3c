"""What the gateway measures, for Prometheus; the list is in docs/observing.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from goldcrest.identity import RefusalCode
from goldcrest.measures import OTHER, ByLabels, Codes, Measures, one_of
from goldcrest.reflector import Reflector
from goldcrest.wellknown import Kind

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CODES: Final = Codes(RefusalCode)


class Metrics:
    """One for the process; names begin with ``goldcrest_api_``."""

    def __init__(self) -> None:
        self.measures = measures = Measures("api")
        labels = ("method", "route", "code")
        self._requests = ByLabels(measures.counter("requests", "Requests, by route and status.", labels))
        self._seconds = ByLabels(
            measures.histogram("request_seconds", "Seconds from a request to the end of its answer.", labels[:2])
        )
        self._in_flight = measures.gauge("requests_in_flight", "Requests under way.")
        self._errors = measures.counter(
            "errors", "Answers that are refusals or failures, by the error behind them.", ["cause"]
        )
        self._limited = measures.counter(
            "requests_limited", "Requests refused because of a limit on their number.", ["limit"]
        )
        self._systems = ByLabels(
            measures.counter("system_requests", "Requests for a system, by route.", ["system", "method", "route"])
        )

    def begins(self) -> None:
        """A request has come; :meth:`ends` follows whatever happens."""
        self._in_flight.inc()

    def ends(self, *, method: str, route: str, code: int, seconds: float, system: str, cause: str) -> None:
        """A request is over.

        Args:
            route: template of the route that served it; empty where there was none.
            system: of the System that it was for, where there is one of that name.
            cause: code of the error behind a refusal.
        """
        self._in_flight.dec()
        # Bounded: methods, routes and statuses are those that this process has.
        method, route = one_of(method, _METHODS), route or OTHER
        self._requests[method, route, code].inc()
        self._seconds[method, route].observe(seconds)
        if system:
            self._systems[self.measures.system(system), method, route].inc()
        if cause:
            self._errors.labels(_CODES.named(cause)).inc()

    def limited(self, limit: str) -> None:
        """A request was refused because there were too many.

        Args:
            limit: which limit, a constant: e.g. ``user``, ``route``, ``client``, ``system``.
        """
        self._limited.labels(limit).inc()

    def watch(self, reflectors: Sequence[Reflector], known: Mapping[Kind, Callable[[], int]]) -> None:
        """Show how many resources are known, and how old that is."""
        self.measures.read_each(
            "watch_stale_seconds",
            "Seconds for which no watch has been open.",
            "kind",
            lambda: [(reflector.kind.value, reflector.stale_seconds) for reflector in reflectors],
        )
        self.measures.read_each(
            "resources",
            "Resources known from the watch.",
            "kind",
            lambda: [(kind.value, count()) for kind, count in known.items()],
        )
