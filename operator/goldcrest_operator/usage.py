"""Which ended jobs accounting is still to be asked about, and when: it learns of an end later than the controller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from goldcrest_operator.store import Followed

PAUSE_SECONDS = 600.0
"""A system whose accounting does not answer is left in peace for this long: nothing depends on the answer."""
OWED_LIMIT = 5000
"""Jobs of one lane that are remembered; of further ones nothing is asked."""


@dataclass(slots=True)
class _Question:
    job: Followed
    due: float
    times: int = 0


class UsageQuestions:
    """By system and user.

    Args:
        after: seconds after the end at which it is asked; when accounting does not know it the last time, never again.
    """

    def __init__(self, after: Sequence[float], *, clock: Callable[[], float]) -> None:
        self._after = tuple(after)
        self._clock = clock
        self._owed: defaultdict[tuple[str, str], dict[str, _Question]] = defaultdict(dict)
        self._paused_until: dict[str, float] = {}

    def owe(self, job: Followed) -> None:
        """It has ended."""
        if self._after and self._clock() >= self._paused_until.get(job.system, 0.0):
            owed = self._owed[job.system, job.user]
            if job.uid not in owed and len(owed) < OWED_LIMIT:
                owed[job.uid] = _Question(job, self._clock() + self._after[0])

    def is_owed(self, system: str, user: str) -> bool:
        """Whether anything will be asked; without a user, for anybody."""
        return any(self._of(system, user))

    def due(self, system: str, user: str) -> list[Followed]:
        """Jobs to ask for now."""
        now = self._clock()
        return [question.job for question in self._of(system, user) if question.due <= now]

    def answered(self, asked: Iterable[Followed], known: Container[str]) -> list[Followed]:
        """Those of ``asked`` whose job ids are ``known``; the others are asked for later, or never again."""
        found = []
        for job in asked:
            owed = self._owed[job.system, job.user]
            question = owed.get(job.uid)
            if question is None:
                continue
            if job.job_id in known:
                found.append(job)
            question.times += 1
            if job.job_id in known or question.times == len(self._after):
                del owed[job.uid]
            else:
                question.due = self._clock() + self._after[question.times] - self._after[question.times - 1]
        return found

    def give_up(self, jobs: Iterable[Followed]) -> None:
        for job in jobs:
            self._owed[job.system, job.user].pop(job.uid, None)

    def pause(self, system: str) -> None:
        """Accounting does not answer: what is owed there is forgotten, and nothing new is owed for a while."""
        self._paused_until[system] = self._clock() + PAUSE_SECONDS
        for place in [place for place in self._owed if place[0] == system]:
            del self._owed[place]

    def forget(self, uid: str) -> None:
        for owed in self._owed.values():
            owed.pop(uid, None)

    def _of(self, system: str, user: str) -> Iterator[_Question]:
        for (its, whose), owed in self._owed.items():
            if its == system and user in ("", whose):
                yield from owed.values()
