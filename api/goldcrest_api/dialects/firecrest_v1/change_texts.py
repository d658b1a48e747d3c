"""The lines that ``chmod -v`` and ``chown -v`` print: the ``output`` of their routes (contract 4.1). Pure."""

from __future__ import annotations

from goldcrest.commands.answers import ModeChanged, OwnerChanged
from goldcrest.commands.listing import permission_letters


def mode_line(path: str, changed: ModeChanged) -> str:
    """``mode of '/f' changed from 0644 (rw-r--r--) to 0755 (rwxr-xr-x)``."""
    if changed.before == changed.after:
        return f"mode of '{path}' retained as {_mode(changed.after)}"
    return f"mode of '{path}' changed from {_mode(changed.before)} to {_mode(changed.after)}"


def owner_line(path: str, changed: OwnerChanged, *, owner: bool, group: bool) -> str:
    """``changed ownership of '/f' from alice:users to alice:staff``.

    Args:
        owner: whether an owner was asked for; a group is named only where one was. Without an owner chown shows the old one before, and
            none behind.
        group: likewise.
    """
    before = f"{changed.owner_before}:{changed.group_before}" if group else changed.owner_before
    if (changed.owner_before, changed.group_before) == (changed.owner, changed.group):
        return f"ownership of '{path}' retained as {before}"
    after = f"{changed.owner if owner else ''}:{changed.group}" if group else changed.owner
    return f"changed ownership of '{path}' from {before} to {after}"


def _mode(mode: int) -> str:
    return f"{mode:04o} ({permission_letters(mode)})"
