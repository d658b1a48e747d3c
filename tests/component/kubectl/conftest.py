from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from component.admission.stage import Stage, running_stage
from component.kubectl.plugin import Plugin


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """API server, OPA, delegation and admission; alice may use her account in namespace team, bob his in namespace bobs."""
    with running_stage(tmp_path_factory.mktemp("stage")) as running:
        for user, namespace in (("alice", "team"), ("bob", "bobs")):
            running.namespace(namespace)
            running.may(user, namespace, accounts=[f"cluster:{user}"])
        readers = [{"apiGroups": ["hpc.goldcrest.dev"], "resources": ["systems"], "verbs": ["get", "list", "watch"]}]
        for user in ("alice", "bob"):
            running.bind(user, readers, name=f"systems-{user}", namespace=None)
        yield running


@pytest.fixture
def plugin(stage: Stage, tmp_path: Path) -> Plugin:
    """The plugin as alice has it."""
    return Plugin(stage, tmp_path)
