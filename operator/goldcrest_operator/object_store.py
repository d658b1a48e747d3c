"""The look at a System's object store: does its endpoint answer. Nothing is asked of it for which one must be known there."""

from __future__ import annotations

import asyncio

import aiohttp

from goldcrest.errors import InvalidInput
from goldcrest.models.system import ObjectStore, ProbeState
from goldcrest.tls import client_context

_TROUBLE = 500  # HTTP status from which on a server says that it cannot; below, it says no, and so is there


async def look_at(store: ObjectStore, *, ca_file: str | None, seconds: float) -> tuple[ProbeState, str]:
    """Ask its endpoint without credentials, and read the status of the answer alone.

    Args:
        ca_file: certificates that an https endpoint is verified against; None: the system's.
        seconds: for all of it.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        context = await asyncio.to_thread(client_context, ca_file)
    except InvalidInput as error:
        return "Unknown", f"not looked at: {error.message}"
    try:
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(store.url, allow_redirects=False) as answer,
        ):
            status = answer.status
    except TimeoutError:
        return "Down", f"it did not answer within {seconds:g} s"
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError) as error:
        return "Down", f"it cannot be asked: {error or type(error).__name__}"
    if status >= _TROUBLE:
        return "Down", f"it answers with the status {status}"
    return "Up", "The object store answers."
