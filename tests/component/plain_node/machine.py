"""A plain Debian login node of its own for tests: a fresh root over a cached tree, with its own mounts and processes.

Not the test bed: no container engine, no fixed addresses, and nothing that is left behind. `unshare` gives it mounts and
processes of its own, an overlay a root file system that nothing has been done to yet; it shares this machine's network,
where its sshd listens on a free port of the loopback interface.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from goldcrest_bed import apt
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report

RELEASE: Final = "bookworm"
NEWER: Final = "trixie"  # OpenSSH 10, Python 3.13
# What a login node has before an administrator begins; tcsh and fish for those users who like them.
PACKAGES: Final = ("openssh-server", "python3", "slurm-client", "tcsh", "fish")
_BASE_SECONDS: Final = 600
_WAIT_SECONDS: Final = 20


def plain_root(release: str) -> Path:
    """The cached tree; made at first by debootstrap, in a minute or two, and never changed afterwards."""
    paths = Paths.from_environment()
    digest = hashlib.sha256(repr((release, PACKAGES)).encode()).hexdigest()[:12]
    root = paths.cache / f"plain-node-{release}-{digest}"
    if root.exists():
        return root
    paths.cache.mkdir(parents=True, exist_ok=True)
    with (paths.cache / ".plain-node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():  # somebody else may just have made it
            apt.ensure(["debootstrap"], why="the plain login node", log=paths.logs / "apt.log", report=Report())
            with tempfile.TemporaryDirectory(dir=paths.cache, prefix=".plain-node-") as folder:
                made = Path(folder) / "root"
                argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, str(made)]
                done = subprocess.run(argv, capture_output=True, text=True, timeout=_BASE_SECONDS, check=False)
                assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
                for package in (made / "var" / "cache" / "apt" / "archives").glob("*.deb"):
                    package.unlink()
                made.chmod(0o755)
                made.rename(root)
    return root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_MOUNTS: Final = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount -t tmpfs tmpfs "$2/root/run"
mount -t tmpfs tmpfs "$2/root/tmp"
mkdir -p "$2/root/dev/shm"
echo ready
exec sleep infinity
"""


