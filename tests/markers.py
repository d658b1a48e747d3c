"""Secrets that a test plants, and the search for them in what a run leaves behind (T12)."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CONTEXT = 60  # characters shown before a find; the secret itself is not


def marker(what: str) -> str:
    """A secret that is found again: letters and digits only, so that JSON, URLs and shells leave it as it is."""
    return f"{what}{secrets.token_hex(12)}"


@dataclass
class Secrets:
    """What was planted under which name, and where it was found.

    ``legitimate`` has pairs of secret and place (its beginning) where the secret belongs: found there it counts as *kept*, so that a
    test can show that the search would have found it.
    """

    legitimate: frozenset[tuple[str, str]] = frozenset()
    leaks: list[str] = field(default_factory=list)
    kept: set[tuple[str, str]] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    _needles: dict[str, list[bytes]] = field(default_factory=dict)

    def plant(self, name: str, value: str) -> str:
        """Remember a secret; gives it back."""
        self._needles.setdefault(name, []).extend(_forms(value))
        return value

    def search(self, place: str, data: bytes | str) -> None:
        """Look for every secret in what is at this place."""
        self.places.add(place)
        content = data.encode(errors="surrogateescape") if isinstance(data, str) else data
        for name, needles in self._needles.items():
            at = next((found for needle in needles if (found := content.find(needle)) >= 0), -1)
            if at < 0:
                continue
            home = next((kept for kept in self.legitimate if kept[0] == name and place.startswith(kept[1])), None)
            if home is not None:
                self.kept.add(home)
            else:
                before = content[max(0, at - _CONTEXT) : at].decode(errors="replace")
                self.leaks.append(f"{name} in {place}, after {before!r}")

    def search_resource(self, place: str, raw: Mapping[str, Any]) -> None:
        """A Kubernetes object, part by part: each has its own rule."""
        content = dict(raw)
        meta = dict(content.pop("metadata", {}))
        annotations = meta.pop("annotations", None) or {}
        spec = content.pop("spec", {})
        for name, value in annotations.items():
            self.search(f"{place} annotation {name.rpartition('/')[2]}", value)
        if isinstance(spec, dict):
            for name, value in spec.items():
                self.search(f"{place} spec.{name}", json.dumps(value))
        self.search(f"{place} metadata", json.dumps(meta))
        self.search(f"{place} rest", json.dumps(content))


def _forms(value: str) -> Iterator[bytes]:
    """A secret as it stands, and within base64 of a longer text at each of the three places it can begin at."""
    data = value.encode()
    yield data
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + data)
        first, last = (0, 2, 3)[shift], len(encoded) - 4
        yield encoded[first:last]
        yield encoded[first:last].replace(b"+", b"-").replace(b"/", b"_")


def processes(*, marked: bytes = b"", also: Iterable[int] = ()) -> Iterator[tuple[int, str, bytes, bytes]]:
    """Pid, name, command line and environment of processes of this machine: with this in their environment, or named."""
    wanted = set(also)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            if int(folder.name) in wanted or (marked and marked in environment):
                yield int(folder.name), (folder / "comm").read_text().strip(), _read(folder / "cmdline"), environment
        except OSError:
            continue


def _read(path: Path) -> bytes:
    return path.read_bytes()
