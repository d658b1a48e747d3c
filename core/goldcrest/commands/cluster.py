"""Which cluster a Slurm operation is for, where one database serves several (``-M`` of Slurm's programs)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeVar

from goldcrest.canonical import Json
from goldcrest.commands.base import Arguments, Command
from goldcrest.errors import InvalidInput
from goldcrest.models.system import CLUSTER_PATTERN

_CLUSTER = re.compile(CLUSTER_PATTERN)


def check_cluster(cluster: str) -> str:
    """The name of one cluster: no list of them, and not ``all``, which Slurm takes for each of them.

    Raises:
        InvalidInput: naming what is wrong.
    """
    if not _CLUSTER.fullmatch(cluster) or cluster.lower() == "all":
        raise InvalidInput(f"{cluster!r} is not the name of one cluster")
    return cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmCommand(Command):
    """Base of the Slurm operations. ``cluster``: none is the one that the login node's configuration names."""

    cluster: str | None = None

    def on_cluster(self, args: dict[str, Json]) -> dict[str, Json]:
        """These arguments, with the cluster where there is one."""
        return args if self.cluster is None else {**args, "cluster": self.cluster}


def take_cluster(given: Arguments) -> str | None:
    """The argument ``cluster``, when it is there."""
    cluster = given.take("cluster", str, optional=True)
    return None if cluster is None else check_cluster(cluster)


_C = TypeVar("_C", bound=Command)


def on_cluster(command: _C, cluster: str | None) -> _C:
    """The same command for the cluster of the System; what is no Slurm command stays as it is.

    The one place where ``spec.scheduler.cluster`` becomes part of commands, so that none can be forgotten.
    """
    return replace(command, cluster=cluster) if isinstance(command, SlurmCommand) else command
