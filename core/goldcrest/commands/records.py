"""Records of ``scontrol show -o``: nodes, partitions, reservations (contract 5.7). Pure: text in, frozen rows out.

One record a line, ``Name=value`` apart by blanks. Values may hold blanks and ``=`` (an operating system's name, a reason, a path), so a
value goes on up to the next word that looks like a name. Where a name comes twice the first counts: free text comes last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

_NAME = re.compile(r"(?:^|(?<=\s))([A-Z][A-Za-z/:_]*)=")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node. What its record does not say is None."""

    name: str
    active_features: tuple[str, ...] | None
    partitions: tuple[str, ...] | None
    state: tuple[str, ...] | None
    """Slurm's base state and its flags: ``("IDLE", "DRAIN")``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRow:
    """A partition, as Slurm words it. What its record does not say is None."""

    name: str
    state: str | None
    total_cpus: str | None
    total_nodes: str | None
    default: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRow:
    """A reservation; times are of the system, ``YYYY-MM-DDTHH:MM:SS``. What its record does not say is None."""

    name: str
    state: str | None
    nodes: str | None
    start_time: str | None
    end_time: str | None
    features: tuple[str, ...] | None


def parse_nodes(text: str) -> tuple[NodeRow, ...]:
    """Records of ``slurm.nodes``."""
    return tuple(
        NodeRow(
            name=record["NodeName"],
            active_features=_list(record.get("ActiveFeatures"), ","),
            partitions=_list(record.get("Partitions"), ","),
            state=_list(record.get("State"), "+"),
        )
        for record in _records(text, "NodeName")
    )


def parse_partitions(text: str) -> tuple[PartitionRow, ...]:
    """Records of ``slurm.partitions``."""
    return tuple(
        PartitionRow(
            name=record["PartitionName"],
            state=record.get("State"),
            total_cpus=record.get("TotalCPUs"),
            total_nodes=record.get("TotalNodes"),
            default=record.get("Default"),
        )
        for record in _records(text, "PartitionName")
    )


def parse_reservations(text: str) -> tuple[ReservationRow, ...]:
    """Records of ``slurm.reservations``; none for "No reservations in the system"."""
    return tuple(
        ReservationRow(
            name=record["ReservationName"],
            state=record.get("State"),
            nodes=record.get("Nodes"),
            start_time=record.get("StartTime"),
            end_time=record.get("EndTime"),
            features=_list(record.get("Features"), "&"),
        )
        for record in _records(text, "ReservationName")
    )


def record_fields(line: str) -> dict[str, str]:
    """The fields of a record in one line; linear in its length, whatever its users put into it."""
    fields: dict[str, str] = {}
    names = list(_NAME.finditer(line))
    for match, following in zip_longest(names, names[1:]):
        value = line[match.end() : following.start() if following else len(line)]
        fields.setdefault(match[1], value.strip())
    return fields


def _records(text: str, first: str) -> Iterator[Mapping[str, str]]:
    for line in text.split("\n"):
        if line.startswith(f"{first}="):
            yield record_fields(line)


def _list(value: str | None, separator: str) -> tuple[str, ...] | None:
    return None if value is None else tuple(value.split(separator))
