"""What admission measures, for Prometheus; the list is in docs/observing.md."""

from __future__ import annotations

from typing import Final

from goldcrest.measures import Codes, Measures, one_of

_CODES: Final = Codes()
_CALLS: Final = frozenset({"mutate", "validate"})
_OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE"})


class Metrics:
    """One for the process; names begin with ``goldcrest_admission_``."""

    def __init__(self) -> None:
        self.measures = measures = Measures("admission")
        self._reviews = measures.counter(
            "reviews", "Reviews: allowed, or the code of what refused them.", ["call", "operation", "outcome"]
        )
        self._seconds = measures.histogram("review_seconds", "Seconds of a review.", ["call", "operation"])

    def review(self, *, call: str, operation: str, error: BaseException | None, seconds: float) -> None:
        """A review is over.

        Args:
            call: last part of the path.
            operation: as the API server names it; empty for what is no review.
        """
        call, operation = one_of(call, _CALLS), one_of(operation, _OPERATIONS)
        self._reviews.labels(call, operation, "allowed" if error is None else _CODES.of(error)).inc()
        self._seconds.labels(call, operation).observe(seconds)
