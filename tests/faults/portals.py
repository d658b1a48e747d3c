"""Clients of the REST door whose requests die on the way, and who send them again."""

from __future__ import annotations

import http.client
import secrets
import urllib.error
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from bed import Answer, Bed
from faults.campaign import GATEWAY, Campaign
from faults.works import Batch, Kind, Made
from goldcrest.wellknown import rest_name

_Request = Callable[[], Answer]


@dataclass(slots=True)
class Portal:
    """Many clients at once.

    Args:
        number: of requests in a row of the table.
    """

    campaign: Campaign
    number: int
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.token = self.bed.token()

    @property
    def bed(self) -> Bed:
        return self.campaign.bed

    def dies_while_submitting(self, process: str, point: str) -> Batch:
        """Each submission has a key: sent again, it is the same task."""
        keys = self._keys()
        ids = self._sent_twice(process, point, [self._submission(key) for key in keys])
        return self._batch("run", "Job", "plain", ids, keys)

    def dies_while_cancelling(self, process: str, point: str) -> Batch:
        """Jobs that wait in the queue are cancelled by their ids of the scheduler; asking again changes nothing."""
        keys = self._keys()
        waits = f"#SBATCH --dependency=afterany:{self.campaign.gate}\n"
        ids = [_task_id(self._submission(key, lines=waits)()) for key in keys]
        jobs = [str(self.bed.task_ended(task)["data"]["jobid"]) for task in ids]
        self._dies(process, point, [self._request("DELETE", f"/compute/jobs/{job}") for job in jobs])
        return self._batch("cancel", "Job", "plain", ids, keys)

    def dies_while_asking(self, process: str, point: str) -> Batch:
        """Questions have no key: one that is asked again is another task."""
        answers = self._dies(process, point, [self._request("GET", "/compute/jobs")] * self.number)
        return self._batch("tasks", "Task", "asks-listjobs", [_task_id(answer) for answer in answers], self._keys())

    def _sent_twice(self, process: str, point: str, requests: Sequence[_Request]) -> list[str]:
        ids = [_task_id(answer) for answer in self._dies(process, point, requests)]
        assert [_task_id(request()) for request in requests] == ids
        return ids

    def _dies(self, process: str, point: str, requests: Sequence[_Request]) -> list[Answer]:
        """Send all at once, have the process die of it, and send what got no good answer again until it has one."""
        answers: list[Answer | None] = []

        def send() -> None:
            with ThreadPoolExecutor(len(requests)) as pool:
                answers[:] = pool.map(_answer, requests)

        self.campaign.die(process, point, meanwhile=send)
        if process == GATEWAY:
            assert None in answers, "the gateway died of a request that was answered all the same"
        self.campaign.calm(process)
        return [answer or self._repeated(request) for answer, request in zip(answers, requests, strict=True)]

    def _repeated(self, request: _Request) -> Answer:
        answer: Answer = self.bed.until(lambda: _answer(request), lambda seen: seen is not None)
        return answer

    def _submission(self, key: str, *, lines: str = "") -> _Request:
        script = self.campaign.works.script(key, lines=lines).encode()
        return lambda: self.bed.upload(script, token=self.token, headers={"Idempotency-Key": key})

    def _request(self, method: str, path: str) -> _Request:
        return lambda: self.bed.call(method, path, token=self.token)

    def _keys(self) -> list[str]:
        return [secrets.token_hex(8) for _ in range(self.number)]

    def _batch(
        self, work: Kind, kind: Literal["Job", "Task"], role: str, ids: Sequence[str], keys: Sequence[str]
    ) -> Batch:
        made = [Made(kind, role, rest_name(task), {}, key) for task, key in zip(ids, keys, strict=True)]
        batch = Batch(self.campaign.label(), work, tuple(made))
        self.campaign.batches[batch.label] = batch
        return batch


def _answer(request: _Request) -> Answer | None:
    """None: there was no answer, or one that says that it did not work."""
    try:
        answer = request()
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return None
    return answer if answer.status < 300 else None


def _task_id(answer: Answer) -> str:
    assert answer.status in (200, 201), (answer.status, answer.body)
    return str(answer.json["task_id"])
