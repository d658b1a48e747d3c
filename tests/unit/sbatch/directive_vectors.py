"""The scripts of tests/data/directives and what their lines say: one set for both parsers, the control plane's and the node's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "data" / "directives"


@dataclass(frozen=True)
class Vector:
    """A script; and either what its lines set, in order, or the line that is refused and words of the reason."""

    name: str
    script: bytes
    set: list[tuple[int, str, Any]]
    work_directory: str | None = None
    refused: int | None = None
    words: str = ""

    def __str__(self) -> str:
        return self.name


def _vector(name: str, script: bytes, expected: dict[str, Any]) -> Vector:
    return Vector(
        name=name,
        script=script,
        set=[(line, option, value) for line, option, value in expected.get("set", [])],
        work_directory=expected.get("workDirectory"),
        refused=expected.get("refused"),
        words=expected.get("words", ""),
    )


def vectors() -> Iterator[Vector]:
    """Those of lines.json, and whole scripts with what is expected beside them."""
    for case in json.loads((FOLDER / "lines.json").read_text()):
        script = base64.b64decode(case["base64"]) if "base64" in case else case["script"].encode()
        yield _vector(case["name"], script, case)
    for path in sorted(FOLDER.glob("*.sh")):
        yield _vector(path.name, path.read_bytes(), json.loads(path.with_suffix(".json").read_text()))


VECTORS = list(vectors())
