"""The unmodified pyfirecrest v1: the sync and the async client under one interface, its command line, and which of their methods belong where.

What succeeds is noted: each area's test file ends with an error if a method or a command of the area did in none of its tests.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final

import firecrest
import pytest
from firecrest.FirecrestException import FirecrestException

from bed import Bed

ALICE: Final = "alice-client"
KINDS: Final = ("sync", "async")
COMMAND_LINE: Final = "command line"
NOBODYS_SYSTEM: Final = "nowhere"

METHODS: Final = {
    "status": {"all_services", "service", "all_systems", "system", "filesystems", "parameters"},
    "utilities": {
        *("list_files", "mkdir", "mv", "chmod", "chown", "copy", "compress", "extract", "file_type", "stat", "symlink"),
        *("simple_download", "simple_upload", "simple_delete", "checksum", "head", "tail", "view", "whoami", "groups"),
    },
    "reservations": {"all_reservations", "create_reservation", "update_reservation", "delete_reservation"},
    "compute": {"submit", "poll", "poll_active", "nodes", "partitions", "reservations", "cancel"},
}
COMMANDS: Final[dict[str, set[str]]] = {
    "status": {"services", "systems", "filesystems", "parameters", "tasks"},
    "utilities": {
        *("ls", "mkdir", "mv", "chmod", "chown", "cp", "compress", "extract", "file", "stat", "symlink", "rm"),
        *("checksum", "head", "tail", "whoami", "id", "download", "upload"),
    },
    "reservations": set(),  # `firecrest reservation` is a group without commands in pyfirecrest 3.10.0
    "compute": {"submit", "poll", "poll-active", "get-nodes", "get-partitions", "get-reservations", "cancel"},
}
# Methods that no test here calls, with the reason.
STORAGE: Final = dict.fromkeys(
    (
        *("external_upload", "external_download", "submit_move_job", "submit_copy_job", "submit_rsync_job"),
        *("submit_delete_job", "submit_compress_job", "submit_extract_job"),
    ),
    "of /storage, which is not there yet (docs/status.md)",
)
STORAGE_COMMANDS: Final = dict.fromkeys(
    (f"submit-template {command}" for command in ("mv", "cp", "rsync", "rm", "compress", "extract")),
    "of /storage, which is not there yet (docs/status.md)",
)
SENDS_NOTHING: Final = dict.fromkeys(
    ("log", "set_api_version", "close_session", "create_new_session", "is_session_closed"),
    "sets the client up, and asks the gateway for nothing",
)

_called: set[tuple[str, str]] = set()  # kind and method


class Token:
    """An authorisation that is this token, and never renewed."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_access_token(self) -> str:
        return self._token


