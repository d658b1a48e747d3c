"""HTTP as our processes serve it: uvicorn's, with the head of an answer and its body in one piece, and on its way before it is logged and counted."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from goldcrest.coalescing import Coalescing


class HttpServer(HttpToolsProtocol):
    """The protocol class for uvicorn's ``http``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wire = Coalescing(transport)
        super().connection_made(cast(asyncio.Transport, self._wire))

    def on_body(self, body: bytes) -> None:
        # uvicorn adds to what has not been asked for yet. A piece that comes alone, as those of a large body do, is taken as it is instead of
        # copied twice; what comes in crumbs is put together in a bytearray, for bytes would be copied whole for each.
        cycle: Any = self.cycle
        if not cycle.body:
            cycle.body = b""
        elif isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._wire.flush()
        super().on_response_complete()
