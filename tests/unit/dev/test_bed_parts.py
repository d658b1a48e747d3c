"""Pure parts of the bed: Slurm's files, go.mod, order of starting, token life, digests."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goldcrest_bed import config, orchestrate, slurmconf, token_keeper
from goldcrest_bed.component import Component, content_digest
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError
from goldcrest_bed.gobuild import go_mod
from goldcrest_bed.versions import GoProgram, Versions, as_tuple

pytestmark = pytest.mark.unit


def test_slurm_conf_has_each_node_and_partition() -> None:
    text = slurmconf.slurm_conf(config.load([])["system"])
    assert "NodeName=n2 NodeHostname=cluster NodeAddr=127.0.0.1 Port=6901 CPUs=4 RealMemory=4000 State=UNKNOWN" in text
    assert "PartitionName=normal Nodes=n1,n2,n3 Default=YES MaxTime=1-00:00:00 DefaultTime=00:10:00 State=UP" in text
    assert "PartitionName=debug Nodes=n1 MaxTime=00:05:00 DefaultTime=00:01:00 State=UP" in text


def test_a_user_without_accounts_gets_no_association() -> None:
    calls = slurmconf.accounting(config.load([])["system"])
    assert ["add", "user", "alice", "Account=physics,chemistry", "DefaultAccount=physics", "Cluster=cluster"] in calls
    assert not any("carol" in word for call in calls for word in call)


def test_staging_modules_are_replaced_by_their_published_versions() -> None:
    upstream = "module k8s.io/kubernetes\ngo 1.24.0\nrequire (\n\tk8s.io/api v0.0.0\n\tk8s.io/klog/v2 v2.1.0\n)\n"
    text = go_mod(GoProgram("x", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/x", "v1.34.4"), upstream)
    assert text.splitlines() == [
        "module goldcrest.invalid/bed",
        "go 1.24.0",
        "require k8s.io/kubernetes v1.34.4",
        "replace k8s.io/api => k8s.io/api v0.34.4",
    ]


@pytest.mark.parametrize(
    ("text", "number"), [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("v20.20.2", (20, 20, 2)), ("none", ())]
)
def test_version_numbers(text: str, number: tuple[int, ...]) -> None:
    assert as_tuple(text) == number


def test_every_pinned_version_is_complete() -> None:
    for program in Versions.load().go.values():
        assert program.package.startswith(program.module)
        assert len(as_tuple(program.version)) == 3


def token(folder: Path, **claims: float) -> Path:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    (folder / "token").write_text(f"e30.{body}.x")
    return folder / "token"


def test_a_token_is_due_at_half_of_its_life(tmp_path: Path) -> None:
    path = token(tmp_path, iat=1000, exp=2000)
    assert not token_keeper.due(path, 1499)
    assert token_keeper.due(path, 1500)
    assert token_keeper.due(tmp_path / "missing", 0)
    assert token_keeper.expires(tmp_path / "missing") == 0


def test_a_digest_sees_content_and_names_but_not_compiled_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = content_digest([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert content_digest([tmp_path]) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert content_digest([tmp_path]) != first


class Part(Component):
    """Records when it is started."""

    def __init__(self, name: str, needs: tuple[str, ...], act: Callable[[str], None]) -> None:
        self.name = name
        self.needs = needs
        self._act = act

    def start(self) -> None:
        self._act(self.name)

    def stop(self) -> None:
        pass

    def state(self) -> str:
        return "stopped"


def parts(act: Callable[[str], None], **needs: tuple[str, ...]) -> dict[str, Component]:
    return {name: Part(name, wanted, act) for name, wanted in needs.items()}


NO_BED = cast(Bed, SimpleNamespace(report=None))


def test_needs_come_along_in_order() -> None:
    every = parts(lambda _: None, a=(), b=("a",), c=("b",), d=())
    assert list(orchestrate.with_needs(every, ["c"])) == ["a", "b", "c"]
    with pytest.raises(BedError, match="no component e"):
        orchestrate.with_needs(every, ["e"])


def test_independent_parts_start_at_once_and_the_dependent_after_both() -> None:
    both = threading.Barrier(2, timeout=5)
    started: list[str] = []

    def act(name: str) -> None:
        if name in "ab":
            both.wait()  # passes only if a and b start at the same time
        started.append(name)

    orchestrate.up(NO_BED, parts(act, a=(), b=(), c=("a", "b")))
    assert started[-1] == "c"


def test_one_failure_leaves_the_others_running_and_is_told_once() -> None:
    started: list[Any] = []

    def act(name: str) -> None:
        if name == "a":
            raise BedError("port taken")
        started.append(name)

    with pytest.raises(BedError) as caught:
        orchestrate.up(NO_BED, parts(act, a=(), b=("a",), c=()))
    assert started == ["c"]
    assert str(caught.value) == "a: port taken"
