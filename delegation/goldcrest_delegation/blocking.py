"""The block list that delegation reads by itself: whom nothing is signed for, whatever OPA and its data say.

A line each: ``user: <Unix user>`` or ``requester: <name in the token, or in Kubernetes>``; ``#`` begins a comment. It is compared with
the file before every decision, so a change counts at once. When the file becomes unreadable or wrong, the last good list stays in
force and an error is logged until it is mended: a slip of an editor neither lets the blocked in again nor stops a whole centre.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from goldcrest.errors import Denied, InvalidInput
from goldcrest.telemetry import Log

SIZE_LIMIT: Final = 1024 * 1024  # bytes
COMPLAIN_SECONDS: Final = 30.0  # between two log lines about a file that is still wrong
_SETTLED_SECONDS: Final = 2.0  # file systems count time in ticks: a younger file may change without showing it

_log = Log(__name__)

_State = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class BlockList:
    """Blocked names."""

    users: frozenset[str] = frozenset()
    requesters: frozenset[str] = frozenset()

    def check(self, *, requester: str, user: str) -> None:
        """Refuse whoever is on the list.

        Raises:
            Denied: with code Blocked.
        """
        if requester in self.requesters:
            raise Denied(f"{requester} is blocked by the site", code="Blocked")
        if user in self.users:
            raise Denied(f"Unix user {user} is blocked by the site", code="Blocked")


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


Blocks = BlockFile | NoBlockFile
