"""An answer whose body is a file that comes from elsewhere piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send

from goldcrest.errors import GoldcrestError
from goldcrest.telemetry import Log
from goldcrest_api.streaming import NothingRead, to_a_reader

_log = Log(__name__)


class FileResponse(StreamingResponse):
    """``size`` bytes. When they end early the connection is closed before its announced length, so that no client takes a part for the whole.

    The pieces are closed in each case: also when the client goes away, which stops whoever sends them. One who takes nothing for ``slow_seconds``
    counts as gone: turn, channel and connection are others' as well.
    """

    media_type = "application/octet-stream"

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], *, size: int, headers: Mapping[str, str], slow_seconds: float
    ) -> None:
        super().__init__(pieces, headers={**headers, "Content-Length": str(size)}, media_type=self.media_type)
        self._pieces = pieces
        self._slow_seconds = slow_seconds

    async def stream_response(self, send: Send) -> None:
        send = to_a_reader(send, slow_seconds=self._slow_seconds)
        async with aclosing(self._pieces) as pieces:
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except GoldcrestError as error:
                _log.warning("download.cut", code=error.code, reason=error.message)
            except NothingRead as error:
                _log.warning("download.cut", reason=str(error))
            # Without an end the server closes the connection.
