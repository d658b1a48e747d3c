"""The pinned versions of ``dev/versions.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldcrest_bed.paths import DEV


@dataclass(frozen=True)
class GoProgram:
    """A program that is built from a public Go module."""

    name: str
    module: str
    package: str
    version: str


@dataclass(frozen=True)
class Versions:
    """Content of the file; ``go`` holds the Go programs by name."""

    toolchain: dict[str, str]
    go: dict[str, GoProgram]
    kubectl_minimum: str
    image: dict[str, str]
    maven: dict[str, dict[str, str]]

    @classmethod
    def load(cls, path: Path = DEV / "versions.toml") -> Versions:
        """Read the file."""
        raw: dict[str, Any] = tomllib.loads(path.read_text())
        return cls(
            toolchain=raw["toolchain"],
            go={name: GoProgram(name=name, **entry) for name, entry in raw["go"].items()},
            kubectl_minimum=raw["kubectl"]["minimum"],
            image=raw["image"],
            maven=raw["maven"],
        )


def as_tuple(text: str) -> tuple[int, ...]:
    """The first dotted number in ``text`` (``go1.26.8`` → ``(1, 26, 8)``); empty if there is none."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
