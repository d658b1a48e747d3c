"""What a part of the bed must be able to do, and the kind that is a process on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from goldcrest_bed import processes
from goldcrest_bed.command import tail
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report


class Component(ABC):
    """One part. ``needs`` names the components that must be ready before this one starts."""

    name: str
    needs: tuple[str, ...] = ()
    runs: bool = True
    """Whether there is anything that ``stop`` could stop."""

    def prepare(self) -> None:  # noqa: B027 - most components have nothing to download or build
        """Whatever takes minutes and is done once per version; runs without waiting for ``needs``."""

    @abstractmethod
    def start(self) -> None:
        """Bring it to ready, whatever state it is in; returns quickly if it is ready already.

        :raises BedError: it did not become ready.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop it; nothing if it does not run."""

    @abstractmethod
    def state(self) -> str:
        """``running``, ``stopped``, or what is wrong."""

    def clean(self) -> None:  # noqa: B027 - many leave no data
        """Remove data that must not meet the next bed; called by ``down`` after all have stopped."""

    def logs(self) -> list[Path]:
        """Log files, the most telling first."""
        return []

    def facts(self) -> dict[str, Any]:
        """Its part of ``facts.json``."""
        return {}


@dataclass(frozen=True)
class Command:
    """How to start a program: arguments, additions to the environment, working directory."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


Probe = Callable[[], bool]


@dataclass(kw_only=True)
class HostProcess(Component):
    """A program that stays in the foreground on this machine.

    :param command: made at every start, so that it may use what other components brought about.
    :param ready: asked until it says yes; must not take longer than 2 s.
    :param inputs: files and folders; if their content differs from when the process was started, it is restarted.
    :param prepared: called once before, for downloads and builds.
    :param configured: called before every start, to write configuration files.
    :param data: folder that ``down`` removes.
    :param facts_of: its part of ``facts.json``.
    :param ready_seconds: how long it may take to become ready.
    :param stop_seconds: grace between TERM and KILL.
    """

    name: str
    paths: Paths
    report: Report
    command: Callable[[], Command]
    ready: Probe
    needs: tuple[str, ...] = ()
    inputs: Sequence[Path] = ()
    prepared: Callable[[], object] | None = None
    configured: Callable[[], object] | None = None
    data: Path | None = None
    facts_of: Callable[[], dict[str, Any]] | None = None
    ready_seconds: float = 60
    stop_seconds: float = 10
    extra_env: dict[str, str] = field(default_factory=dict)
    """Set by tests only; `up` knows nothing of it and restarts the process without."""

    @property
    def record(self) -> Path:
        """The file with pid and start time."""
        return self.paths.run / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """Standard output and standard error."""
        return self.paths.logs / f"{self.name}.log"

    @property
    def mark(self) -> str:
        """Names the process in its own environment."""
        return f"{self.paths.state}:{self.name};"

    def prepare(self) -> None:
        if self.prepared:
            self.prepared()

    def start(self) -> None:
        if self.configured:
            self.configured()
        command = self._command()
        digest = self.digest(command)
        record = processes.ProcessRecord.load(self.record)
        if record and record.alive():
            why = "its inputs changed" if record.digest != digest else "it does not answer"
            if record.digest == digest and self._answers(within=5, record=record):
                return
            self.report.line(self.name, f"restarting: {why}")
        elif record and record.boot_id == processes.boot_id():
            self.report.line(self.name, "was not running any more: starting again")
        self.stop()
        with self.report.step(self.name, "starting", log=self.log):
            self._start(command, digest)

    def _command(self) -> Command:
        command = self.command()
        return replace(command, env={**command.env, **self.extra_env})

    def _start(self, command: Command, digest: str) -> None:
        if self.data:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        record = processes.spawn(
            command.argv,
            env={**os.environ, **command.env},
            cwd=command.cwd,
            log=self.log,
            mark=self.mark,
            digest=digest,
        )
        record.save(self.record)
        if self._answers(within=self.ready_seconds, record=record):
            return
        how = f"was not ready within {self.ready_seconds:.0f} s" if record.alive() else "ended"
        self.stop()
        raise BedError(f"{self.name} {how}; the end of {self.log}:\n{tail(self.log)}")

    def _answers(self, *, within: float, record: processes.ProcessRecord) -> bool:
        deadline = time.monotonic() + within
        while record.alive():
            if self.ready():
                return record.alive()  # a stranger on the same port may have answered for it
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return False

    def stop(self) -> None:
        record = processes.ProcessRecord.load(self.record)
        if record and record.alive():
            processes.end(record.pid, grace=self.stop_seconds)
        for pid in processes.marked(self.mark):
            processes.end(pid, grace=self.stop_seconds)
        self.record.unlink(missing_ok=True)

    def state(self) -> str:
        record = processes.ProcessRecord.load(self.record)
        if record is None:
            return "stopped"
        if not record.alive():
            return "died"
        return "running" if self.ready() else "running, but does not answer"

    def pid(self) -> int | None:
        """The process id while it runs."""
        record = processes.ProcessRecord.load(self.record)
        return record.pid if record and record.alive() else None

    def clean(self) -> None:
        if self.data:
            remove_tree(self.data)

    def logs(self) -> list[Path]:
        return [self.log]

    def facts(self) -> dict[str, Any]:
        return self.facts_of() if self.facts_of else {}

    def digest(self, command: Command) -> str:
        """Stands for everything that the process is made of."""
        own = repr((list(command.argv), sorted(command.env.items()), command.cwd))
        return content_digest(self.inputs, own)


def content_digest(inputs: Sequence[Path], own: str = "") -> str:
    """SHA-256 over the text ``own`` and over names and contents of files, and of all files in folders.

    Compiled Python is left out: it appears by itself.
    """
    digest = hashlib.sha256(own.encode())
    for entry in inputs:
        files = sorted(p for p in entry.rglob("*") if p.is_file()) if entry.is_dir() else [entry]
        for path in files:
            if "__pycache__" not in path.parts and path.exists():
                digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it; nothing if it is not there."""
    if folder.is_dir():
        shutil.rmtree(folder)


def tcp_ready(host: str, port: int) -> Probe:
    """Somebody listens there."""

    def ask() -> bool:
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False

    return ask


def unix_socket_ready(path: Path) -> Probe:
    """Somebody listens on a Unix socket."""

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except OSError:
                return False
            return True

    return ask


def http_ready(url: str, *, ca: Path | None = None) -> Probe:
    """The URL answers 2xx. With ``https`` the certificate is checked against ``ca`` (read when asked)."""

    def ask() -> bool:
        try:
            context = ssl.create_default_context(cafile=str(ca)) if ca else None
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(url, timeout=2) as answer:
                return bool(200 <= answer.status < 300)
        except (OSError, urllib.error.URLError):
            return False

    return ask
