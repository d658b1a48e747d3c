"""What a job writes to its standard output and error: read as the caller, once or for as long as the job runs."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final, Literal

from goldcrest.commands import ReadFile
from goldcrest.errors import CommandFailed, GoldcrestError, NotFound
from goldcrest.telemetry import Trace
from goldcrest.wellknown import Phase
from goldcrest_api.caller import Caller
from goldcrest_api.job_cache import JobCache
from goldcrest_api.job_view import JobView
from goldcrest_api.ports import RemoteCommands
from goldcrest_api.services.streams import Cut, Stream
from goldcrest_api.system_cache import SystemCache, SystemView

Which = Literal["stdout", "stderr"]

_SOON, _LATE = 0.5, 3.0  # seconds between two looks at a file: while it grows, and when it has not for a while
_IN_CACHE: Final = 0.3  # seconds between two looks at a job that has not begun: they cost nothing
_SETTLE: Final = (
    1.0  # seconds after which a file of a job that has ended is read once more: shared file systems tell late
)
_NOT_BEGUN: Final = frozenset({None, Phase.PENDING, Phase.SUSPENDED, Phase.SUBMITTING, Phase.QUEUED})


class NoOutput(NotFound):
    """The job has no such file, or none yet."""

    code = "NoOutput"


@dataclass(frozen=True, slots=True)
class Output:
    """Which output is meant.

    Args:
        element: index of an array's element.
    """

    job: JobView
    which: Which
    element: int | None = None

    def path(self, job: JobView) -> str | None:
        """Where it is written; None when nobody knows yet.

        Raises:
            NoOutput: each element of the array has its own, and none is named.
        """
        path = getattr(job.status.files, self.which) if job.status.files is not None else None
        if path is None or "%" not in path:
            return path
        if self.element is None:
            raise NoOutput(f"each element of the array has its own {self.which}: ask for {job.status.job_id}_<index>")
        filled: str = path.replace("%A", job.status.job_id or "").replace("%a", str(self.element))
        if "%" in filled.replace("%%", ""):
            raise NoOutput(f"the name of the {self.which} file has a pattern that only the scheduler can fill: {path}")
        return filled.replace("%%", "%")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file, and its size at that moment."""

    path: str
    offset: int
    data: bytes
    size: int

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class Outputs:
    """Reads output.

    Args:
        seconds: time for one command.
        piece: bytes that one command reads.
        most: bytes of one answer that follows.
        patience_seconds: for how long a system may not answer while output is followed.
    """

    def __init__(
        self,
        remote: RemoteCommands,
        jobs: JobCache,
        systems: SystemCache,
        *,
        seconds: float,
        piece: int,
        most: int,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remote = remote
        self._jobs = jobs
        self._systems = systems
        self._seconds = seconds
        self._piece = piece
        self._most = most
        self._patience_seconds = patience_seconds
        self._clock = clock

    async def read(self, output: Output, offset: int, *, length: int, caller: Caller, trace: Trace) -> Part:
        """What there is now, from ``offset``.

        Args:
            length: bytes at most.

        Raises:
            NoOutput: there is no such file, or none yet.
            GoldcrestError: it cannot be read.
        """
        job = self._jobs.by_uid(output.job.uid) or output.job
        path = output.path(job)
        if path is None:
            phase = job.status.phase or Phase.PENDING
            raise NoOutput(f"the job has no {output.which} file{'' if phase.finished else ' yet'}: it is {phase.value}")
        return await self._read(path, offset, length, self._system(job), caller, trace)

    async def follow(self, output: Output, offset: int, *, stream: Stream, trace: Trace) -> AsyncGenerator[bytes]:
        """What is written from ``offset`` on, until the job has ended and all is read.

        A system that does not answer is asked again; nothing is told twice and nothing left out.

        Raises:
            Cut: it ends before that. What came is right, and one can go on behind it.
        """
        sent, pause, settled, silent_since = 0, _SOON, False, None
        while True:
            if stream.reason is not None:
                raise Cut(stream.reason)
            job = self._jobs.by_uid(output.job.uid)
            if job is None:
                raise Cut("the job's resource was deleted")
            ended = job.status.phase is not None and job.status.phase.finished
            if job.status.phase in _NOT_BEGUN:
                await stream.pause(_IN_CACHE)
                continue
            part = None
            try:
                path = output.path(job)
                if path is not None:
                    part = await self._read_if_there(path, offset, self._system(job), stream.caller, trace)
                silent_since = None
            except GoldcrestError as error:
                silent_since = silent_since or self._clock()
                if not _passes(error) or self._clock() - silent_since > self._patience_seconds:
                    raise Cut(error.message) from error
                pause = min(pause * 2, _LATE)
                await stream.pause(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
                continue
            if part is not None and part.size < offset:
                raise Cut(f"{part.path} has become shorter than what was read")
            if part is not None and part.data:
                yield part.data
                offset, sent, pause, settled = part.end, sent + len(part.data), _SOON, False
                if sent >= self._most:
                    raise Cut(f"{sent} bytes were read")
                if part.end < part.size:
                    continue
            elif ended and settled:
                return
            settled = ended
            await stream.pause(_SETTLE if ended else pause)
            pause = min(pause * 1.5, _LATE)

    def _system(self, job: JobView) -> SystemView:
        system = self._systems.get(job.system)
        if system is None:
            raise NotFound(f"the system {job.system} is not there any more")
        return system

    async def _read_if_there(
        self, path: str, offset: int, system: SystemView, caller: Caller, trace: Trace
    ) -> Part | None:
        try:
            return await self._read(path, offset, self._piece, system, caller, trace)
        except CommandFailed as error:
            if error.errno_name == "ENOENT":  # a job makes its file when it starts; shared file systems tell late
                return None
            raise

    async def _read(
        self, path: str, offset: int, length: int, system: SystemView, caller: Caller, trace: Trace
    ) -> Part:
        answer = await self._remote.run(
            ReadFile(path, offset=offset, length=length),
            system=system.name,
            spec=system.spec,
            user=caller.user,
            basis=caller.basis,
            trace=trace,
            seconds=self._seconds,
        )
        return Part(path, offset, answer.data, int(answer.result["fileSize"]))


def _passes(error: GoldcrestError) -> bool:
    """Whether the next attempt may succeed."""
    return error.retryable or (isinstance(error, CommandFailed) and error.kind == "timeout")
