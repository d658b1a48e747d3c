"""Bodies as they come: a large piece is not copied, and crumbs are not copied again and again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from goldcrest.http_server import HttpServer

pytestmark = pytest.mark.unit


@pytest.fixture
def server() -> Any:
    """A connection in the middle of a body."""
    made: Any = HttpServer.__new__(HttpServer)
    made.parser = SimpleNamespace(should_upgrade=lambda: False)
    made.flow = SimpleNamespace(pause_reading=lambda: None)
    event = SimpleNamespace(set=lambda: None)
    made.cycle = SimpleNamespace(body=bytearray(), response_complete=False, message_event=event)
    return made


def test_one_piece_is_handed_on_as_it_is(server: Any) -> None:
    piece = bytes(100_000)
    server.on_body(piece)
    assert server.cycle.body is piece
    assert bytes(server.cycle.body) is piece  # what uvicorn's receive does


def test_crumbs_are_put_together_in_place(server: Any) -> None:
    """With bytes, each would copy all that came before it: a client could keep the loop busy with a chunk for each byte."""
    server.on_body(b"a" * 100)
    server.on_body(b"b")
    kept = server.cycle.body
    for _ in range(1000):
        server.on_body(b"c")
    assert server.cycle.body is kept
    assert bytes(kept) == b"a" * 100 + b"b" + b"c" * 1000
