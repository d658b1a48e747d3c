"""An OPA that is slow, garbled, or bought: it answers on the socket of the real one."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from component.attacks.attack_stage import AttackStage

Said = Callable[[dict[str, Any]], bytes | None]
"""Given the question's ``input``: the bytes that are answered; None for silence."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    said: Said
    silence: threading.Event


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection for each question, so that none outlives this server
    server: _Server

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = self.server.said(question["input"])
        if body is None:
            self.server.silence.wait(30)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "caller"

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def false_opa(stage: AttackStage, said: Said) -> Iterator[None]:
    """In the place of the real one for a while."""
    stage.stop_process("opa")
    stage._opa_socket.unlink(missing_ok=True)
    server = _Server(str(stage._opa_socket), _Handler)
    server.said, server.silence = said, threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.silence.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
        stage.start_opa()


def result(value: object) -> bytes:
    return json.dumps({"decision_id": "d-1", "result": value}).encode()