class Machine:
    """One running login node."""

    def __init__(self, folder: Path, base: Path) -> None:
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        (folder / "upper").chmod(0o755)  # the node's /
        self._folder = folder
        self._inside = str(folder / "root")
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "sh", "-c", _MOUNTS, "sh", str(base), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text()
        self._init = int(children.split()[0])
        self._sshd: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        # A name of its own: the path of a socket has at most 107 bytes.
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(self.path("/dev/log")))
        self.path("/dev/log").chmod(0o666)
        self._lines: list[str] = []
        # Read at once: syslog(3) waits when the few lines that a socket holds are not taken.
        threading.Thread(target=self._read_log, daemon=True).start()

    def _read_log(self) -> None:
        with suppress(OSError):  # closed with the node
            while data := self._log.recv(65536):
                self._lines.append(data.decode("utf-8", "replace"))

    def path(self, name: str) -> Path:
        """A file of the node, as this process reaches it."""
        return Path(f"/proc/{self._init}/root{self._inside}{name}")

    def argv(self, *argv: str) -> list[str]:
        """The argument list that runs a program in the node."""
        inside = ("nsenter", "-t", str(self._init), "-m", "-p", "--")
        return [*inside, "chroot", self._inside, *argv]

    def run(self, *argv: str, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in the node, as root, in a clean environment."""
        done = subprocess.run(
            self.argv(*argv),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"},
        )
        if check:
            assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def beside(self, *argv: str) -> None:
        """Run one of this machine's own programs, as root, among the node's mounts; paths are this machine's."""
        inside = ("nsenter", "-t", str(self._init), "-m", "--")
        done = subprocess.run([*inside, *argv], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"

    @contextmanager
    def folder_with_a_quota(self, name: str, *, kibibytes: int) -> Iterator[None]:
        """A folder of the node that holds so much and no more, by the quota of a file system of its own (btrfs)."""
        apt.ensure(
            ["btrfs-progs"], why="a folder with a quota", log=Paths.from_environment().logs / "apt.log", report=Report()
        )
        image, top = self._folder / "quota.img", self._folder / "quota"
        top.mkdir()
        with image.open("wb") as file:
            file.truncate(120 * 2**20)
        self.beside("mkfs.btrfs", "--quiet", str(image))
        self.beside("mount", "-o", "loop", str(image), str(top))
        try:
            self.beside("btrfs", "subvolume", "create", str(top / "limited"))
            self.beside("btrfs", "quota", "enable", str(top))
            self.beside("btrfs", "qgroup", "limit", f"{kibibytes}K", str(top / "limited"))
            self.beside("chmod", "1777", str(top / "limited"))
            self.path(name).mkdir()
            self.beside("mount", "--bind", str(top / "limited"), f"{self._inside}{name}")
            try:
                yield
            finally:
                self.beside("umount", f"{self._inside}{name}")
        finally:
            self.beside("umount", str(top))

    def running(self, user: str) -> list[str]:
        """What runs as this user: argument lists. Not what has ended, of which nobody takes note where there is no init."""
        lines = self.run("ps", "-u", user, "-o", "stat=,args=", check=False).stdout.splitlines()
        return [line for line in lines if not line.startswith("Z")]

    def write(self, name: str, text: str, *, owner: str = "root", mode: int = 0o644) -> None:
        """Make a file of the node."""
        self.path(name).write_text(text)
        self.path(name).chmod(mode)
        if owner != "root":
            self.run("chown", f"{owner}:", name)

    @contextmanager
    def changed(self, name: str, text: str | None) -> Iterator[None]:
        """A file of the node with other content (None: away), and then as it was."""
        path = self.path(name)
        before = (path.read_bytes(), path.stat()) if path.exists() else None
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        try:
            yield
        finally:
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before[0])
                path.chmod(before[1].st_mode & 0o7777)
                os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))

    def copy(self, source: Path, name: str) -> None:
        """Copy a folder of this machine into the node, as root's."""
        shutil.copytree(source, self.path(name), ignore=shutil.ignore_patterns("__pycache__"))
        self.run("chown", "-R", "root:root", name)

    def start_sshd(self) -> None:
        """Start the dedicated sshd as its unit does, and wait until it answers."""
        self.stop_sshd()
        argv = ["/usr/libexec/goldcrest/sshd-goldcrest", "-D", "-f", "/etc/ssh/sshd_goldcrest_config"]
        self._sshd = subprocess.Popen(self.argv(*argv), stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            assert self._sshd.poll() is None, self.log_lines()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError(f"no sshd on port {self.port}")

    def stop_sshd(self) -> None:
        if self._sshd is not None:
            # Its own process, and not the `nsenter` that waits for it.
            self.run("sh", "-c", "kill $(cat /run/sshd-goldcrest.pid)", check=False)
            self._sshd.wait(_WAIT_SECONDS)
            self._sshd = None

    def log_lines(self, containing: str = "") -> list[str]:
        """Lines that went to the node's syslog, once there is one that contains this text; within some seconds."""
        deadline = time.monotonic() + 5
        while True:
            found = [line for line in self._lines if containing in line]
            if found or not containing or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def forget_log(self) -> None:
        self._lines = []

    def close(self) -> None:
        """End everything that runs in the node; its mounts go with the last process."""
        self._log.shutdown(socket.SHUT_RD)  # ends its reader
        self._log.close()
        self._holder.send_signal(signal.SIGKILL)
        self._holder.wait()
        deadline = time.monotonic() + _WAIT_SECONDS
        while Path(f"/proc/{self._init}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._sshd is not None:
            self._sshd.wait(_WAIT_SECONDS)


@contextmanager
def fresh_machine(release: str = RELEASE) -> Iterator[Machine]:
    """A node that nothing has been done to, of this release of Debian."""
    base = plain_root(release)
    folder = Path(tempfile.mkdtemp(prefix="goldcrest-plain-"))
    try:
        folder.chmod(0o755)
        machine = Machine(folder, base)
        try:
            yield machine
        finally:
            machine.close()
    finally:
        shutil.rmtree(folder)


def is_possible() -> str:
    """Why this user cannot have such a node; empty for root. Without util-linux the tests fail, rather than being skipped."""
    return "" if os.geteuid() == 0 else "mounts and users of its own need root"
