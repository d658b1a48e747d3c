"""Fixtures of everything that runs on the bed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bed import Bed

_AT_ONCE = 50


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
        for start in range(0, len(names), _AT_ONCE):  # the long form of the fault tests makes a thousand
            running.kubectl("delete", "gjob", "-n", namespace, "--wait=false", *names[start : start + _AT_ONCE])


def _jobs(bed: Bed) -> set[tuple[str, str]]:
    items = json.loads(bed.kubectl("get", "gjob", "-A", "-o", "json").stdout)["items"]
    return {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items}
