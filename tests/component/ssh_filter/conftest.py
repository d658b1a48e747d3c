"""A login node for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from component.ssh_filter.node import Node, node_in_temporary_folder


@pytest.fixture
def node() -> Iterator[Node]:
    if os.geteuid() != 0:
        pytest.skip("the filter demands files of root, and runs as another user")
    yield from node_in_temporary_folder()
