"""Advance reservations, through the command that a System names."""

from __future__ import annotations

from goldcrest.commands import (
    Command,
    CommandOutput,
    CreateReservation,
    DeleteReservation,
    ListReservations,
    UpdateReservation,
)
from goldcrest.commands.reservations import DEFAULT_COMMAND, listed_reservations
from goldcrest.errors import GoldcrestError
from goldcrest.telemetry import Trace
from goldcrest_api.caller import Caller
from goldcrest_api.ports import RemoteCommands
from goldcrest_api.system_cache import SystemView

_TIMED_OUT = 124  # exit status of timeout(1), which a site's command may use itself


class ToolTimedOut(GoldcrestError):
    """The site's command gave up after a time of its own."""

    code = "ReservationToolTimedOut"
    retryable = True


class ToolRefused(GoldcrestError):
    """The site's command failed; the message has its words."""

    code = "ReservationRefused"


class Reservations:
    """Runs the command as the caller.

    Args:
        seconds: for one, connecting included.
    """

    def __init__(self, remote: RemoteCommands, *, seconds: float) -> None:
        self._remote = remote
        self._seconds = seconds

    async def all(self, system: SystemView, caller: Caller, trace: Trace) -> list[dict[str, str]]:
        """What the command lists.

        Raises:
            ToolRefused, ToolTimedOut: the command failed.
            GoldcrestError: it could not be run.
        """
        return listed_reservations(await self._run(ListReservations(command=_name(system)), system, caller, trace))

    async def create(
        self,
        name: str,
        *,
        account: str,
        nodes: int,
        node_type: str,
        start: str,
        end: str,
        system: SystemView,
        caller: Caller,
        trace: Trace,
    ) -> str:
        """Make one; what the command said. Raises as :meth:`all`."""
        command = CreateReservation(
            command=_name(system),
            name=name,
            account=account,
            nodes=nodes,
            node_type=node_type,
            start_time=start,
            end_time=end,
        )
        return await self._run(command, system, caller, trace)

    async def update(
        self,
        name: str,
        *,
        nodes: int,
        node_type: str,
        start: str,
        end: str,
        system: SystemView,
        caller: Caller,
        trace: Trace,
    ) -> str:
        """Change one; what the command said. Raises as :meth:`all`."""
        command = UpdateReservation(
            command=_name(system), name=name, nodes=nodes, node_type=node_type, start_time=start, end_time=end
        )
        return await self._run(command, system, caller, trace)

    async def delete(self, name: str, *, system: SystemView, caller: Caller, trace: Trace) -> None:
        """Give one up. Raises as :meth:`all`."""
        await self._run(DeleteReservation(command=_name(system), name=name), system, caller, trace)

    async def _run(self, command: Command, system: SystemView, caller: Caller, trace: Trace) -> str:
        answer = await self._remote.run(
            command,
            system=system.name,
            spec=system.spec,
            user=caller.user,
            basis=caller.basis,
            trace=trace,
            seconds=self._seconds,
        )
        output = CommandOutput.of(answer.result)
        if output.exit == _TIMED_OUT:
            raise ToolTimedOut("the command for reservations did not end in time")
        if output.exit != 0:
            words = output.stderr.strip() or output.stdout.strip() or f"exit status {output.exit}"
            raise ToolRefused(words[:2000])
        return output.stdout


def _name(system: SystemView) -> str:
    return system.spec.reservation_command or DEFAULT_COMMAND
