"""A real ssh-agent with keys made by ssh-keygen."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Agent:
    """One agent, and its keys as ssh-keygen made them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "agent.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(["ssh-agent", "-D", "-a", str(self.socket)], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not self.socket.exists():
            assert time.monotonic() < end, "ssh-agent does not run"
            time.sleep(0.01)

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def make_key(self, name: str, *arguments: str) -> Path:
        """A key pair of ``ssh-keygen -t <arguments>``, not yet in the agent; its private file."""
        path = self.folder / name
        self._run("ssh-keygen", "-q", "-N", "", "-C", name, "-f", str(path), "-t", *arguments)
        return path

    def add(self, path: Path) -> None:
        self._run("ssh-add", "-q", str(path))

    def forget_all(self) -> None:
        self._run("ssh-add", "-q", "-D")

    def _run(self, *argv: str) -> None:
        subprocess.run(
            argv,
            check=True,
            capture_output=True,
            timeout=60,
            env={**os.environ, "SSH_AUTH_SOCK": str(self.socket)},
        )


@contextmanager
def running_agent(folder: Path) -> Iterator[Agent]:
    """An agent that runs, and is stopped after."""
    agent = Agent(folder)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()
