"""The whole test bed: nothing is skipped when it is not up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jwt
import pytest

from bed import Bed
from bed_fixtures import bed
from integration.contract_world import made
from integration.pyfirecrest_clients import ALICE, KINDS, Client, whole_area

__all__ = ["bed"]


@pytest.fixture(scope="session", autouse=True)
def short_lived(bed: Bed) -> str:
    """A token of two seconds, got at the beginning: whoever needs it expired waits for what is left, mostly nothing."""
    return bed.token("expiring-client")


@pytest.fixture(scope="session")
def expired_token(short_lived: str) -> str:
    """Older than its life and the leeway of 30 s."""
    expires = float(jwt.decode(short_lived, options={"verify_signature": False})["exp"])
    time.sleep(max(0.0, expires + 31.5 - time.time()))
    return short_lived


@pytest.fixture(params=KINDS)
def client(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Client]:
    """pyfirecrest's, sync and async; for ``CLIENT`` of the module, where it names one."""
    with Client.of(bed, request.param, client=getattr(request.module, "CLIENT", ALICE)) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def _whole_area(request: pytest.FixtureRequest) -> Iterator[None]:
    """A module that names an ``AREA`` goes through every method of it."""
    area = getattr(request.module, "AREA", None)
    if area is None:
        yield
    else:
        yield from whole_area(request, area)


@pytest.fixture(scope="module")
def world(bed: Bed) -> Iterator[dict[str, str]]:
    """What the tables of requests name in capitals."""
    with made(bed) as names:
        yield names
