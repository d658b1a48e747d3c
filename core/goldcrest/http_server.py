"""HTTP as our processes serve it: uvicorn's, with the head of an answer and its body in one piece, and on its way before it is logged and counted."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from goldcrest.coalescing import Coalescing


class HttpServer(HttpToolsProtocol):
    """The protocol class for uvicorn's ``http``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wire = Coalescing(transport)
        super().connection_made(cast(asyncio.Transport, self._wire))

    def on_body(self, body: bytes) -> None:
        if not self.cycle.body:
            self.cycle.body = b""  # type: ignore[assignment] # with a bytearray, each piece of a body is copied twice
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._wire.flush()
        super().on_response_complete()
