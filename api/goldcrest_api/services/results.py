"""Results of Tasks: read when somebody asks, compared with their digest, never kept here."""

from __future__ import annotations

import asyncio
import base64
import binascii
import zlib
from typing import Final

from goldcrest.canonical import sha256_hex
from goldcrest.errors import GoldcrestError, NotFound
from goldcrest.kube import Kube
from goldcrest.models.conditions import now
from goldcrest.models.task import RESULT_LIMIT, TaskResultRecord
from goldcrest.telemetry import Log
from goldcrest.wellknown import ANNOTATION_READ_AT, Kind
from goldcrest_api.task_view import TaskCache, TaskView

_log = Log(__name__)
_AT_ONCE: Final = 8  # notes of reading under way; more are left to the next reading


class ResultGone(NotFound):
    """A result that was there is not any more, or is not what the Task's status says."""

    code = "ResultGone"


class Results:
    """Reads results, and notes that somebody did."""

    def __init__(self, *, kube: Kube, tasks: TaskCache) -> None:
        self._kube = kube
        self._tasks = tasks
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def read(self, task: TaskView) -> bytes:
        """The JSON of the result of a Task that succeeded.

        Raises:
            ResultGone: it cannot be had any more.
            KubernetesUnavailable: not now.
        """
        record = task.status.result
        if record is None:
            raise ResultGone("the task has no result")
        if record.inline is not None:
            return _checked(record.inline.encode(), record)
        packed = []
        for name in record.names:
            try:
                packed.append(await self._kube.get(Kind.TASK_RESULT, name, namespace=task.namespace))
            except NotFound as error:
                raise ResultGone("the result is gone") from error
        return await asyncio.to_thread(_unpacked, [str(raw.get("data")) for raw in packed], record)

    def note_read(self, task: TaskView) -> None:
        """Have it noted in the Task that its result was shown, so that it goes sooner; once, beside the answer."""
        if (
            task.read
            or not task.is_query
            or not task.finished
            or task.uid in self._noting
            or len(self._noting) >= _AT_ONCE
        ):
            return
        noting = asyncio.create_task(self._note(task))
        self._noting[task.uid] = noting
        noting.add_done_callback(lambda _: self._noting.pop(task.uid, None))

    async def _note(self, task: TaskView) -> None:
        patch = {"metadata": {"uid": task.uid, "annotations": {ANNOTATION_READ_AT: now()}}}
        try:
            self._tasks.learn(await self._kube.patch(Kind.TASK, task.name, patch, namespace=task.namespace))
        except GoldcrestError as error:  # another gateway was faster, or it goes when its hour is over
            _log.debug("task.not_noted", name=task.name, code=error.code, message=error.message)


def _unpacked(parts: list[str], record: TaskResultRecord) -> bytes:
    try:
        packed = b"".join(base64.b64decode(part, validate=True) for part in parts)
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        content = unpacker.decompress(packed, RESULT_LIMIT + 1)  # never more, whatever it would become
    except (binascii.Error, zlib.error) as error:
        raise ResultGone("the result cannot be read") from error
    return _checked(content, record)


def _checked(content: bytes, record: TaskResultRecord) -> bytes:
    if len(content) != record.size or sha256_hex(content) != record.sha256:
        raise ResultGone("the result is not the one that the task had")
    return content
