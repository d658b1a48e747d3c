"""The block list: whom nothing is signed for. It is a file that delegation reads by itself, and the list in OPA's data.

In the file, a line each: ``user: <Unix user>`` or ``requester: <name in the token, or in Kubernetes>``; ``#`` begins a comment. It is compared with
the file before every decision, so a change counts at once. When the file becomes unreadable or wrong, the last good list stays in
force and an error is logged until it is mended: a slip of an editor neither lets the blocked in again nor stops a whole centre.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from goldcrest.blocked import BlockList
from goldcrest.errors import InvalidInput, PolicyUnavailable
from goldcrest.telemetry import Log

SIZE_LIMIT: Final = 1024 * 1024  # bytes
COMPLAIN_SECONDS: Final = 30.0  # between two log lines about a file that is still wrong
OPA_SECONDS: Final = 2.0  # for so long OPA's list counts without asking again
_OPA_ANSWER_SECONDS: Final = 1.0
_SETTLED_SECONDS: Final = 2.0  # file systems count time in ticks: a younger file may change without showing it

_log = Log(__name__)

_State = tuple[int, int, int, int, int]


def parse_block_list(data: bytes) -> BlockList:
    """Read the lines of a block file.

    Raises:
        InvalidInput: naming the line.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("it is not UTF-8 text") from error
    names: dict[str, set[str]] = {"user": set(), "requester": set()}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        key, _, name = line.partition(":")  # names of service accounts have colons themselves
        name = name.strip()
        if key.strip() not in names or not name or " " in name:
            raise InvalidInput(f"line {number}: neither `user: <name>` nor `requester: <name>`")
        names[key.strip()].add(name)
    return BlockList(frozenset(names["user"]), frozenset(names["requester"]))


class BlockFile:
    """The list in a file, as it is now.

    Raises:
        InvalidInput: at the start the file must be there and right.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._state: _State | None = None
        self._fault = ""
        self._complained = 0.0
        self._read_at = 0.0
        self._list = BlockList()
        self._list, self._state = self._read()
        self._say()

    def now(self) -> BlockList:
        """The list to judge by."""
        try:
            state = _state(self._path.stat())
            if state != self._state or self._is_young(state):
                found, self._state = self._read()
                if found != self._list or self._fault:
                    self._list, self._fault = found, ""
                    self._say()
        except (OSError, InvalidInput) as error:
            self._state = None  # look again each time
            self._complain(error.strerror or "" if isinstance(error, OSError) else error.message)
        return self._list

    def _is_young(self, state: _State) -> bool:
        """Whether it was read so soon after its last change that another one in the same tick would not show."""
        return self._read_at - max(state[2], state[3]) / 1e9 < _SETTLED_SECONDS

    def _read(self) -> tuple[BlockList, _State]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise InvalidInput(f"the block file {self._path} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidInput(f"the block file {self._path} is not a regular file")
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
                raise InvalidInput(
                    f"the block file {self._path} can be written by others: it must be root's or ours; chmod go-w it"
                )
            self._read_at = self._clock()
            data = file.read(SIZE_LIMIT + 1)
        if len(data) > SIZE_LIMIT:
            raise InvalidInput(f"the block file {self._path} is larger than {SIZE_LIMIT} bytes")
        try:
            return parse_block_list(data), _state(found)
        except InvalidInput as error:
            raise InvalidInput(f"the block file {self._path}: {error.message}") from error

    def _say(self) -> None:
        _log.warning(
            "delegation.blocklist.read",
            path=str(self._path),
            users=sorted(self._list.users),
            requesters=sorted(self._list.requesters),
        )

    def _complain(self, message: str) -> None:
        now = self._clock()
        if message != self._fault or now - self._complained >= COMPLAIN_SECONDS:
            self._fault, self._complained = message, now
            _log.error(
                "delegation.blocklist.wrong",
                path=str(self._path),
                message=message,
                in_force="the last good list",
                users=len(self._list.users),
                requesters=len(self._list.requesters),
            )


def _state(found: os.stat_result) -> _State:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode


class NoBlockFile:
    """No file is configured: OPA's data alone says who is blocked."""

    def now(self) -> BlockList:
        return BlockList()


class PolicyNames(Protocol):
    """What is needed of :class:`goldcrest.policy.Policy`."""

    async def blocked(self) -> frozenset[str]: ...


class Blocks:
    """The file and OPA's list as one. A name in OPA's list counts as a Unix user and as a requester.

    OPA's list is read again after two seconds. While OPA is silent, its last list stays in force; nothing is signed then anyway.
    """

    def __init__(
        self, file: BlockFile | NoBlockFile, policy: PolicyNames, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = file
        self._policy = policy
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")
        self._names: frozenset[str] = frozenset()
        self._silent = False

    async def now(self) -> BlockList:
        """The list to judge by."""
        return await self._since(self._clock() - OPA_SECONDS)

    async def newest(self) -> BlockList:
        """The same, with OPA's list not from memory."""
        return await self._since(self._clock())

    async def _since(self, earliest: float) -> BlockList:
        if self._asked_at < earliest:
            async with self._lock:
                if self._asked_at < earliest:  # nobody asked while we waited
                    self._asked_at = self._clock()
                    await self._ask()
        return self._file.now() | BlockList(self._names, self._names)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_OPA_ANSWER_SECONDS):
                names = await self._policy.blocked()
        except (PolicyUnavailable, TimeoutError) as error:
            if not self._silent:
                self._silent = True
                message = error.message if isinstance(error, PolicyUnavailable) else "OPA does not answer"
                _log.error("delegation.blocklist.opa_silent", message=message, names=len(self._names))
            return
        if names != self._names or self._silent:
            self._names, self._silent = names, False
            _log.warning("delegation.blocklist.opa_read", names=sorted(names))
