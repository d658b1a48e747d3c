"""A TLS proxy before the API server that refuses, delays, cuts and loses answers as a test says."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_SAYS = {
    409: ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
    410: ("Expired", "too old resource version"),
    429: ("TooManyRequests", "too many requests, please try again later"),
    500: ("InternalError", "etcdserver: leader changed"),
    502: ("", "bad gateway"),
    503: ("ServiceUnavailable", "apiserver is shutting down"),
    504: ("Timeout", "request did not complete within the allotted timeout"),
}


@dataclass(frozen=True)
class Asked:
    """One request, as a rule sees it."""

    method: str
    path: str
    """With its query."""

    @property
    def watches(self) -> bool:
        return "watch=" in self.path


@dataclass
class Fault:
    """What becomes of requests.

    Args:
        wanted: which requests.
        status: answered in the API server's place; None: it is asked.
        raw: the body of that answer; None: a Status, as the API server has it.
        delay: seconds before anything else.
        lose: the request is carried out, and the connection is cut instead of an answer.
        cut_after: bytes of the answer after which the connection is cut.
        times: of the next so many requests only.
    """

    wanted: Callable[[Asked], bool] = lambda asked: True
    status: int | None = None
    raw: bytes | None = None
    delay: float = 0.0
    lose: bool = False
    cut_after: int | None = None
    times: int = 10**9
    hits: int = 0


@dataclass
class FaultProxy:
    """Listens on a port of the loopback interface from :meth:`start` to :meth:`stop`."""

    upstream: int
    ca: Path
    certificate: tuple[Path, Path]
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    _faults: list[Fault] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, port: int) -> None:
        self.port = port
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[Fault]:
        """This fault for a while."""
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)

    def cut_connections(self) -> None:
        """Cut all connections that are open, watches among them."""

        def cut() -> None:
            for task in list(self._open):
                task.cancel()

        self._loop.call_soon_threadsafe(cut)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        self._client = ssl.create_default_context(cafile=str(self.ca))
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=context, limit=2**22)
        )
        started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
                await self._serve(reader, writer)
        finally:
            self._open.discard(task)
            with suppress(AttributeError):  # before Python 3.11.4, of a TLS connection that is closed already
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection ends with its answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = [line for line in lines if not line.lower().startswith("connection:")]
        length = next((int(h.partition(":")[2]) for h in headers if h.lower().startswith("content-length:")), 0)
        body = await reader.readexactly(length)
        asked = Asked(method, path)
        self.asked[method] += 1
        fault = next((f for f in self._faults if f.hits < f.times and f.wanted(asked)), None)
        if fault is not None:
            fault.hits += 1
            await asyncio.sleep(fault.delay)
            if fault.status is not None:
                await self._answer(fault, writer)
                return
        upstream = await asyncio.open_connection("127.0.0.1", self.upstream, ssl=self._client, limit=2**22)
        try:
            request = "\r\n".join([first, *headers, "Connection: close", "", ""]).encode("latin-1") + body
            upstream[1].write(request)
            await self._pass_on(upstream[0], writer, fault)
        finally:
            upstream[1].transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, fault: Fault | None) -> None:
        left = fault.cut_after if fault is not None and fault.cut_after is not None else None
        while data := await source.read(65536):
            if fault is not None and fault.lose:
                return
            if left is not None and len(data) >= left:
                sink.write(data[:left])
                await sink.drain()
                return
            left = left - len(data) if left is not None else None
            sink.write(data)
            await sink.drain()
        sink.close()
        await sink.wait_closed()

    async def _answer(self, fault: Fault, writer: asyncio.StreamWriter) -> None:
        status = fault.status
        assert status is not None
        reason, message = _SAYS.get(status, ("", ""))
        body = fault.raw
        if body is None:
            body = json.dumps(
                {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status}
            ).encode()
        retry = "Retry-After: 1\r\n" if status == 429 else ""
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{retry}"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
