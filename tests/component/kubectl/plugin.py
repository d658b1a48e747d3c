"""``kubectl hpc`` as people start it: the real kubectl, which finds the installed plugin on the PATH."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from component.admission.binaries import binary
from component.admission.stage import Stage


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


class Plugin:
    """
    Args:
        folder: home of kubectl.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        tools = folder / "tools"
        tools.mkdir()
        (tools / "kubectl").symlink_to(binary("kubectl"))
        self._path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def start(
        self,
        *arguments: str,
        user: str = "alice",
        environment: dict[str, str] | None = None,
        namespace: str | None = "team",
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        given = {"PATH": self._path, "HOME": str(self._folder), "KUBECONFIG": str(self._stage.kubeconfig(user))}
        if "PYTHONPATH" in os.environ:  # of tests/guards: the plugin of a copy
            given["PYTHONPATH"] = os.environ["PYTHONPATH"]
        where = [f"--namespace={namespace}"] if namespace else []
        return subprocess.Popen(
            ["kubectl", "hpc", arguments[0], *where, *arguments[1:]],
            env={**given, **(environment or {})},
            # Tests that a shell runs in the background are deaf to it, and so would be what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self,
        *arguments: str,
        user: str = "alice",
        environment: dict[str, str] | None = None,
        namespace: str | None = "team",
        text: bytes | None = None,
    ) -> Done:
        stdin = subprocess.PIPE if text is not None else subprocess.DEVNULL
        process = self.start(*arguments, user=user, environment=environment, namespace=namespace, stdin=stdin)
        out, err = process.communicate(text, timeout=60)
        return Done(process.returncode, out.decode(), err.decode())
