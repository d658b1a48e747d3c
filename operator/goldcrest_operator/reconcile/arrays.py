"""An array in numbers: what the scheduler shows now, put together with what it showed before and has forgotten. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from goldcrest.models.job_details import ELEMENTS_LIMIT, FAILURES_LIMIT, ArrayFailure, ArrayStates, ArrayStatus
from goldcrest.wellknown import Phase
from goldcrest_operator.scheduler.elements import indexes, ranges
from goldcrest_operator.scheduler.interface import Element
from goldcrest_operator.scheduler.states import meaning

FORGOTTEN = "FORGOTTEN"
"""Our word for elements that left the queue between two looks; at the end accounting says what became of them."""
_MORE = "…"
_STATES_LIMIT = 32


def merged(before: ArrayStatus | None, elements: Sequence[Element]) -> ArrayStatus:
    """The array as it is known now."""
    now = {element.number: element.state for element in elements}
    for states in before.states if before is not None else ():
        for number in indexes(states.elements.removesuffix(_MORE)):
            if number not in now:
                now[number] = states.state if _has_ended(states.state) else FORGOTTEN
    by_state: dict[str, list[int]] = {}
    for number, state in now.items():
        by_state.setdefault(state, []).append(number)
    shown = [_states(state, numbers, before) for state, numbers in sorted(by_state.items())][:_STATES_LIMIT]
    return ArrayStatus(
        total=max(sum(states.count for states in shown), before.total if before is not None else 0),
        states=shown,
        failures=_failures(before, elements),
    )


def _has_ended(state: str) -> bool:
    return state == FORGOTTEN or meaning(state)[0].finished


def _states(state: str, numbers: list[int], before: ArrayStatus | None) -> ArrayStates:
    text = ""
    for part in ranges(numbers):
        if len(text) + len(part) + 2 > ELEMENTS_LIMIT:
            text += _MORE
            break
        text += f",{part}" if text else part
    count = len(numbers)
    if _has_ended(state) and before is not None:
        # Those that did not fit into the text are known by their number only.
        count = max(count, next((s.count for s in before.states if s.state == state and s.elements.endswith(_MORE)), 0))
    return ArrayStates(state=state[:128], count=count, elements=text)


def _failures(before: ArrayStatus | None, elements: Sequence[Element]) -> list[ArrayFailure]:
    found = {failure.index: failure for failure in (before.failures if before is not None else ())}
    for element in elements:
        if meaning(element.state)[0] in (Phase.FAILED, Phase.CANCELLED):
            known = found.get(element.number)
            found[element.number] = ArrayFailure(
                index=element.number,
                state=element.state[:128],
                exit_code=element.exit_code if element.exit_code is not None or known is None else known.exit_code,
                signal=element.signal if element.signal is not None or known is None else known.signal,
            )
        else:
            found.pop(element.number, None)  # put back into the queue
    return [found[number] for number in sorted(found)][:FAILURES_LIMIT]
