"""Fixtures of everything that runs on the bed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bed import Bed


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """Addresses, doors and hands on the running bed (`make bed-up`)."""
    yield from running()


def running(profile: str | None = None) -> Iterator[Bed]:
    """The running bed of a profile. Jobs that the tests made are gone afterwards."""
    running = Bed.running(profile)
    before = _jobs(running)
    yield running
    made: dict[str, list[str]] = {}
    for namespace, name in _jobs(running) - before:
        made.setdefault(namespace, []).append(name)
    for namespace, names in made.items():
        running.kubectl("delete", "gjob", "-n", namespace, "--wait=false", *names)


def _jobs(bed: Bed) -> set[tuple[str, str]]:
    items = json.loads(bed.kubectl("get", "gjob", "-A", "-o", "json").stdout)["items"]
    return {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items}
