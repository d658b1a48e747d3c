"""Breaking the bed on purpose, for tests.

Every function returns when the state is reached. What a test broke it puts right again; ``bed.py up`` repairs the rest.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from goldcrest_bed import config, processes
from goldcrest_bed.assembly import assemble
from goldcrest_bed.command import output
from goldcrest_bed.component import Component, HostProcess
from goldcrest_bed.components.network import Network
from goldcrest_bed.components.node import Node
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError
from goldcrest_bed.paths import Paths
from goldcrest_bed.report import Report
from goldcrest_bed.versions import Versions


@dataclass(frozen=True)
class Faults:
    """The running bed, ready to be broken."""

    bed: Bed
    components: dict[str, Component]

    @classmethod
    def of_running_bed(cls, profile: str | None = None) -> Faults:
        """The bed that was brought up last, of this profile.

        :raises BedError: there is none.
        """
        paths = Paths.from_environment(profile)
        saved = config.Config.saved(paths.state / "config.json")
        if saved is None:
            raise BedError("the bed is not up: run `make bed-up`")
        bed = Bed(config=saved, paths=paths, versions=Versions.load(), report=Report())
        return cls(bed=bed, components=assemble(bed))

    # ---- the node ----

    def node_run(
        self, argv: Sequence[str], *, user: str = "root", stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the node, whatever its exit code.

        :param timeout: seconds; subprocess.TimeoutExpired after it.
        """
        full = self.bed.engine.exec_argv(self._node.container, argv, user=user, stdin=stdin is not None)
        return subprocess.run(full, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)

    def node_daemon(self, action: str, daemon: str) -> None:
        """``start``, ``stop``, ``restart`` or ``kill`` one daemon of the node, such as ``slurmctld``.

        :raises BedError: no such daemon, or it did not come up.
        """
        output(self.bed.engine.exec_argv(self._node.container, ["bedctl", action, daemon]), timeout=90)

    def node_pid(self) -> int:
        """A process of the node, by whose namespaces others may be started there."""
        return self._node.pid()

    @contextmanager
    def daemon_down(self, daemon: str) -> Iterator[None]:
        """One daemon of the node is stopped meanwhile."""
        self.node_daemon("stop", daemon)
        try:
            yield
        finally:
            self.node_daemon("start", daemon)

    @contextmanager
    def link_down(self) -> Iterator[None]:
        """The node cannot be reached meanwhile: packets to it get no answer. Inside, all goes on."""
        network = self.components["network"]
        assert isinstance(network, Network)
        if not self.bed.own_namespace:
            raise BedError("cutting the link needs the bed's own network namespace (podman)")
        network.set_link(up=False)
        try:
            yield
        finally:
            network.set_link(up=True)

    # ---- processes on the host ----

    @contextmanager
    def component_down(self, name: str) -> Iterator[None]:
        """A component is stopped meanwhile; its data stays."""
        component = self._component(name)
        component.stop()
        try:
            yield
        finally:
            component.start()

    def kill(self, name: str) -> None:
        """Kill a process of the host with SIGKILL and leave it dead.

        :raises BedError: it does not run.
        """
        pid = self._process(name).pid()
        if pid is None:
            raise BedError(f"{name} does not run")
        processes.end(pid, first=signal.SIGKILL)

    def alive(self, name: str) -> bool:
        """Whether a process of the host runs."""
        return self._process(name).pid() is not None

    def start(self, name: str) -> None:
        """Bring a component back."""
        self._component(name).start()

    def restart(self, name: str, env: dict[str, str] | None = None) -> None:
        """Start a process of the host anew, with additions to its environment (none: as it is ordinarily)."""
        process = self._process(name)
        process.stop()
        process.extra_env = env or {}
        process.start()

    def _process(self, name: str) -> HostProcess:
        process = self._component(name)
        if not isinstance(process, HostProcess):
            raise BedError(f"{name} is not a process of the host")
        return process

    def _component(self, name: str) -> Component:
        if name not in self.components:
            raise BedError(f"there is no component {name}; there are: {', '.join(self.components)}")
        return self.components[name]

    @property
    def _node(self) -> Node:
        node = self.components["node"]
        assert isinstance(node, Node)
        return node
