"""Which components a bed consists of. A new one is a module in ``components`` and a line here."""

from __future__ import annotations

from goldcrest_bed.component import Component
from goldcrest_bed.components import keycloak
from goldcrest_bed.components.apiserver import apiserver
from goldcrest_bed.components.etcd import etcd
from goldcrest_bed.components.external_kube import ExternalKube
from goldcrest_bed.components.goldcrest import goldcrest
from goldcrest_bed.components.kube_access import KubeAccess
from goldcrest_bed.components.kubectl import Kubectl
from goldcrest_bed.components.network import Network
from goldcrest_bed.components.node import Node
from goldcrest_bed.components.oidc import oidc
from goldcrest_bed.components.opa import ADMISSION, SIGNING, opa
from goldcrest_bed.components.s3 import s3
from goldcrest_bed.components.tokens import tokens
from goldcrest_bed.components.traces import traces
from goldcrest_bed.context import Bed

OPTIONAL: tuple[str, ...] = (keycloak.NAME,)


def assemble(bed: Bed) -> dict[str, Component]:
    """All components of this bed by name, each after those that it needs."""
    kubectl = Kubectl(bed)
    network = Network(bed)
    kube: list[Component] = [etcd(bed), apiserver(bed)] if bed.config.kube == "own" else [ExternalKube(bed, kubectl)]
    every: list[Component] = [
        kubectl,
        *kube,
        KubeAccess(bed, kubectl),
        tokens(bed, kubectl),
        network,
        node := Node(bed, network),
        opa(bed, ADMISSION),
        opa(bed, SIGNING),
        oidc(bed),
        s3(bed),
        traces(bed),
        *goldcrest(bed, kubectl, node),
    ]
    if keycloak.NAME in bed.config.extra:
        every.append(keycloak.keycloak(bed))
    return {component.name: component for component in every}
