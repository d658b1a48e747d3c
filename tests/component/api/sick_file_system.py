"""A file system that is ill, as the kernel shows one: every operation but a look at its root fails with one errno, or never ends.

The kernel's side is real (FUSE); this is the smallest server that there can be. Needs root and /dev/fuse.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_FORCE_DETACH: Final = 1 | 2  # MNT_FORCE, MNT_DETACH
_NOSUID_NODEV: Final = 2 | 4
# Operations of the protocol (linux/fuse.h).
_LOOKUP, _FORGET, _GETATTR, _INIT, _RELEASEDIR, _ACCESS, _INTERRUPT, _DESTROY, _BATCH_FORGET = (
    1,
    2,
    3,
    26,
    29,
    34,
    36,
    38,
    42,
)
_HEAD: Final = struct.Struct("=IIQQIIIHH")  # fuse_in_header
_REPLY: Final = struct.Struct("=IiQ")  # fuse_out_header
_ROOT: Final = struct.pack(
    "=QII6Q10I", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o040777, 2, 0, 0, 0, 4096, 0
)  # fuse_attr_out
_WELCOME: Final = struct.Struct("=IIIIHHII36x")  # fuse_init_out


class SickFileSystem:
    """Mounted until the end.

    Args:
        fails_with: an errno; None: nothing is ever answered.
        sees: whether a name is looked for before it fails (it is not there), so that making it is what fails.
    """

    def __init__(self, folder: Path, *, fails_with: int | None, sees: bool = False) -> None:
        self._folder = folder
        self._errno = fails_with
        self._sees = sees
        self._device = -1
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.asked = 0
        """Operations that failed or are not answered."""

    def __enter__(self) -> Self:
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if _LIBC.mount(b"sick", os.fsencode(self._folder), b"fuse", _NOSUID_NODEV, options):
            raise OSError(ctypes.get_errno(), "mount")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        # By force: whoever waits for an answer gets an error, so that nothing hangs after the test.
        _LIBC.umount2(os.fsencode(self._folder), _FORCE_DETACH)
        self._thread.join(10)
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 20)
            except OSError:  # unmounted
                return
            _, operation, unique, node, *_ = _HEAD.unpack_from(request)
            answer = self._answer(operation, node)
            if answer is None:
                continue
            error, body = answer
            os.write(self._device, _REPLY.pack(_REPLY.size + len(body), -error, unique) + body)

    def _answer(self, operation: int, node: int) -> tuple[int, bytes] | None:
        """errno and body; None: none is sent."""
        if operation == _INIT:
            return 0, _WELCOME.pack(7, 31, 0, 0, 1, 1, 4096, 1)
        if operation in (_FORGET, _BATCH_FORGET, _INTERRUPT, _DESTROY):
            return None
        if operation == _GETATTR and node == 1:
            return 0, _ROOT
        if operation in (_ACCESS, _RELEASEDIR):
            return 0, b""
        if operation == _LOOKUP and self._sees:
            return 2, b""  # ENOENT
        self.asked += 1
        return None if self._errno is None else (self._errno, b"")
