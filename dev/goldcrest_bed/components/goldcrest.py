"""Goldcrest's own four processes, from this checkout, and what they need in Kubernetes."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldcrest.wellknown import DELEGATION_AUDIENCE, GROUP, VERSION, namespace_of_user
from goldcrest_bed.component import Command, Component, HostProcess, http_ready
from goldcrest_bed.components import opa, s3
from goldcrest_bed.components.kubectl import Kubectl
from goldcrest_bed.components.node import Node
from goldcrest_bed.components.oidc import oidc
from goldcrest_bed.components.tokens import token_file
from goldcrest_bed.components.traces import endpoint
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError
from goldcrest_bed.kubeconfig import write_private
from goldcrest_bed.paths import REPOSITORY

HOST = "127.0.0.1"
CORE = REPOSITORY / "core" / "goldcrest"
MANIFESTS = REPOSITORY / "dev" / "manifests"
API, OPERATOR, DELEGATION, ADMISSION = (
    "goldcrest-api",
    "goldcrest-operator",
    "goldcrest-delegation",
    "goldcrest-admission",
)


def goldcrest(bed: Bed, kubectl: Kubectl, node: Node) -> list[Component]:
    """The components, in the order in which they start."""
    stack = Stack(bed, kubectl, node)
    return [Definitions(stack), stack.delegation(), stack.admission(), Resources(stack), stack.operator(), stack.api()]


class Stack:
    """How the processes are configured."""

    def __init__(self, bed: Bed, kubectl: Kubectl, node: Node) -> None:
        self.bed = bed
        self.kubectl = kubectl
        self.node = node
        self.folder = bed.paths.keys / "goldcrest"
        self.identity_file = bed.paths.data / "goldcrest" / "identity.toml"
        self.kubernetes_jwks = self.identity_file.with_name("kubernetes-jwks.json")
        self.block_file = bed.paths.data / "goldcrest" / "blocked"
        self.delegation_socket = self.identity_file.with_name("delegation.sock")
        self.audit_file = bed.paths.logs / "audit.jsonl"
        self.admission_url = f"https://{HOST}:{bed.config.port('admission')}"
        self.api_url = f"http://{HOST}:{bed.config.port('api')}"

    # ---- the four processes ----

    def delegation(self) -> HostProcess:
        bed = self.bed
        url = f"https://{HOST}:{bed.config.port('delegation')}"

        def env() -> dict[str, str]:
            serving = bed.pki.serving(DELEGATION, [f"IP:{HOST}", f"DNS:{DELEGATION}"])
            return _prefixed(
                DELEGATION,
                ca_key_file=self.node.ssh_ca_key,
                grant_key_file=self.folder / "grant.pem",
                stamp_key_files=[f"{self.folder / 'stamp.pem'}.pub"],
                identity_file=self.identity_file,
                opa_url=f"unix:{opa.opa_socket(bed, opa.SIGNING)}",
                kubeconfig=self._kubeconfig(DELEGATION),
                audit_file=self.audit_file,
                block_file=self.block_file,
                listen_port=bed.config.port("delegation"),
                tls_cert=serving.crt,
                tls_key=serving.key,
                listen_socket=self.delegation_socket,
                metrics_port=bed.config.port("delegation_metrics"),
                **self._tracing(),
            )

        return self._process(
            DELEGATION,
            package="delegation",
            env=env,
            ready_url=f"{url}/livez",
            needs=(Definitions.name, "token-keeper", opa.SIGNING, "oidc"),
            inputs=[self.identity_file, self.kubernetes_jwks],
            configured=self._write_keys_and_identity,
        )

    def admission(self) -> HostProcess:
        bed = self.bed

        def env() -> dict[str, str]:
            return self._admission_env()

        return self._process(
            ADMISSION,
            package="admission",
            env=env,
            ready_url=f"{self.admission_url}/livez",
            needs=(Definitions.name, "token-keeper", opa.ADMISSION, DELEGATION),
            inputs=[bed.pki.ca.crt],
        )

    def operator(self) -> HostProcess:
        bed = self.bed
        health = bed.config.port("operator_health")

        def env() -> dict[str, str]:
            return _prefixed(
                OPERATOR,
                kubeconfig=self._kubeconfig(OPERATOR),
                delegation__url=f"https://{HOST}:{bed.config.port('delegation')}",
                delegation__ca_file=bed.pki.ca.crt,
                delegation__token_file=token_file(bed, OPERATOR, DELEGATION_AUDIENCE),
                listen_host=HOST,
                health_port=health,
                # Shorter than the default 15/10/2, so that tests that kill the operator do not wait that long.
                lease__duration_seconds=6,
                lease__renew_deadline_seconds=4,
                lease__retry_seconds=1,
                metrics_port=bed.config.port("operator_metrics"),
                **self._tracing(),
            )

        return self._process(
            OPERATOR,
            package="operator",
            env=env,
            ready_url=f"http://{HOST}:{health}/readyz",
            needs=(Resources.name, DELEGATION, "node"),
        )

    def api(self) -> HostProcess:
        bed = self.bed

        def env() -> dict[str, str]:
            return _prefixed(
                API,
                identity_file=self.identity_file,
                kubeconfig=self._kubeconfig(API),
                # As in one pod; the operator comes by the port and TLS.
                delegation__url=f"unix:{self.delegation_socket}",
                delegation__token_file=token_file(bed, API, DELEGATION_AUDIENCE),
                listen__host=HOST,
                listen__port=bed.config.port("api"),
                listen__metrics_port=bed.config.port("api_metrics"),
                rates__user="600000/minute",  # benches are one user; the count is kept all the same
                create_namespaces="true",
                **self._tracing(),
            )

        return self._process(
            API,
            package="api",
            env=env,
            ready_url=f"{self.api_url}/readyz",
            needs=(Resources.name, DELEGATION, "node"),
            inputs=[self.identity_file, self.kubernetes_jwks],
            facts={
                "goldcrest": {
                    "api": {"url": self.api_url},
                    "operator": {"health": f"http://{HOST}:{bed.config.port('operator_health')}"},
                    "metrics": {
                        name: f"http://{HOST}:{bed.config.port(f'{name}_metrics')}/metrics"
                        for name in ("api", "operator", "delegation", "admission")
                    },
                    "admission": {"url": self.admission_url},
                    "delegation": {
                        "url": f"https://{HOST}:{bed.config.port('delegation')}",
                        "socket": str(self.delegation_socket),
                    },
                    "identity": str(self.identity_file),
                    "audit": str(self.audit_file),
                    "pods": bed.config["oidc"]["kubernetes"],
                    "block_file": str(self.block_file),
                    "namespaces": {user: namespace_of_user(user) for user in bed.config["system"]["users"]},
                }
            },
        )

    def _process(
        self,
        name: str,
        *,
        package: str,
        env: Any,
        ready_url: str,
        needs: tuple[str, ...],
        configured: Any = None,
        inputs: Sequence[Path] = (),
        facts: dict[str, Any] | None = None,
    ) -> HostProcess:
        # Compiled code is kept whatever the caller's environment says: starting takes a second instead of five.
        bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.bed.paths.cache / "pycache")}
        return HostProcess(
            name=name,
            paths=self.bed.paths,
            report=self.bed.report,
            command=lambda: Command([str(_program(name))], env=bytecode | env()),
            ready=http_ready(ready_url, ca=self.bed.pki.ca.crt if ready_url.startswith("https") else None),
            needs=needs,
            inputs=[CORE, REPOSITORY / package, *inputs],  # changed code takes effect at the next `up`
            configured=configured,
            facts_of=(lambda: facts) if facts else None,
        )

    # ---- keys and files ----

    def _admission_env(self) -> dict[str, str]:
        bed = self.bed
        serving = bed.pki.serving(ADMISSION, [f"IP:{HOST}", f"DNS:{ADMISSION}"])
        return _prefixed(
            ADMISSION,
            stamp_key_file=self.folder / "stamp.pem",
            grant_key_files=[f"{self.folder / 'grant.pem'}.pub"],
            opa_url=f"unix:{opa.opa_socket(bed, opa.ADMISSION)}",
            kubeconfig=self._kubeconfig(ADMISSION),
            listen_port=bed.config.port("admission"),
            tls_cert=serving.crt,
            tls_key=serving.key,
            metrics_port=bed.config.port("admission_metrics"),
            **self._tracing(),
        )

    def _tracing(self) -> dict[str, Any]:
        """Whoever asks for a trace gets one; else only what changes something makes spans, so that figures of reading are those without."""
        return {"tracing__endpoint": endpoint(self.bed), "tracing__ratio": 0}

    def _write_keys_and_identity(self) -> None:
        """Keys are made by the programs themselves, once."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.identity_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.identity_file, self._identity())
        self.block_file.touch(mode=0o600)
        for name, env in ((ADMISSION, self._admission_env()), (DELEGATION, self.delegation().command().env)):
            done = subprocess.run(
                [str(_program(name)), "init"],
                env={**os.environ, **env},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise BedError(f"{name} init: {done.stderr}")

    def _identity(self) -> str:
        """Two issuers: the light OIDC server for people and clients, the API server for pods."""
        settings = self.bed.config["oidc"]
        facts = oidc(self.bed).facts()["oidc"]
        users = "\n".join(
            f"{json.dumps(name)} = {json.dumps(user)}" for name, user in settings["service_accounts"].items()
        )
        kubernetes = json.loads(self.kubectl.admin("get", "--raw", "/.well-known/openid-configuration"))
        write_private(self.kubernetes_jwks, self.kubectl.admin("get", "--raw", "/openid/v1/jwks"))
        return f"""\
# Written by the test bed at every start.
[[issuer]]
issuer = {json.dumps(facts["issuer"])}
jwks_url = {json.dumps(facts["jwks_uri"])}
audience = {json.dumps(settings["audience"])}
algorithms = ["RS256"]
username_claim = "preferred_username"
systems = ["*"]
required_scope = {json.dumps(settings["scopes"][0])}

[issuer.users]
{users}

[[issuer]]
issuer = {json.dumps(kubernetes["issuer"])}
jwks_file = {json.dumps(str(self.kubernetes_jwks))}
audience = {json.dumps(settings["audience"])}
algorithms = {json.dumps(kubernetes["id_token_signing_alg_values_supported"])}
username_claim = "sub"
username_pattern = 'system:serviceaccount:{settings["kubernetes"]["namespace"]}:(?P<username>[a-z][a-z0-9-]*)'
systems = [{json.dumps(self.bed.config["system"]["name"])}]
implied_scopes = [{json.dumps(settings["scopes"][0])}]
"""

    def _kubeconfig(self, account: str) -> Path:
        return self.bed.paths.kubeconfigs / account


class Definitions(Component):
    """CRDs, RBAC, and the API server's own policies: what is there before the processes start."""

    name = "goldcrest-definitions"
    runs = False
    needs = ("kube-access",)

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def start(self) -> None:
        kubectl = self._stack.kubectl
        crds = sorted((REPOSITORY / "crds").glob("*.yaml"))
        kubectl.admin("apply", "--server-side", "--force-conflicts", *(f"--filename={path}" for path in crds))
        kubectl.admin("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{p.stem}.{GROUP}" for p in crds))
        kubectl.admin(
            "apply", *(f"--filename={MANIFESTS / name}" for name in ("rbac.yaml", "policies.yaml", "flowcontrol.yaml"))
        )

    def stop(self) -> None:
        pass

    def state(self) -> str:
        return _exists(self._stack.kubectl, f"crd/jobs.{GROUP}")


