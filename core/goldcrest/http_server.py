"""HTTP as our processes serve it: uvicorn's, with the head of an answer and its body in one piece."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from goldcrest.coalescing import Coalescing


class HttpServer(HttpToolsProtocol):
    """The protocol class for uvicorn's ``http``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Coalescing(transport)))