class Client:
    """The sync and the async client under one interface. They find out the gateway's version by themselves."""

    def __init__(self, bed: Bed, kind: str, *, client: str = ALICE, token: str | None = None) -> None:
        self.kind = kind
        secret = bed.facts["oidc"]["clients"][client]["secret"]
        authorization: Any = (
            firecrest.ClientCredentialsAuth(client, secret, bed.facts["oidc"]["token_endpoint"])
            if token is None
            else Token(token)
        )
        made: Any = firecrest.v1.Firecrest if kind == "sync" else firecrest.v1.AsyncFirecrest
        self._client = made(firecrest_url=bed.api, authorization=authorization)
        # How patient they are is their user's to say: as they come, a task is looked at after a whole second.
        self._client.polling_sleep_times = [0.05] * 1200
        if kind == "async":
            self._client.time_between_calls = dict.fromkeys(self._client.time_between_calls, 0)
        self._system = bed.system
        self._loop = asyncio.new_event_loop()

    @classmethod
    @contextmanager
    def of(cls, bed: Bed, kind: str, **more: Any) -> Iterator[Client]:
        """A client that is closed afterwards."""
        made = cls(bed, kind, **more)
        try:
            yield made
        finally:
            made.close()

    def __call__(self, method: str, *args: Any, **more: Any) -> Any:
        """Call a method that takes the system first."""
        return self.plain(method, self._system, *args, **more)

    def plain(self, method: str, *args: Any, **more: Any) -> Any:
        """Call a method with these arguments only."""

        async def awaited(value: Awaitable[Any]) -> Any:
            return await value

        def call() -> Any:
            return getattr(self._client, method)(*args, **more)

        async def run() -> Any:
            value = call()
            return await awaited(value) if isawaitable(value) else value

        answer = self._loop.run_until_complete(run())
        _called.add((self.kind, method))  # an error does not count
        return answer

    def refusal(self, raised: type[FirecrestException], method: str, *args: Any, **more: Any) -> Any:
        """The last answer to a call that raises exactly this. ``args`` are all arguments, the system too."""
        with pytest.raises(FirecrestException) as caught:
            self.plain(method, *args, **more)
        assert caught.type is raised, (method, caught.value)
        return caught.value.responses[-1]

    def failure(self, method: str, *args: Any, **more: Any) -> str:
        """What the scheduler said: ``data`` of the task that a call on the system ends with as failed."""
        answer = self.refusal(FirecrestException, method, self._system, *args, **more)
        assert answer.status_code == 200, answer.text
        (task,) = answer.json()["tasks"].values()
        assert (task["status"], task["description"]) == ("400", "Finished with errors")
        return str(task["data"])

    def close(self) -> None:
        if hasattr(self._client, "close_session"):
            self._loop.run_until_complete(self._client.close_session())
        self._loop.close()


class CommandLine:
    """``firecrest`` as it is installed."""

    def __init__(self, bed: Bed, *, client: str = "alice-client", system: str | None = "") -> None:
        """``system``: "" is the bed's, None: none is named."""
        self._environment = {
            **os.environ,
            "FIRECREST_URL": bed.api,
            "FIRECREST_CLIENT_ID": client,
            "FIRECREST_CLIENT_SECRET": bed.facts["oidc"]["clients"][client]["secret"],
            "AUTH_TOKEN_URL": bed.facts["oidc"]["token_endpoint"],
            "FIRECREST_API_VERSION": "1.16.1",  # by which it chooses the v1 commands
            "COLUMNS": "4000",  # it breaks longer lines, of JSON too
        }
        if system is not None:
            self._environment["FIRECREST_SYSTEM"] = system or bed.system

    def __call__(self, *argv: str, status: int = 0) -> str:
        """Standard output of a command that ends with this status."""
        program = Path(sys.executable).with_name("firecrest")
        done = subprocess.run(
            [str(program), *argv], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, (argv, done.stdout, done.stderr)
        if status == 0:
            _called.add((COMMAND_LINE, argv[0]))
        return done.stdout

    def each(self, *commands: tuple[str, ...], status: int = 0) -> list[str]:
        """Several commands that do not mind each other, at once: most of their time is Python's start."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda argv: self(*argv, status=status), commands))


def whole_area(request: pytest.FixtureRequest, area: str) -> Iterator[None]:
    """For a module's fixture: at its end each method and command of the area has been called with success, by each client.

    Says nothing when only some of the tests were asked for, or one has failed.
    """
    _called.clear()
    yield
    config = request.config
    some = config.option.keyword or config.getoption("lf", False) or any("::" in argument for argument in config.args)
    if some or request.session.testsfailed:
        return
    wanted = {(kind, method) for kind in KINDS for method in METHODS[area]}
    wanted |= {(COMMAND_LINE, command) for command in COMMANDS[area]}
    assert not wanted - _called, f"never called: {sorted(wanted - _called)}"


def cells(printed: str) -> list[list[str]]:
    """The rows of the tables that a command printed, without their headings."""
    rows, inside = [], False
    for line in printed.splitlines():
        if line.startswith("|-"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside:
            rows.append([cell.strip() for cell in line[1:-1].split("|")])
    return rows
