"""The record of who ran what as whom (T13): one JSON line per decision and signature, appended to a file and printed.

Nothing is signed whose line could not be written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import orjson

from goldcrest.errors import InvalidInput, Unavailable

AuditedKind = Literal["certificate", "grant", "action-grant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One decision.

    Args:
        caller: service account that asked.
        requester: on whose word: user name in the token, or in Kubernetes.
        digest: of the command, or of the spec.
        origin: uid of the resource, or id of the request.
        decision: id in OPA's decision log, or of our question where OPA keeps none.
        rule: which rule of policy refused.
        break_glass: why policy allowed what it usually does not; empty for what is allowed to everybody.
        route: REST route that the gateway served; empty for what the operator does.
    """

    event: AuditedKind
    outcome: Literal["signed", "refused"]
    caller: str
    requester: str = ""
    run_as: str = ""
    system: str = ""
    operation: str = ""
    digest: str = ""
    serial: int | None = None
    key_id: str = ""
    origin: str = ""
    namespace: str = ""
    name: str = ""
    decision: str = ""
    rule: str = ""
    break_glass: str = ""
    code: str = ""
    reason: str = ""
    route: str = ""
    trace: str = ""

    def dump(self) -> dict[str, Any]:
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "audit": self.event,
            "outcome": self.outcome,
            "caller": self.caller,
            "requester": self.requester,
            "runAs": self.run_as,
            "system": self.system,
            "operation": self.operation,
            "digest": self.digest,
            # As text: JSON numbers above 2**53 are rounded by most readers.
            "serial": "" if self.serial is None else str(self.serial),
            "keyId": self.key_id,
            "origin": self.origin,
            "namespace": self.namespace,
            "name": self.name,
            "decisionId": self.decision,
            "rule": self.rule,
            "breakGlass": self.break_glass,
            "code": self.code,
            "reason": self.reason,
            "route": self.route,
            "trace_id": self.trace,
        }


class AuditLog:
    """Appends lines to a file; several processes may share it, as each write is one call in append mode.

    A log that was moved away (logrotate) or removed is begun anew with the next line: it would go on in a file that is about to be
    compressed, and be lost. A line that the disk took only in part is ended before the next one, which would be lost with it.
    """

    def __init__(self, path: Path, *, output: TextIO | None = None) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._open()
            self._torn = _ends_within_a_line(path)
        except OSError as error:
            raise InvalidInput(f"the audit log {path} cannot be opened: {error.strerror}") from error
        self._output = output

    def write(self, lines: Sequence[AuditLine]) -> None:
        """Write all lines, before what they tell of is handed out.

        Raises:
            Unavailable: they could not be written; then nothing may be handed out.
        """
        data = b"".join(orjson.dumps(line.dump()) + b"\n" for line in lines)
        try:
            self._follow()
            if self._torn:
                data = b"\n" + data
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise Unavailable(f"the audit log cannot be written: {error.strerror}") from error
        self._torn = written != len(data)
        if self._torn:
            raise Unavailable("the audit log cannot be written: the disk is full")
        output = self._output or sys.stdout
        output.write(data.decode())
        output.flush()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _follow(self) -> None:
        """Open the path again when another file, or none, is there."""
        try:
            there = os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            there = False
        if not there:
            before, self._descriptor = self._descriptor, self._open()
            self._torn = False
            os.close(before)

    def close(self) -> None:
        os.close(self._descriptor)


def _ends_within_a_line(path: Path) -> bool:
    """Whether the one who wrote before us could not finish."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
