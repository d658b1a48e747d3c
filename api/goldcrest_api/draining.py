"""The end of the process: it says no to /readyz, still serves while load balancers take notice, finishes what runs, and is gone."""

from __future__ import annotations

import signal
import socket
import time
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from goldcrest.telemetry import Log
from goldcrest_api.context import Context

_log = Log(__name__)

# A signal handler may run anywhere; what it sets is looked at by the server, ten times a second.
_HURRY: Final = signal.SIGINT


class Drain:
    """Whether the process is about to end. Read by /readyz, by answers (which then close their connections), by streams without an end."""

    def __init__(self) -> None:
        self.begun = False


class DrainingServer(uvicorn.Server):
    """uvicorn, but for the pause between the signal and the end of listening.

    SIGTERM: ``drain.begun``, and ``leave_seconds`` later what SIGTERM means for uvicorn: no new connections, running requests end within
    ``timeout_graceful_shutdown``. A second signal, or SIGINT, skips the pause; a second SIGINT cuts what runs.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, *, leave_seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._leave_seconds = leave_seconds
        self._leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn for SIGTERM and SIGINT."""
        first = not self._drain.begun
        self._drain.begun = True
        if first and sig != _HURRY:
            self._leave_at = time.monotonic() + self._leave_seconds
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn: answers that go on are ended before it waits for all others."""
        app = self.config.app
        if isinstance(app, Starlette) and isinstance(context := getattr(app.state, "context", None), Context):
            context.streams.stop()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second."""
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self._leave_at = None
            self.should_exit = True
            _log.info("api.leaving", requests=len(self.server_state.tasks))
        return await super().on_tick(counter)
