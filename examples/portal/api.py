"""Calls to Goldcrest for one user: with a trace of our own, and errors told apart by their codes, never by their words."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

log = logging.getLogger("portal")

TRIES = 3
LONGEST_PAUSE = 5.0  # seconds; what takes longer is the user's to decide


@dataclass
class Failed(Exception):
    """Goldcrest refused, or could not be asked."""

    status: int
    code: str
    """``X-Goldcrest-Code``: documented in docs/using.md, never changes its meaning."""
    retryable: bool
    """``X-Goldcrest-Retryable``: the same request may succeed later by itself."""
    after: float
    """Seconds until it makes sense."""
    text: str
    trace_id: str


def new_trace() -> str:
    """A ``traceparent`` (W3C): every part of Goldcrest that this request reaches continues it."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


class Goldcrest:
    """The API.

    Args:
        url: of the gateway.
        token: gives the user's access token, ``fresh=True`` one that was not tried yet.
        trace: of the portal's request that is served.
    """

    def __init__(
        self, client: httpx2.AsyncClient, *, url: str, system: str, trace: str, token: Callable[[bool], Awaitable[str]]
    ) -> None:
        self._client = client
        self._url = url
        self._system = system
        self._trace = trace
        self._token = token

    async def whoami(self) -> str:
        return str((await self._call("GET", "/utilities/whoami"))["output"])

    async def submit(self, script: str, *, key: str) -> str:
        """The id of the task.

        Args:
            key: the same for the same wish: however often it is sent, it is one job.
        """
        file = {"file": ("job.sh", script.encode())}
        answer = await self._call("POST", "/compute/jobs/upload", files=file, headers={"Idempotency-Key": key})
        return str(answer["task_id"])

    async def task(self, task_id: str) -> dict[str, Any]:
        task: dict[str, Any] = (await self._call("GET", f"/tasks/{task_id}"))["task"]
        return task

    async def _call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> dict[str, Any]:
        fresh = False
        for attempt in range(1, TRIES + 1):
            try:
                return await self._once(method, path, headers or {}, fresh, more)
            except Failed as error:
                log.warning("%s %s: %s %s trace=%s", method, path, error.status, error.code, error.trace_id)
                if error.status == 401 and error.code != "InsufficientAuthentication" and not fresh:
                    fresh = True  # it ended earlier than it said; nothing was done yet, so it can be said again
                elif not error.retryable or error.after > LONGEST_PAUSE or attempt == TRIES:
                    raise
                else:
                    await asyncio.sleep(error.after)
        raise AssertionError("every way out is above")

    async def _once(
        self, method: str, path: str, headers: dict[str, str], fresh: bool, more: dict[str, Any]
    ) -> dict[str, Any]:
        sent = {
            "Authorization": f"Bearer {await self._token(fresh)}",
            "X-Machine-Name": self._system,
            "traceparent": self._trace,
            **headers,
        }
        trace_id = self._trace.split("-")[1]
        try:
            reply = await self._client.request(method, self._url + path, headers=sent, **more)
        except (
            httpx2.TransportError
        ) as error:  # whether it arrived is not known: to be sent again only where that does no harm
            harmless = method == "GET" or "Idempotency-Key" in headers
            raise Failed(0, "NoAnswer", harmless, 1.0, "the API cannot be reached", trace_id) from error
        body = _json(reply)
        if reply.is_success:
            return body
        after = reply.headers.get("Retry-After", "")
        raise Failed(
            reply.status_code,
            reply.headers.get("X-Goldcrest-Code", "Error"),
            reply.headers.get("X-Goldcrest-Retryable") == "true",
            float(after) if after.isdigit() else 1.0,
            " ".join(str(body[key]) for key in ("description", "error", "message") if body.get(key)),
            trace_id,
        )


def _json(reply: httpx2.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:  # of a proxy before the gateway, say
        found = {}
    return found if isinstance(found, dict) else {}
