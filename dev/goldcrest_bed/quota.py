"""Work folders with a quota that the kernel keeps: subvolumes of a small btrfs in a file, as tmpfs and ext4 have none in many kernels."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from goldcrest_bed import apt
from goldcrest_bed.command import logged, succeeds
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report

_IMAGE_BYTES = 120 * 2**20  # the least that mkfs takes is 109 MiB; nothing of it is on the disk before it is written


class QuotaFolders:
    """Mounted below the bed's data, and gone with it."""

    def __init__(self, paths: Paths, quotas: Mapping[str, str]) -> None:
        """``quotas``: size of each user's folder, as btrfs(8) reads it."""
        self._paths = paths
        self._quotas = quotas

    def folder(self, user: str) -> Path:
        """A user's."""
        return self._mount / user

    def make(self, report: Report) -> None:
        """Make what is not there.

        :raises BedError: this kernel has no btrfs, or no loop device is to be had.
        """
        if not self._quotas or self._mount.is_mount():
            return
        log = self._paths.logs / "quota.log"
        apt.ensure(["btrfs-progs"], why="a work folder with a quota", log=log, report=report)
        self._mount.mkdir(parents=True, exist_ok=True)
        image = self._mount.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        mount = str(self._mount)
        steps = [
            ["mkfs.btrfs", "-q", "-f", "-M", str(image)],
            ["mount", "-o", "loop", str(image), mount],
            ["btrfs", "quota", "enable", mount],
        ]
        for user, size in self._quotas.items():
            steps += [
                ["btrfs", "subvolume", "create", str(self.folder(user))],
                ["btrfs", "qgroup", "limit", size, str(self.folder(user))],
            ]
        try:
            for argv in steps:
                logged(argv, log)
        except BedError:
            self.remove()  # else a half of it would be taken for all, the next time
            raise

    def remove(self) -> None:
        """Unmount it; what it held is gone."""
        if self._mount.is_mount() and not succeeds(["umount", str(self._mount)]):
            raise BedError(f"{self._mount} cannot be unmounted: somebody uses it")
        self._mount.with_suffix(".img").unlink(missing_ok=True)
        shutil.rmtree(self._mount, ignore_errors=True)

    @property
    def _mount(self) -> Path:
        return self._paths.data / "quota"
