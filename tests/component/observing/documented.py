"""The list of metrics in docs/observing.md, as a table of names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
_ROW = re.compile(r"^\| `(goldcrest_[a-z_{},]+)` \| (counter|gauge|histogram) \| ([a-z, ]*)\|")


@dataclass(frozen=True)
class Documented:
    """One metric: as Prometheus shows it; a histogram without the suffixes of its parts."""

    name: str
    type: str
    labels: frozenset[str]

    @property
    def series(self) -> frozenset[str]:
        """Names that a query may have."""
        if self.type == "histogram":
            return frozenset(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return frozenset({self.name})

    @property
    def process(self) -> str:
        return self.name.split("_")[1]


def documented() -> dict[str, Documented]:
    """By name."""
    found: dict[str, Documented] = {}
    for line in (REPOSITORY / "docs" / "observing.md").read_text().splitlines():
        row = _ROW.match(line)
        if row is None:
            continue
        labels = frozenset(label.strip() for label in row[3].split(",") if label.strip())
        for name in _names(row[1]):
            assert name not in found, f"{name} is listed twice"
            found[name] = Documented(name, row[2], labels)
    return found


def _names(pattern: str) -> list[str]:
    """``goldcrest_{api,operator}_x`` stands for two."""
    braces = re.search(r"\{([a-z,]+)\}", pattern)
    if braces is None:
        return [pattern]
    return [pattern.replace(braces[0], process) for process in braces[1].split(",")]
