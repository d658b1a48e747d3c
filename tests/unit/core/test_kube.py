"""Paths of resources in the API server's URL space."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldcrest.errors import InvalidInput, KubernetesUnavailable
from goldcrest.kube import Kube, resource_path
from goldcrest.wellknown import Kind

pytestmark = pytest.mark.unit


def test_paths() -> None:
    """Namespaced, cluster-scoped, list and subresource."""
    assert resource_path(Kind.JOB) == "/apis/hpc.goldcrest.dev/v1alpha1/jobs"
    assert resource_path(Kind.SYSTEM, name="alps") == "/apis/hpc.goldcrest.dev/v1alpha1/systems/alps"
    assert (
        resource_path(Kind.JOB, namespace="n", name="a", subresource="status")
        == "/apis/hpc.goldcrest.dev/v1alpha1/namespaces/n/jobs/a/status"
    )


@pytest.mark.parametrize("name", ["../../../api/v1/secrets", "a/status", "a?b", "a#b", "a%2fb"])
def test_a_name_stays_a_name(name: str) -> None:
    """Whatever a name from outside holds, the path has as many parts as before."""
    path = resource_path(Kind.JOB, namespace="n", name=name)
    assert path.count("/") == resource_path(Kind.JOB, namespace="n", name="a").count("/")
    assert not set("?#") & set(path)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_steps_are_refused(name: str) -> None:
    """They would lead to another path whatever is done to them."""
    with pytest.raises(InvalidInput):
        resource_path(Kind.JOB, namespace="n", name=name)
    with pytest.raises(InvalidInput):
        resource_path(Kind.JOB, namespace=name, name="a")


async def test_credentials_that_cannot_be_read(tmp_path: Path) -> None:
    """A kubeconfig that is away, or is not one, is something to try again, and is named."""
    (tmp_path / "empty").write_text("apiVersion: v1\nkind: Config\n")
    for name in ("away", "empty"):
        with pytest.raises(KubernetesUnavailable, match=name):
            await Kube.connect(tmp_path / name)
