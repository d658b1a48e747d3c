"""Is a system there? A login host is connected to and its key compared; nobody logs in."""

from __future__ import annotations

from goldcrest.errors import HostKeyChanged, SystemUnreachable
from goldcrest.models.system import SystemSpec
from goldcrest.ssh.hostkeys import Endpoint
from goldcrest.ssh.login import HostDown, check_host_key


async def probe(spec: SystemSpec, *, seconds: float = 10) -> None:
    """Return when one login host answers with a pinned key; the hosts are tried in order.

    Args:
        seconds: for each host.

    Raises:
        HostKeyChanged: no host answers well, and one showed a key that is not pinned.
        SystemUnreachable: no host answers; the message says why for each.
        InvalidInput: the pins of the System cannot be used.
    """
    reasons: list[str] = []
    changed: HostKeyChanged | None = None
    for host in spec.hosts:
        try:
            return await check_host_key(Endpoint.of(host, spec), seconds=seconds)
        except HostKeyChanged as error:
            changed = changed or error
        except HostDown as error:
            reasons.append(error.message)
    if changed is not None:
        raise changed
    raise SystemUnreachable("; ".join(reasons))
