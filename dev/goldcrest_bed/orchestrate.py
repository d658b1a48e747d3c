"""Starting and stopping everything, in the order that the needs give."""

from __future__ import annotations

import concurrent.futures
import traceback
from collections.abc import Iterable

from goldcrest_bed import processes
from goldcrest_bed.component import Component
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError


def with_needs(components: dict[str, Component], names: Iterable[str]) -> dict[str, Component]:
    """The named components and, transitively, those that they need; in the order of ``components``."""
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in components:
            raise BedError(f"there is no component {name}; there are: {', '.join(components)}")
        if name not in wanted:
            wanted.add(name)
            pending += components[name].needs
    return {name: component for name, component in components.items() if name in wanted}


def up(bed: Bed, components: dict[str, Component]) -> None:
    """Bring all to ready, each as soon as its needs are; one failure does not stop the independent ones.

    :raises BedError: naming every component that failed, with the reason.
    """
    futures: dict[str, concurrent.futures.Future[None]] = {}

    def bring_up(component: Component) -> None:
        component.prepare()
        for need in component.needs:
            try:
                futures[need].result()
            except BedError as error:
                raise _NeedFailed(need) from error
        component.start()

    # One thread each: a thread that waits for another's result must never keep that one from running.
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(components)) as pool:
        for component in components.values():
            futures[component.name] = pool.submit(bring_up, component)
    problems = [problem for name, future in futures.items() if (problem := _problem(name, future))]
    if problems:
        raise BedError("\n".join(problems))


class _NeedFailed(BedError):
    """Said by the component that it is about, so not again."""


def _problem(name: str, future: concurrent.futures.Future[None]) -> str:
    error = future.exception()
    if error is None or isinstance(error, _NeedFailed):
        return ""
    if isinstance(error, BedError):
        return f"{name}: {error}"
    return f"{name}: {''.join(traceback.format_exception(error))}"


def down(bed: Bed, components: dict[str, Component], *, leftovers: bool = True) -> None:
    """Stop components, users before those they use, and remove their data.

    :param leftovers: end whatever else carries the bed's mark, too.
    :raises BedError: naming what could not be stopped; the rest is stopped all the same.
    """
    problems = []
    for component in reversed(components.values()):
        try:
            if component.runs and component.state() != "stopped":
                with bed.report.step(component.name, "stopping"):
                    component.stop()
            component.clean()
        except BedError as error:
            problems.append(f"{component.name}: {error}")
    for pid in processes.marked(f"{bed.paths.state}:") if leftovers else ():
        bed.report.line("bed", f"ending process {pid}, which nobody knew of any more")
        processes.end(pid)
    if problems:
        raise BedError("\n".join(problems))
