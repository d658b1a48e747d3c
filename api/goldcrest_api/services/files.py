"""Small files of a system, read while the client waits: no resource, no state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from goldcrest.commands import ReadFile, StatFile
from goldcrest.errors import Denied, GoldcrestError, TooLarge
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.ports import RemoteCommands
from goldcrest_api.system_cache import SystemView


class FileStage(Enum):
    """Which of the two steps failed."""

    STAT = auto()
    READ = auto()


class FileFailed(GoldcrestError):
    """A file could not be read. ``cause`` says why, ``stage`` where."""

    code = "FileFailed"

    def __init__(self, stage: FileStage, cause: GoldcrestError) -> None:
        super().__init__(cause.message, code=cause.code)
        self.stage = stage
        self.cause = cause


class Files:
    """Looks at files and reads them as the caller.

    Args:
        seconds: time for each command.
    """

    def __init__(self, remote: RemoteCommands, *, seconds: float) -> None:
        self._remote = remote
        self._seconds = seconds

    async def stat(
        self, path: str, *, dereference: bool, system: SystemView, caller: Caller, trace: Trace
    ) -> Mapping[str, Any]:
        """Attributes of a file, as docs/protocol.md names them.

        Args:
            dereference: of what a link points to.

        Raises:
            FileFailed
        """
        if not caller.covers(system.name):
            raise FileFailed(FileStage.STAT, Denied(f"tokens of this issuer do not count for the system {system.name}"))
        try:
            answer = await self._remote.run(
                StatFile(path, dereference=dereference),
                system=system.name,
                spec=system.spec,
                user=caller.user,
                basis=caller.basis,
                trace=trace,
                seconds=self._seconds,
            )
        except GoldcrestError as error:
            raise FileFailed(FileStage.STAT, error) from error
        return answer.result

    async def read(self, path: str, *, limit: int, system: SystemView, caller: Caller, trace: Trace) -> bytes:
        """The whole file.

        Args:
            limit: bytes it may have.

        Raises:
            TooLarge: it has more.
            FileFailed: anything else.
        """
        attributes = await self.stat(path, dereference=True, system=system, caller=caller, trace=trace)
        if int(attributes["size"]) > limit:
            raise TooLarge(f"{path} has more than {limit} bytes")
        try:
            answer = await self._remote.run(
                # One byte more than allowed: a file that grows meanwhile (a job's output) is noticed, not cut.
                ReadFile(path, offset=0, length=limit + 1),
                system=system.name,
                spec=system.spec,
                user=caller.user,
                basis=caller.basis,
                trace=trace,
                seconds=self._seconds,
            )
        except GoldcrestError as error:
            raise FileFailed(FileStage.READ, error) from error
        if len(answer.data) > limit:
            raise TooLarge(f"{path} has more than {limit} bytes")
        return answer.data
