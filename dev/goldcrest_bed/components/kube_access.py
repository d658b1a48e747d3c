"""Namespace, service accounts and kubeconfigs."""

from __future__ import annotations

import json
from typing import Any

from goldcrest_bed import kubeconfig
from goldcrest_bed.component import Component
from goldcrest_bed.components import apiserver
from goldcrest_bed.components.kubectl import Kubectl
from goldcrest_bed.components.tokens import token_file
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError


class KubeAccess(Component):
    """Makes what must exist in the API server before anything of the project does, and who may use it."""

    name = "kube-access"
    runs = False
    needs = ("kube-apiserver", "kubectl")

    def __init__(self, bed: Bed, kubectl: Kubectl) -> None:
        self._bed = bed
        self._kubectl = kubectl

    @property
    def _settings(self) -> dict[str, Any]:
        table: dict[str, Any] = self._bed.config["kubernetes"]
        return table

    def start(self) -> None:
        cluster, admin = self._cluster()
        self._write_kubeconfigs(cluster, admin)
        self._kubectl.admin("apply", "-f", "-", stdin=json.dumps(self._objects()))

    def _cluster(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The kubeconfig's cluster, and its administrator."""
        if self._bed.config.kube == "own":
            pki = self._bed.pki
            cluster = kubeconfig.for_server(apiserver.url(self._bed), pki.ca.crt)
            admin = kubeconfig.with_certificate(pki.client("kube-admin", "bed-admin", ["system:masters"]))
            kubeconfig.write(self._bed.paths.kubeconfigs / "admin", cluster=cluster, name="bed-admin", user=admin)
            return cluster, admin
        content = json.loads((self._bed.paths.kubeconfigs / "admin").read_text())
        return content["clusters"][0]["cluster"], content["users"][0]["user"]

    def _write_kubeconfigs(self, cluster: dict[str, Any], admin: dict[str, Any]) -> None:
        folder = self._bed.paths.kubeconfigs
        for name, person in self._settings["persons"].items():
            groups = person.get("groups", [])
            if self._bed.config.kube == "own":
                user = kubeconfig.with_certificate(self._bed.pki.client(f"kube-{name}", name, groups))
            else:  # somebody else's authority: the administrator speaks as them
                user = admin | {"as": name, "as-groups": [*groups, "system:authenticated"]}
            kubeconfig.write(folder / name, cluster=cluster, name=name, user=user)
        for name in self._settings["service_accounts"]:
            user = kubeconfig.with_token_file(token_file(self._bed, name, ""))
            kubeconfig.write(
                folder / name, cluster=cluster, name=name, user=user, namespace=self._settings["namespace"]
            )

    def _objects(self) -> dict[str, Any]:
        namespace = self._settings["namespace"]
        items: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}]
        items += [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
            for name in self._settings["service_accounts"]
        ]
        return {"apiVersion": "v1", "kind": "List", "items": items}

    def stop(self) -> None:
        pass

    def state(self) -> str:
        try:
            self._kubectl.admin("get", "namespace", self._settings["namespace"], "-o", "name", timeout=10)
        except BedError:
            return "stopped"
        return "running"

    def facts(self) -> dict[str, Any]:
        folder = self._bed.paths.kubeconfigs
        return {
            "kubernetes": {
                "target": self._bed.config.kube,
                "namespace": self._settings["namespace"],
                "admin": str(folder / "admin"),
                "persons": {
                    name: {"kubeconfig": str(folder / name), "groups": person.get("groups", [])}
                    for name, person in self._settings["persons"].items()
                },
                "service_accounts": {
                    name: {
                        "kubeconfig": str(folder / name),
                        "tokens": {audience: str(token_file(self._bed, name, audience)) for audience in audiences},
                    }
                    for name, audiences in self._settings["service_accounts"].items()
                },
            }
        }
