"""What a command gives back, and what the pool says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a command that went well."""

    result: dict[str, Any]
    """The JSON object of the ANSWER frame."""
    data: bytes = b""
    """What came as DATA before (``fs.read``), bounded by the settings."""
    host: str = ""
    """``address:port`` of the login host used."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts of this moment, for metrics."""

    connections: int
    """Open, those that take no new requests included."""
    opening: int
    """Being opened."""
    channels: int
    in_flight: int
    """Requests that have a channel or still run on a node."""
    streams: int
    """Downloads under way."""
    resting_hosts: int
    """Login hosts that are left alone for now after failures."""
