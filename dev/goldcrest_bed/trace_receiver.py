"""A receiver of spans for the bed: OTLP over HTTP in, one trace as JSON out. It keeps the latest in memory, and nothing else.

``python -m goldcrest_bed.trace_receiver PORT``; ``POST /v1/traces``, ``GET /traces/<trace id>``.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from goldcrest_bed.traces import Span, decode

KEPT: Final = 50_000  # spans
_BODY: Final = 16 * 1024 * 1024  # bytes


class Receiver(ThreadingHTTPServer):
    """Listens on loopback, on a free port when 0 is asked for."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.spans: deque[Span] = deque(maxlen=KEPT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace that have come so far."""
        return [span for span in tuple(self.spans) if span.trace == trace_id]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if self.path != "/v1/traces" or not 0 < length <= _BODY:
            self._answer(404, b"")
            return
        self.server.spans.extend(decode(self.rfile.read(length)))
        self._answer(200, b"")

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, b"{}")
            return
        spans = self.server.trace(self.path.removeprefix("/traces/"))
        self._answer(200, json.dumps([span.dump() for span in spans]).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody wants to read it."""


if __name__ == "__main__":
    Receiver(int(sys.argv[1])).serve_forever()
