"""The switch of the gateway's own: a file that takes it, or single Systems, out of service with a message. Read again while it runs.

Policy's maintenance windows (docs/policy.md) are the better tool where a time is known: they count for kubectl and the operator as well.
This one needs neither OPA nor delegation, and stops requests before anything else is asked.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from goldcrest.errors import InvalidInput
from goldcrest.telemetry import Log
from goldcrest_api.codes import Code
from goldcrest_api.dialect import Fault
from goldcrest_api.mounts import send_fault
from goldcrest_api.pages import is_page

LOOK_SECONDS: Final = 2.0
MAINTENANCE: Final = Code("Maintenance", retryable=True)
_OPEN: Final = frozenset({"/livez", "/readyz"})  # and the documentation

_log = Log(__name__)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    message: str = Field(default="", max_length=2000)
    retry_after_seconds: int = Field(default=60, ge=1, le=31_536_000)
    systems: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closed:
    """What is out of service.

    Args:
        message: for everybody; empty: the gateway serves.
        retry_seconds: what clients are told.
        systems: message by name of System.
    """

    message: str = ""
    retry_seconds: int = 60
    systems: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def parse_closed(text: str) -> Closed:
    """Read the file's text: ``message``, ``retry_after_seconds``, and the table ``systems``; an empty one closes nothing.

    Raises:
        InvalidInput: saying what is wrong.
    """
    try:
        found = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"it is no TOML: {error}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidInput(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    return Closed(found.message.strip(), found.retry_after_seconds, MappingProxyType(dict(found.systems)))


class Maintenance:
    """The switch.

    Args:
        path: the file; None: there is none, and nothing is ever closed. A file that is not there closes nothing.

    Raises:
        InvalidInput: the file cannot be understood. Later, what was read last stays in force.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen = ""
        self._wrong = ""
        self.now = Closed()
        if path is not None:
            try:
                self._seen = _text(path)
                self.now = parse_closed(self._seen)
            except InvalidInput as error:
                raise InvalidInput(f"maintenance file {path}: {error.message}") from error
            if self.now != Closed():
                self._tell()

    async def run(self) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read the file again, if there is one."""
        if self._path is None:
            return
        try:
            text = _text(self._path)
            if text == self._seen:
                return
            self._seen = text
            self.now = parse_closed(text)
        except InvalidInput as error:
            if error.message != self._wrong:
                self._wrong = error.message
                effect = "what was read last stays in force"
                _log.error("maintenance.wrong", file=str(self._path), reason=error.message, effect=effect)
            return
        self._wrong = ""
        self._tell()

    def _tell(self) -> None:
        _log.warning("maintenance.switch", closed=self.now.message or "no", systems=sorted(self.now.systems))


class MaintenanceGate:
    """ASGI middleware: while the gateway is closed every request ends here, but those for health and documentation."""

    def __init__(self, app: ASGIApp, *, maintenance: Maintenance) -> None:
        self._app = app
        self._maintenance = maintenance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        closed = self._maintenance.now
        if not closed.message or scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {}).update(code=MAINTENANCE.name, reason=closed.message)
        headers = {"Retry-After": str(closed.retry_seconds)}
        await send_fault(Fault(503, MAINTENANCE, "Maintenance", closed.message, headers), scope, receive, send)


def _is_open(path: str) -> bool:
    return path in _OPEN or is_page(path)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"it cannot be read: {error}") from error
