"""What the pool of SSH connections measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from goldcrest.commands.base import operations
from goldcrest.errors import HostKeyChanged
from goldcrest.measures import ByLabels, Codes, Measures, one_of
from goldcrest.ssh.answer import Snapshot
from goldcrest.ssh.login import HostDown, LoginRefused

_CODES: Final = Codes()
_LOGINS: Final = (HostKeyChanged, HostDown, LoginRefused)  # told apart by class; anything else is what delegation said


class SshMeasures:
    """Commands, logins, and what is open."""

    def __init__(self, measures: Measures, snapshot: Callable[[], Snapshot]) -> None:
        self._measures = measures
        self._commands = ByLabels(
            measures.counter("ssh_commands", "Commands on login nodes.", ["system", "operation", "outcome"])
        )
        told = "Seconds of a command: connection, certificate and all attempts."
        self._seconds = ByLabels(measures.histogram("ssh_command_seconds", told, ["operation"]))
        self._filter_seconds = measures.histogram(
            "ssh_filter_seconds", "Seconds that ssh-filter took, as it says: to verify, to run.", ["part"]
        )
        self._verify, self._run = self._filter_seconds.labels("verify"), self._filter_seconds.labels("run")
        self._opened = measures.counter("ssh_connections_opened", "SSH connections opened.", ["system"])
        self._failed = measures.counter(
            "ssh_logins_failed", "SSH connections that could not be opened, by cause.", ["system", "reason"]
        )
        for name, documentation, read in _GAUGES:
            measures.read(name, documentation, lambda read=read: read(snapshot()))  # type: ignore[misc]

    def command(self, system: str, operation: str, error: BaseException | None, seconds: float) -> None:
        """A command is over."""
        operation = one_of(operation, operations())
        self._commands[self._measures.system(system), operation, _CODES.of(error)].inc()
        self._seconds[(operation,)].observe(seconds)

    def filter_took(self, *, verify: float, run: float) -> None:
        """Seconds that the filter said."""
        self._verify.observe(verify)
        self._run.observe(run)

    def opened(self, system: str) -> None:
        self._opened.labels(self._measures.system(system)).inc()

    def login_failed(self, system: str, error: BaseException) -> None:
        reason = next((kind.__name__ for kind in _LOGINS if isinstance(error, kind)), _CODES.of(error))
        self._failed.labels(self._measures.system(system), reason).inc()


_GAUGES: Final[tuple[tuple[str, str, Callable[[Snapshot], float]], ...]] = (
    ("ssh_connections", "SSH connections that are open.", lambda now: now.connections),
    ("ssh_connections_opening", "SSH connections that are being opened.", lambda now: now.opening),
    ("ssh_channels", "Channels with a running ssh-filter.", lambda now: now.channels),
    ("ssh_commands_in_flight", "Commands that have a channel or still run on a node.", lambda now: now.in_flight),
    ("ssh_streams", "Downloads under way.", lambda now: now.streams),
    ("ssh_hosts_resting", "Login hosts that are left alone for now after failures.", lambda now: now.resting_hosts),
)
