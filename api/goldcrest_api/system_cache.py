"""All Systems with their health, by name. Filled by a reflector."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from goldcrest.errors import InvalidInput
from goldcrest.grants import parse_time
from goldcrest.kube import Raw
from goldcrest.models.base import parse_model
from goldcrest.models.conditions import Condition
from goldcrest.models.system import FileSystemStatus, SystemSpec, SystemStatus
from goldcrest.telemetry import Log
from goldcrest.wellknown import ConditionType

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class SystemView:
    """A System as it is now."""

    name: str
    uid: str
    spec: SystemSpec
    ready: Condition | None
    """The condition Ready; None while nobody has looked yet."""
    checked_at: float
    """When somebody looked last, in seconds of the epoch; 0 when that is not known."""
    file_systems: tuple[FileSystemStatus, ...] = ()
    """What the operator saw of them."""

    @classmethod
    def of(cls, raw: Raw) -> SystemView:
        """Read the JSON of the API server.

        Raises:
            InvalidInput: when it does not fit the model.
        """
        status = parse_model(SystemStatus, raw.get("status") or {}, what="status")
        ready = next((c for c in status.conditions if c.type == ConditionType.READY), None)
        return cls(
            name=raw["metadata"]["name"],
            uid=raw["metadata"]["uid"],
            spec=parse_model(SystemSpec, raw.get("spec"), what="spec"),
            ready=ready,
            checked_at=_seconds(status.last_checked),
            file_systems=tuple(status.file_systems),
        )


class SystemCache:
    """Systems by name. Lives on one event loop."""

    def __init__(self) -> None:
        self._by_name: dict[str, SystemView] = {}

    def get(self, name: str) -> SystemView | None:
        return self._by_name.get(name)

    def all(self) -> list[SystemView]:
        """All of them, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def retain(self, uids: Set[str], *, resource_version: str) -> None:
        """A whole list was applied: what was not in it is gone."""
        self._by_name = {name: view for name, view in self._by_name.items() if view.uid in uids}

    def listed(self, raw: Raw, *, resource_version: str) -> None:
        self.apply(raw)

    def apply(self, raw: Raw) -> None:
        view = _read(raw)
        if view is not None:
            self._by_name[view.name] = view

    def remove(self, raw: Raw) -> None:
        self._by_name.pop(raw["metadata"]["name"], None)

    def advance(self, resource_version: str) -> None:
        """Nothing here depends on the position of the watch."""


def _seconds(time: str | None) -> float:
    try:
        return parse_time(time) if time is not None else 0.0
    except ValueError:
        return 0.0


def _read(raw: Raw) -> SystemView | None:
    try:
        return SystemView.of(raw)
    except (InvalidInput, KeyError, TypeError) as error:
        _log.warning("cache.unreadable", kind="System", name=(raw.get("metadata") or {}).get("name"), reason=str(error))
        return None
