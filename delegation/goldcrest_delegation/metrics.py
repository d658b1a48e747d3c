"""What delegation measures, for Prometheus; the list is in docs/observing.md."""

from __future__ import annotations

from typing import Final

from goldcrest.commands.base import operations
from goldcrest.errors import GoldcrestError
from goldcrest.identity import RefusalCode
from goldcrest.measures import OTHER, ByLabels, Codes, Measures, one_of
from goldcrest.wellknown import MUTABLE_SPEC_FIELDS

_CODES: Final = Codes(RefusalCode)
_CALLS: Final = frozenset({"certificates", "grants", "action-grants", "blocked"})
_CHANGES: Final = frozenset({"session", "job.create", *(f"job.{field}" for field in MUTABLE_SPEC_FIELDS)})
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One for the process; names begin with ``goldcrest_delegation_``."""

    def __init__(self) -> None:
        self.measures = measures = Measures("delegation")
        self._requests = ByLabels(
            measures.counter("requests", "Requests, by what is called and status.", ["call", "code"])
        )
        self._seconds = ByLabels(measures.histogram("request_seconds", "Seconds of a request.", ["call"]))
        labels, told = ("system", "operation", "outcome"), "signed, or the code of what refused them."
        self._certificates = ByLabels(measures.counter("certificates", f"Requests for certificates: {told}", labels))
        self._grants = ByLabels(measures.counter("grants", f"Requests for grants: {told}", labels))
        self._batch = measures.histogram("certificate_batch", "Certificates asked for in one request.", bounds=_SIZES)
        self._audit_failures = measures.counter("audit_failures", "Times that the audit log could not be written.")
        self._callers_refused = measures.counter("callers_refused", "Callers that are not ours, by cause.", ["cause"])

    def request(self, call: str, code: int, seconds: float) -> None:
        """A request is over.

        Args:
            call: last part of the path.
        """
        call = one_of(call, _CALLS)
        self._requests[call, code].inc()
        self._seconds[(call,)].observe(seconds)

    def batch(self, size: int) -> None:
        self._batch.observe(size)

    def certificate(self, *, system: str, operation: str, error: GoldcrestError | None) -> None:
        """A certificate was signed or refused.

        Args:
            system: name of a System that is there; empty where that is not known, for a caller can name anything.
        """
        self._certificates[self._system(system), _operation(operation), _outcome(error)].inc()

    def grant(self, *, system: str, operation: str, error: GoldcrestError | None) -> None:
        """A grant was signed or refused; arguments as of :meth:`certificate`."""
        self._grants[self._system(system), _operation(operation), _outcome(error)].inc()

    def audit_failed(self) -> None:
        self._audit_failures.inc()

    def caller_refused(self, error: GoldcrestError) -> None:
        self._callers_refused.labels(_CODES.of(error)).inc()

    def _system(self, name: str) -> str:
        return self.measures.system(name) if name else OTHER


def _operation(name: str) -> str:
    return name if name in _CHANGES else one_of(name, operations())


def _outcome(error: GoldcrestError | None) -> str:
    return "signed" if error is None else _CODES.of(error)
