"""File name patterns of sbatch (`%j`, `%x`, `%A_%a` …) put in as far as they are known. Source: sbatch(1), "filename pattern"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_PLACE: Final = re.compile(r"%(?:%|([0-9]*)([AabJjNnstux]))")
_NUMBERS: Final = frozenset("AabJjnt")
_WIDTH_MOST: Final = 10  # sbatch cuts larger widths off


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a job, or of one element of an array.

    Args:
        job_id: of the job; of an array, its base id.
        array: whether it is one; then ``%j`` differs by element, and stays unless ``element_id`` is known.
        index: of the element; None: not known, or it is no array.
        element_id: the element's own job id.
        node: short name of the first node, where the batch script runs.
    """

    job_id: str
    name: str
    user: str
    array: bool = False
    index: int | None = None
    element_id: str | None = None
    node: str | None = None


def resolved(pattern: str | None, facts: Facts) -> str | None:
    """``pattern`` with everything put in that is known; what is not known stays as it is written.

    A backslash anywhere means that sbatch puts nothing in, and is left out.
    """
    if pattern is None:
        return None
    if "\\" in pattern:
        return pattern.replace("\\", "")
    values = _values(facts)

    def put_in(match: re.Match[str]) -> str:
        if match[2] is None:
            return "%"
        value = values.get(match[2])
        if value is None:
            return match[0]
        width = min(int(match[1] or 0), _WIDTH_MOST)
        return value.zfill(width) if match[2] in _NUMBERS else value

    if any(match[2] is not None and values.get(match[2]) is None for match in _PLACE.finditer(pattern)):
        # `%%` stays too: once `%` stands there, nobody could tell it from a place that is still open.
        return _PLACE.sub(lambda match: match[0] if match[2] is None else put_in(match), pattern)
    return _PLACE.sub(put_in, pattern)


def default_pattern(*, array: bool) -> str:
    """Where output goes when nobody says: in the directory that the job starts in."""
    return "slurm-%A_%a.out" if array else "slurm-%j.out"


def _values(facts: Facts) -> dict[str, str | None]:
    index = str(facts.index) if facts.index is not None else None
    own = facts.element_id if facts.array else facts.job_id
    return {
        "A": facts.job_id,
        "a": index if facts.array else "4294967294",  # NO_VAL, as sbatch does
        "b": (str(facts.index % 10) if facts.index is not None else None) if facts.array else "4",
        "J": own,  # jobid.stepid; a batch script has no step
        "j": own,
        "N": facts.node,
        "n": "0",  # the batch script is node 0 and task 0 of itself
        "s": None,  # of a batch script it differs by release
        "t": "0",
        "u": facts.user,
        "x": facts.name,
    }


def first_node(node_list: str) -> str | None:
    """Short name of the first node of Slurm's short form: ``n1`` of ``n[1-4,7].example.org``; None when it is none."""
    match = re.fullmatch(r"([^\[,]*)(?:\[([0-9]+)[^\]]*\])?([^,\[]*)(?:,.*)?", node_list, re.DOTALL)
    if match is None:
        return None
    return f"{match[1]}{match[2] or ''}{match[3]}".partition(".")[0] or None
