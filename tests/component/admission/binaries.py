"""Programs that the component tests start: built by the test bed, or given by KUBEBUILDER_ASSETS."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def binary(name: str) -> Path:
    """Path of etcd, kube-apiserver, kube-controller-manager, kubectl or opa. The test fails, rather than being skipped, when there is none."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "goldcrest" / "builds"
    candidates = [Path(assets) / name] if assets else []
    candidates += sorted(cache.glob(f"{name}-v*/{name}"), reverse=True)
    on_path = shutil.which(name)
    candidates += [Path(on_path)] if on_path else []
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    pytest.fail(f"there is no {name}: `dev/bed.py build {name}` builds it, or put it on the PATH")
