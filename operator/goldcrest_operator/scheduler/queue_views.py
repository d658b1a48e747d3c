"""Views of what squeue lists. Of ten thousand jobs a hundred change in a second: of the others the view is the one of the last answer."""

from __future__ import annotations

from collections.abc import Sequence

from goldcrest.commands.outputs import SEPARATOR, queue_base, queue_fields, queue_row
from goldcrest_operator.scheduler.interface import JobView
from goldcrest_operator.scheduler.states import view_of

_ELAPSED = 10  # the field that moves every second, and is no change


class QueueViews:
    """Remembers the last answer to one question."""

    def __init__(self) -> None:
        self._last: dict[str, JobView] = {}

    def read(self, text: str) -> tuple[JobView, ...]:
        """One view for each job, array or heterogeneous job.

        Left out are jobs whose id is listed twice: a line break in somebody's comment can make a line that looks like another's job.
        """
        jobs: dict[str, list[Sequence[str]]] = {}
        ids: set[str] = set()
        unclear: set[str] = set()
        for fields in queue_fields(text):
            jobs.setdefault(queue_base(fields), []).append(fields)
            if fields[0] in ids:
                unclear.add(fields[0])
            ids.add(fields[0])
        now: dict[str, JobView] = {}
        for rows in jobs.values():
            if unclear and any(fields[0] in unclear for fields in rows):
                continue
            key = "\n".join(SEPARATOR.join((*fields[:_ELAPSED], *fields[_ELAPSED + 1 :])) for fields in rows)
            now[key] = self._last.get(key) or view_of([queue_row(fields) for fields in rows])
        self._last = now
        return tuple(now.values())