class Resources(Component):
    """The System, namespaces of users with their accounts, and the webhooks: what needs the definitions and admission."""

    name = "goldcrest-resources"
    runs = False
    needs = (ADMISSION,)

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def start(self) -> None:
        items = [self._system(), *self._accounts(), *self._pods()]
        whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        for manifest in (whole, self._webhooks()):
            self._stack.kubectl.admin("apply", "-f", "-", stdin=manifest)

    def _system(self) -> dict[str, Any]:
        facts = self._stack.node.facts()["system"]
        host = {"address": facts["host"], "port": facts["port"], "hostKeys": facts["host_keys"]}
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "System",
            "metadata": {"name": facts["name"]},
            "spec": {
                "description": "The test bed's Slurm cluster",
                "hosts": [host],
                "filterPath": facts["filter_path"],
                "scheduler": {"type": "Slurm"},
                "workDirectory": f"{facts['scratch']}/{{user}}",
                "fileSystems": [
                    {"name": "home", "path": "/home", "description": "Home directories"},
                    {"name": "scratch", "path": facts["scratch"], "description": "Working data"},
                ],
                "objectStore": {"url": s3.endpoint(self._stack.bed)},
            },
        }

    def _accounts(self) -> list[dict[str, Any]]:
        """A namespace per Unix user; a Kubernetes person of the same name owns it and may use the account."""
        system = self._stack.node.facts()["system"]["name"]
        persons = self._stack.bed.config["kubernetes"]["persons"]
        items: list[dict[str, Any]] = []
        for user in self._stack.bed.config["system"]["users"]:
            if user not in persons:
                continue  # whoever comes through REST gets a namespace on first use
            namespace = namespace_of_user(user)
            items.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            rule = {
                "apiGroups": [GROUP],
                "resources": ["hpcaccounts"],
                "resourceNames": [f"{system}:{user}"],
                "verbs": ["use", "manage"],
            }
            role = f"goldcrest-account-{system}-{user}"
            person = {"kind": "User", "name": user, "apiGroup": _RBAC}
            there = {"kind": "User", "name": f"goldcrest:namespace:{namespace}", "apiGroup": _RBAC}
            items += [
                _rbac("Role", role, namespace, rules=[rule]),
                _bind("RoleBinding", role, namespace, to=("Role", role), subject=person),
                _bind("RoleBinding", "goldcrest-user", namespace, to=("ClusterRole", "goldcrest-user"), subject=person),
                _rbac("ClusterRole", role, None, rules=[rule]),
                _bind("ClusterRoleBinding", role, None, to=("ClusterRole", role), subject=there),
            ]
        return items

    def _pods(self) -> list[dict[str, Any]]:
        """Service accounts whose tokens the second issuer's rule makes Unix users of."""
        table = self._stack.bed.config["oidc"]["kubernetes"]
        place = table["namespace"]
        named = [{"name": name, "namespace": place} for name in table["service_accounts"]]
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}},
            *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata} for metadata in named),
        ]

    def _webhooks(self) -> str:
        """The manifest, in YAML; admission is on this machine, not behind a Service."""
        authority = base64.b64encode(self._stack.bed.pki.ca.crt.read_bytes()).decode()
        address = rf'clientConfig: {{url: "{self._stack.admission_url}\1", caBundle: {authority}}}'
        text, replaced = _SERVICE.subn(address, (MANIFESTS / "webhooks.yaml").read_text())
        if replaced != 2:
            raise BedError("dev/manifests/webhooks.yaml does not have two webhooks with a Service")
        return text

    def stop(self) -> None:
        pass

    def state(self) -> str:
        return _exists(self._stack.kubectl, f"gsys/{self._stack.bed.config['system']['name']}")


def _program(name: str) -> Path:
    """An entry point of the distribution, as `make setup` installs it."""
    return REPOSITORY / ".venv" / "bin" / name


def _exists(kubectl: Kubectl, resource: str) -> str:
    try:
        kubectl.admin("get", resource, "-o", "name", timeout=10)
    except BedError:
        return "stopped"
    return "running"


_RBAC = "rbac.authorization.k8s.io"
_SERVICE = re.compile(r"clientConfig: \{service: \{[^{}]*path: (/[a-z]+)[^{}]*\}\}")


def _rbac(kind: str, name: str, namespace: str | None, **content: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, **content}


def _bind(
    kind: str, name: str, namespace: str | None, *, to: tuple[str, str], subject: dict[str, str]
) -> dict[str, Any]:
    reference = {"apiGroup": _RBAC, "kind": to[0], "name": to[1]}
    return _rbac(kind, name, namespace, roleRef=reference, subjects=[subject])


def _prefixed(process: str, **settings: Any) -> dict[str, str]:
    """Environment variables of a process: lists as JSON."""
    prefix = process.replace("-", "_").upper()
    return {
        f"{prefix}_{name.upper()}": json.dumps(value) if isinstance(value, list) else str(value)
        for name, value in settings.items()
    }
