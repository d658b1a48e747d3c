from __future__ import annotations

from collections.abc import Iterator

import pytest

from component.faults.rig import Rig, running_rig
from component.plain_node.machine import is_possible


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Everything, for all tests here."""
    if reason := is_possible():
        pytest.skip(reason)
    with running_rig(tmp_path_factory.mktemp("faults")) as rig:
        yield rig


@pytest.fixture
def rig(whole: Rig) -> Iterator[Rig]:
    """The same, with an ordinary operator and jobs of a second at the beginning of each test."""
    whole.slurm.run_for(1)
    whole.slurm.forget_after(300)
    whole.stage.supervise()
    yield whole
