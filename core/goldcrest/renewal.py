"""TLS files that are replaced while a process runs: whoever renews certificates does not restart who uses them."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from goldcrest.telemetry import Log

LOOK_SECONDS: Final = 10.0  # a mounted Secret changes a minute or so after it was renewed; this is little beside it

_log = Log(__name__)
_Seen = tuple[tuple[int, int, int] | None, ...]


class TlsFiles:
    """The files of a context that is in use. New connections use what was read last; open ones stay as they are.

    Files that do not fit together, or hold no PEM, leave the last good ones in force: certificate and key are two files, and for a
    moment only one of them is new. Of ``authorities`` what is new is added; one that was taken out counts until a restart.

    Args:
        context: already loaded with these files.
        certificate, key: PEM chain and private key, both or neither.
        authorities: PEM certificates that the other side is verified against.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        authorities: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._certificate, self._key, self._authorities = certificate, key, authorities
        self._clock = clock
        self._paths = tuple(path for path in (certificate, key, authorities) if path is not None)
        self._seen = self._look()
        self._next = clock() + LOOK_SECONDS

    def refresh(self) -> None:
        """Take up files that changed; they are looked at once in :data:`LOOK_SECONDS`."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        files = [str(path) for path in self._paths]
        try:
            # Tried in a context of its own: a pair that does not fit would leave the one in use without a key.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            self._load(self._context)
        except (OSError, ValueError) as error:
            _log.error("tls.files.wrong", files=files, error=str(error), effect="the last good ones stay in force")
        else:
            _log.info("tls.files.renewed", files=files)

    def _load(self, context: ssl.SSLContext) -> None:
        if self._certificate is not None:
            context.load_cert_chain(self._certificate, self._key)
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)

    def _look(self) -> _Seen:
        return tuple(map(_state, self._paths))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()  # follows links: a mounted Secret is replaced by another link
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


@asynccontextmanager
async def renewed(files: TlsFiles) -> AsyncIterator[None]:
    """Refresh the files of a server as long as this is open."""

    async def follow() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            files.refresh()

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
