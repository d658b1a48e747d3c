"""A plain login node with Goldcrest's door, and the control plane's own client before it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from component.plain_node.door import Door, install, make_account, prepare
from component.plain_node.machine import Machine, fresh_machine, is_possible
from goldcrest.ssh import SshPool, SshSettings

_NUMBERS = itertools.count(1)  # no account has the name of one before it


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the CA's keys, made by delegation's own code."""
    return tmp_path_factory.mktemp("ca")


@pytest.fixture
def machine(keys: Path) -> Iterator[Machine]:
    """A node that nothing has been done to yet, with our folder and the CA's public key in /root."""
    if reason := is_possible():
        pytest.skip(reason)
    with fresh_machine() as machine:
        prepare(machine, keys)
        yield machine


@pytest.fixture(scope="module")
def node(keys: Path) -> Iterator[Machine]:
    """A node with Goldcrest installed and running, shared by the tests of a module; each makes accounts of its own."""
    if reason := is_possible():
        pytest.skip(reason)
    with fresh_machine() as machine:
        prepare(machine, keys)
        install(machine)
        machine.start_sshd()
        yield machine


@pytest.fixture
async def make_door(keys: Path) -> AsyncIterator[Callable[..., Door]]:
    """The way in to a node, through the client of the control plane; closed after the test."""
    pools: list[SshPool] = []

    def make(machine: Machine, **settings: object) -> Door:
        door = Door(machine, keys, SshSettings(**{"backoff_first_seconds": 0.05, **settings}))  # type: ignore[arg-type]
        pools.append(door.pool)
        return door

    yield make
    for pool in pools:
        await pool.close()


@pytest.fixture
def account(node: Machine) -> Iterator[Callable[..., str]]:
    """Make accounts of the node with the start-up files of the test's choice; taken away afterwards."""
    made: list[str] = []

    def make(**options: object) -> str:
        name = f"user{next(_NUMBERS)}"
        make_account(node, name, **options)  # type: ignore[arg-type]
        made.append(name)
        return name

    yield make
    for name in made:
        node.run("userdel", "-f", name, check=False)
        shutil.rmtree(node.path(f"/home/{name}"), ignore_errors=True)
