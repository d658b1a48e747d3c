"""Somebody else's Kubernetes in the place of etcd and kube-apiserver: the current kubeconfig, or kind.

Not tried on a machine with docker: kind's own faults are passed on as they are.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from goldcrest_bed import kubeconfig
from goldcrest_bed.command import logged, output, succeeds
from goldcrest_bed.component import Component
from goldcrest_bed.components.kubectl import Kubectl
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError

KIND_NAME = "goldcrest-bed"
_VIEW = ("config", "view", "--raw", "--flatten", "-o", "json")


class ExternalKube(Component):
    """Writes the admin kubeconfig for a cluster that the bed does not run (or lets kind make it)."""

    name = "kube-apiserver"  # in the place of the bed's own: others need it by this name

    def __init__(self, bed: Bed, kubectl: Kubectl) -> None:
        self._bed = bed
        self._kubectl = kubectl
        self.needs = (kubectl.name,)

    def start(self) -> None:
        if self._bed.config.kube == "kind":
            text = self._kind()
        else:
            text = output([str(self._kubectl.path), *_VIEW, "--minify"])
        json.loads(text)
        kubeconfig.write_private(self._bed.paths.kubeconfigs / "admin", text)
        if not self._answers():
            raise BedError(f"the {self._bed.config.kube} cluster does not answer `kubectl get --raw /readyz`")

    def _kind(self) -> str:
        if not shutil.which("kind") or not succeeds(["docker", "info"]):
            raise BedError("--kube kind needs the program kind and a running docker; without, leave --kube away")
        if KIND_NAME not in output(["kind", "get", "clusters"]).split():
            log = self._bed.paths.logs / "kind.log"
            with self._bed.report.step(self.name, "creating a kind cluster", log=log):
                logged(["kind", "create", "cluster", "--name", KIND_NAME, "--kubeconfig", "/dev/null"], log)
        text = output(["kind", "get", "kubeconfig", "--name", KIND_NAME])
        path = self._bed.paths.kubeconfigs / "kind"
        kubeconfig.write_private(path, text)
        return output([str(self._kubectl.path), "--kubeconfig", str(path), *_VIEW])

    def _answers(self) -> bool:
        admin = self._bed.paths.kubeconfigs / "admin"
        ask = [str(self._kubectl.path), "--kubeconfig", str(admin), "get", "--raw", "/readyz"]
        return admin.exists() and succeeds(ask, timeout=15)

    def stop(self) -> None:
        if self._bed.config.kube == "kind" and shutil.which("kind"):
            output(["kind", "delete", "cluster", "--name", KIND_NAME], timeout=120)

    def state(self) -> str:
        return "running" if self._answers() else "stopped"

    def facts(self) -> dict[str, Any]:
        path = self._bed.paths.kubeconfigs / "admin"
        if not path.exists():
            return {}
        admin = json.loads(path.read_text())
        return {"apiserver": {"url": admin["clusters"][0]["cluster"]["server"], "ca": None}}
