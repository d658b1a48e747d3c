from __future__ import annotations

from collections.abc import Iterator

import pytest

from component.admission.stage import Stage, running_stage


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """API server, OPA, delegation and admission; alice may use her account in namespace team."""
    with running_stage(tmp_path_factory.mktemp("stage")) as running:
        running.namespace("team")
        running.may("alice", "team", accounts=["cluster:alice"])
        yield running
