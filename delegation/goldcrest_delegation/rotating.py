"""A new CA in place of the old one, while jobs go on: ``goldcrest-delegation rotate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from goldcrest.errors import InvalidInput
from goldcrest.identity.keyfiles import public_path
from goldcrest.settings import read_settings
from goldcrest_delegation.ca_key import FileKey, make_ca_key
from goldcrest_delegation.settings import ENVIRONMENT_PREFIX, Settings

_MADE = """\
{made} {next}

Delegation still signs with {present}. Now:
 1. On every login node add this line to the CA file of sshd and ssh-filter (TrustedUserCAKeys, caFile), beside the old one.
    Both read it again by themselves. Nodes trust both CAs then.
      {line}
 2. When all nodes have it: goldcrest-delegation rotate --switch, and restart delegation.
"""

_SWITCHED = """\
{present} is the new CA; the old key is {old}.
 1. Restart delegation: from then on it signs with the new CA.
 2. Two minutes later the last certificate of the old one is over. Take this line out of the CA file of every login node:
      {line}
 3. Destroy {old}: shred -u {old}
"""

_AGENT = """\
The CA's key is in an ssh-agent, so a new one is made there:
 1. Make a key (ssh-keygen -t ed25519, or on the token) and ssh-add it to the agent at {socket}, beside the old one.
 2. On every login node add its public line to the CA file of sshd and ssh-filter (TrustedUserCAKeys, caFile), beside the old one.
 3. Set {prefix}CA_PUBLIC_KEY_FILE to its public half and restart delegation.
 4. Two minutes later take the old line out of the nodes' CA files, and the old key out of the agent (ssh-add -d).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``rotate``."""
    parser.add_argument(
        "--switch", action="store_true", help="put the second CA in place of the first, as nodes trust both"
    )


def run(arguments: argparse.Namespace) -> int:
    """``goldcrest-delegation rotate``."""
    settings = read_settings(Settings)
    if settings.ca_key_file is None:
        sys.stdout.write(_AGENT.format(socket=settings.ca_agent_socket, prefix=ENVIRONMENT_PREFIX))
    elif arguments.switch:
        sys.stdout.write(switch(settings.ca_key_file))
    else:
        sys.stdout.write(prepare(settings.ca_key_file))
    return 0


def prepare(path: Path) -> str:
    """Make the second CA beside the first; returns what to do.

    Raises:
        InvalidInput: a key file is not as it must be.
    """
    FileKey.load(path)
    following = next_path(path)
    made = make_ca_key(following)
    return _MADE.format(
        made="made" if made else "kept",
        next=following,
        present=path,
        line=public_path(following).read_text().strip(),
    )


def switch(path: Path) -> str:
    """Put the second CA in place of the first, which is kept; returns what to do.

    Raises:
        InvalidInput: there is no second CA, or one of before is still kept.
    """
    following, old = next_path(path), path.with_name(path.name + ".old")
    present = FileKey.load(path)
    if not following.exists():
        raise InvalidInput(f"there is no {following}: `goldcrest-delegation rotate` makes it")
    FileKey.load(following)
    if old.exists():
        raise InvalidInput(f"{old} is still there from the rotation before: shred -u {old}")
    # A link first: at no moment is there no CA key, should we be stopped here.
    old.hardlink_to(path)
    following.rename(path)
    public_path(following).unlink(missing_ok=True)
    make_ca_key(path)
    return _SWITCHED.format(present=path, old=old, line=present.public_line)


def next_path(path: Path) -> Path:
    """Where the second CA is."""
    return path.with_name(path.name + ".next")
