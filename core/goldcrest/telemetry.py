"""Structured logs and the one trace that goes through all parts (W3C trace context).

A log line is one JSON object. Secrets, tokens, certificates and presigned URLs are never given to it.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NONE = "0" * 32


@dataclass(frozen=True, slots=True)
class Trace:
    """Trace id (32 hex digits) and span id (16 hex digits) of W3C trace context."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def new(cls, *, sampled: bool = True) -> Trace:
        return cls(secrets.token_hex(16), secrets.token_hex(8), sampled)

    @classmethod
    def parse(cls, traceparent: str | None) -> Trace | None:
        """Read a ``traceparent`` header; None when there is none or it is malformed (the standard says: start anew)."""
        match = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
        if match is None or match[1] == _NONE or match[2] == "0" * 16:
            return None
        return cls(match[1], match[2], sampled=bool(int(match[3], 16) & 1))

    @classmethod
    def continued(cls, traceparent: str | None) -> Trace:
        """A new span of the trace in ``traceparent``, or of a new trace."""
        parent = cls.parse(traceparent)
        return cls(parent.trace_id, secrets.token_hex(8), parent.sampled) if parent else cls.new()

    @property
    def header(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)


class _JsonFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "event": record.getMessage(),
        }
        trace = current_trace.get()
        if trace is not None:
            line["trace_id"] = trace.trace_id
            line["span_id"] = trace.span_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class Log:
    """A logger of named events: ``log.info("job.submitted", job="…", seconds=0.1)``."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: Any) -> None:
        self._logger.error(event, extra={"fields": fields})

    def exception(self, event: str, **fields: Any) -> None:
        """With the traceback of the exception being handled."""
        self._logger.exception(event, extra={"fields": fields})


def configure_logging(process: str, *, level: str = "INFO") -> None:
    """Write JSON lines of all loggers to standard output.

    asyncssh and kopf are noisy at INFO; theirs start at WARNING.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter(process))
    # Our lines do not say which file, thread or process wrote them; finding out would take a third of each line's time.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("asyncssh", "kopf", "uvicorn.access", "kubernetes_asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
