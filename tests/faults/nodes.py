"""The login node with a launcher that kills the filter; the filter itself is the one that is shipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from bed import Bed
from goldcrest_bed.components.node import FILTER_PATH

_FOLDER: Final = f"{PurePosixPath(FILTER_PATH).parent}/armed"
LAUNCHER: Final = Path(__file__).with_name("faulty_launcher.py")
_SHIPPED: Final = f"{FILTER_PATH}.shipped"
_PUT: Final = 'set -e; cat > "$1.new"; chmod 755 "$1.new"; mv "$1.new" "$1"'


class FaultyFilter:
    """Arms points of the filters that start from now on."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed

    def arm(self, points: Iterable[str]) -> None:
        """``point@operation``: filters of alice's die there, one at each. All at once: between two deaths nothing goes on unnoticed."""
        self._bed.node("touch", *(f"{_FOLDER}/{point}" for point in points), user="alice")

    def until_struck(self) -> None:
        """One has died at each."""
        self._bed.until(lambda: self._bed.node("ls", _FOLDER).split(), lambda armed: not armed, seconds=180)


@contextmanager
def faulty_filter(bed: Bed) -> Iterator[FaultyFilter]:
    """The other launcher is there meanwhile. Filters that ran before end: on their channels nothing would happen."""
    bed.node("install", "--directory", "--owner=alice", _FOLDER)
    bed.node("cp", "--preserve=all", FILTER_PATH, _SHIPPED)
    put = bed.faults.node_run(["sh", "-c", _PUT, "put", FILTER_PATH], stdin=LAUNCHER.read_text())
    assert put.returncode == 0, put.stderr
    try:
        _end_filters(bed)
        yield FaultyFilter(bed)
    finally:
        bed.node("mv", _SHIPPED, FILTER_PATH)
        bed.node("rm", "-r", _FOLDER)


def _end_filters(bed: Bed) -> None:
    """By their ids in the node: idle ones, which hold channels open."""
    for pid in bed.node("pgrep", "--full", f"^/usr/bin/python3 -IS {FILTER_PATH}", check=False).split():
        bed.node("kill", pid, check=False)
