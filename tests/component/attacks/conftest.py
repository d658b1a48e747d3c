from __future__ import annotations

from collections.abc import Iterator

import pytest

from component.attacks.attack_stage import AttackStage, running_attack_stage


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackStage]:
    """Everything real; alice may use her account in namespace team, and bob may edit Jobs there and nothing else."""
    with running_attack_stage(tmp_path_factory.mktemp("stage")) as running:
        running.namespace("team")
        running.may("alice", "team", accounts=["cluster:alice"])
        running.may_use_jobs("bob", "team")
        yield running
