"""A stage for delegation and admission: a real API server with RBAC, a real OPA, and both processes as users start them.

It is a stage of its own, not the test bed: its webhooks refuse what does not fit, and here they are taken away and broken.
"""

from __future__ import annotations

import base64
import copy
import functools
import http.client
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from component.admission.binaries import binary
from component.admission.certificates import Tls
from component.admission.issuer import Issuer
from goldcrest_bed.components.opa import server_arguments

REPOSITORY = Path(__file__).parents[3]
MANIFESTS = REPOSITORY / "dev" / "manifests"
API = "/apis/hpc.goldcrest.dev/v1alpha1"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
ACCOUNTS = ("goldcrest-api", "goldcrest-operator", "goldcrest-delegation", "goldcrest-admission")
PEOPLE = {"alice": ["users"], "bob": ["users"], "gitops": [], "root": ["system:masters"]}

SITE: dict[str, Any] = {
    "scope": "firecrest",
    "blocked": ["blocked-user"],
    "wildcard_subjects": [],
    "systems": {"cluster": {"enabled": True, "users": ["*"], "groups": []}},
}


def service_account(name: str) -> str:
    return f"system:serviceaccount:goldcrest:{name}"


@dataclass(frozen=True)
class Answer:
    """What the API server said to a user."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class Stage:
    """Everything that runs, and how to speak to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls = Tls(folder)
        self.issuer = Issuer(folder)
        self.port = free_port()
        self.webhook_port = free_port()
        self.delegation_socket = folder / "delegation.sock"
        self.audit_file = folder / "audit.jsonl"
        self._opa_socket = folder / "opa.sock"
        self.site: dict[str, Any] = SITE
        self._tokens = {name: secrets.token_hex(8) for name in [*PEOPLE, *map(service_account, ACCOUNTS)]}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._kept = threading.local()

    # ---- Running ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._start_kubernetes()
        self.start_opa()
        self._fill_kubernetes()
        for module in ("goldcrest_delegation", "goldcrest_admission"):
            self._run(module, "init")
        self.start_delegation()
        self.start_admission()
        self.configure_webhooks()
        self.ship_policies()

    def stop(self) -> None:
        for name in reversed(list(self._processes)):
            self.stop_process(name)

    def stop_process(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _spawn(self, name: str, argv: list[str], ready: Callable[[], bool], environment: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                argv, stdout=log, stderr=log, env={**os.environ, **environment}, cwd=self.folder
            )
        end = time.monotonic() + 60
        while not _answers(ready):
            if self._processes[name].poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{name} does not run:\n{self.log(name)[-3000:]}")
            time.sleep(0.05)

    @contextmanager
    def running(self, name: str, argv: list[str], *, port: int) -> Iterator[None]:
        """Another process for a while, which is there once it listens on a port."""
        self._spawn(name, argv, lambda: listens(port), {})
        try:
            yield
        finally:
            self.stop_process(name)

    def _start_kubernetes(self) -> None:
        client, peer = free_port(), free_port()
        self._spawn(
            "etcd",
            [
                str(binary("etcd")),
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                "--unsafe-no-fsync",
            ],
            lambda: listens(client),
            {},
        )
        tokens = self.folder / "tokens.csv"
        rows = []
        for name, token in self._tokens.items():
            groups = PEOPLE.get(name, ["system:serviceaccounts", "system:serviceaccounts:goldcrest"])
            rows.append(f'{token},{name},uid-{name},"{",".join(groups)}"')
        tokens.write_text("\n".join(rows))
        crt, key = self.tls.server("apiserver")
        self._spawn(
            "kube-apiserver",
            [
                str(binary("kube-apiserver")),
                f"--etcd-servers=http://127.0.0.1:{client}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={self.port}",
                f"--tls-cert-file={crt}",
                f"--tls-private-key-file={key}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                f"--service-account-issuer=https://127.0.0.1:{self.port}",
                f"--service-account-key-file={crt}",
                f"--service-account-signing-key-file={key}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--endpoint-reconciler-type=none",
                f"--cert-dir={self.folder}",
            ],
            lambda: listens(self.port) and self.call("root", "GET", "/readyz").status == 200,
            {},
        )

    def start_opa(self, *, data: Sequence[Path] = (), more: Sequence[str] = ()) -> None:
        """The shipped policy and the stage's site data; ``data``: further files and folders, ``more``: arguments of the server."""
        self._opa_socket.unlink(missing_ok=True)
        site_data = self.folder / "data.json"
        site_data.write_text(json.dumps({"goldcrest": self.site}))
        policies = REPOSITORY / "policies"
        arguments = server_arguments(address=f"unix://{self._opa_socket}", policies=policies, data=[site_data, *data])
        self._spawn("opa", [str(binary("opa")), *arguments, *more], lambda: socket_listens(self._opa_socket), {})

    def start_delegation(self) -> None:
        self.delegation_socket.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "goldcrest_delegation.main"]
        self._spawn("delegation", argv, lambda: socket_listens(self.delegation_socket), self._delegation_settings())

    @contextmanager
    def delegation_over_tls(self) -> Iterator[str]:
        """A second replica, on TLS; gives its URL."""
        port = free_port()
        crt, key = self.tls.server("delegation")
        settings = self._delegation_settings()
        del settings["GOLDCREST_DELEGATION_LISTEN_SOCKET"]
        settings["GOLDCREST_DELEGATION_LISTEN_PORT"] = str(port)
        settings["GOLDCREST_DELEGATION_TLS_CERT"], settings["GOLDCREST_DELEGATION_TLS_KEY"] = str(crt), str(key)
        argv = [sys.executable, "-m", "goldcrest_delegation.main"]
        self._spawn("delegation-tls", argv, lambda: listens(port), settings)
        try:
            yield f"https://127.0.0.1:{port}"
        finally:
            self.stop_process("delegation-tls")

    def start_admission(self) -> None:
        argv = [sys.executable, "-m", "goldcrest_admission.main"]
        self._spawn("admission", argv, lambda: listens(self.webhook_port), self._admission_settings())

    def _delegation_settings(self) -> dict[str, str]:
        return {
            "GOLDCREST_DELEGATION_METRICS_PORT": "0",
            "GOLDCREST_DELEGATION_CA_KEY_FILE": str(self.folder / "keys" / "ca"),
            "GOLDCREST_DELEGATION_GRANT_KEY_FILE": str(self.folder / "keys" / "grant"),
            "GOLDCREST_DELEGATION_STAMP_KEY_FILES": json.dumps([str(self.folder / "keys" / "stamp.pub")]),
            "GOLDCREST_DELEGATION_IDENTITY_FILE": str(self.issuer.identity_file),
            "GOLDCREST_DELEGATION_OPA_URL": f"unix:{self._opa_socket}",
            "GOLDCREST_DELEGATION_KUBECONFIG": str(self.kubeconfig(service_account("goldcrest-delegation"))),
            "GOLDCREST_DELEGATION_AUDIT_FILE": str(self.audit_file),
            "GOLDCREST_DELEGATION_LISTEN_SOCKET": str(self.delegation_socket),
        }

    def _admission_settings(self) -> dict[str, str]:
        crt, key = self.tls.server("admission")
        return {
            "GOLDCREST_ADMISSION_METRICS_PORT": "0",
            "GOLDCREST_ADMISSION_STAMP_KEY_FILE": str(self.folder / "keys" / "stamp"),
            "GOLDCREST_ADMISSION_GRANT_KEY_FILES": json.dumps([str(self.folder / "keys" / "grant.pub")]),
            "GOLDCREST_ADMISSION_OPA_URL": f"unix:{self._opa_socket}",
            "GOLDCREST_ADMISSION_KUBECONFIG": str(self.kubeconfig(service_account("goldcrest-admission"))),
            "GOLDCREST_ADMISSION_LISTEN_PORT": str(self.webhook_port),
            "GOLDCREST_ADMISSION_TLS_CERT": str(crt),
            "GOLDCREST_ADMISSION_TLS_KEY": str(key),
        }

    def _run(self, module: str, action: str) -> None:
        settings = {**os.environ, **self._delegation_settings(), **self._admission_settings()}
        subprocess.run(
            [sys.executable, "-m", f"{module}.main", action],
            env=settings,
            check=True,
            timeout=180,
            stdout=subprocess.PIPE,
        )

    # ---- Kubernetes ---------------------------------------------------------------------------------------------

    def call(
        self,
        user: str,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request to the API server as a user."""
        headers = {
            "Authorization": f"Bearer {self._tokens[user]}",
            "Content-Type": content_type,
            **(headers or {}),
        }
        status, data, received = self._exchange(method, path, None if body is None else json.dumps(body), headers)
        try:
            content = json.loads(data)
        except ValueError:
            content = {"message": data.decode(errors="replace")}
        return Answer(status, content, {name.lower(): value for name, value in received.items()})

    def _exchange(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Over a connection that each thread keeps: a handshake costs more than most questions."""
        kept: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        connection = kept or http.client.HTTPSConnection("127.0.0.1", self.port, context=self._context, timeout=30)
        self._kept.connection = None
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            data = response.read()
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            connection.close()
            if kept is None:
                raise
            return self._exchange(method, path, body, headers)  # the server had closed it meanwhile
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._kept.connection = connection
        return response.status, data, response.headers

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.tls.ca))

    def must(self, method: str, path: str, body: object = None, **more: Any) -> dict[str, Any]:
        """As the cluster's administrator; it must work."""
        answer = self.call("root", method, path, body, **more)
        end = time.monotonic() + 30
        while answer.status == 429 and time.monotonic() < end:  # "storage is (re)initializing", on a busy machine
            time.sleep(0.5)
            answer = self.call("root", method, path, body, **more)
        assert answer.status < 300, answer
        return answer.body

    def create_job(self, user: str, job: dict[str, Any], *, namespace: str, dry_run: bool = False) -> Answer:
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self.call(user, "POST", f"{API}/namespaces/{namespace}/jobs{query}", job)

    def create_task(self, user: str, operation: dict[str, Any], *, namespace: str = "team", **spec: Any) -> Answer:
        body = {**TASK, "spec": {**TASK["spec"], "operation": operation, **spec}}
        return self.call(user, "POST", f"{API}/namespaces/{namespace}/tasks?fieldValidation=Strict", body)

    def patch_task(self, user: str, name: str, patch: dict[str, Any], *, namespace: str = "team") -> Answer:
        path = f"{API}/namespaces/{namespace}/tasks/{name}"
        return self.call(user, "PATCH", path, patch, content_type="application/merge-patch+json")

    def patch_job(self, user: str, namespace: str, name: str, patch: dict[str, Any]) -> Answer:
        path = f"{API}/namespaces/{namespace}/jobs/{name}"
        return self.call(user, "PATCH", path, patch, content_type="application/merge-patch+json")

    def kubeconfig(self, user: str) -> Path:
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "it",
                    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                    "clusters": [
                        {
                            "name": "it",
                            "cluster": {
                                "server": f"https://127.0.0.1:{self.port}",
                                "certificate-authority": str(self.tls.ca),
                            },
                        }
                    ],
                    "users": [{"name": "it", "user": {"token": self._tokens[user]}}],
                }
            )
        )
        return path

    def caller_token(self, account: str, *, audience: str = "goldcrest-delegation") -> str:
        """A projected token of one of our service accounts."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": [audience]}}
        made = self.must("POST", f"/api/v1/namespaces/goldcrest/serviceaccounts/{account}/token", body)
        return str(made["status"]["token"])

    def namespace(self, name: str) -> str:
        answer = self.call("root", "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert answer.status in (201, 409), answer
        return name

    def may(
        self, user: str, namespace: str, *, accounts: list[str], verbs: list[str] | None = None, name: str = ""
    ) -> None:
        """Give a person in a namespace, and the namespace itself, accounts; and the person all verbs on jobs there."""
        name = name or f"{user}-in-{namespace}"
        verbs = verbs or ["use", "manage"]
        rules = [
            {
                "apiGroups": ["hpc.goldcrest.dev"],
                "resources": ["hpcaccounts"],
                "resourceNames": accounts,
                "verbs": verbs,
            }
        ]
        self.bind(user, [*rules, _EVERYTHING_ON_JOBS], name=name, namespace=namespace)
        self.bind(f"goldcrest:namespace:{namespace}", rules, name=f"place-{name}", namespace=None)

    def bind(self, user: str, rules: list[dict[str, Any]], *, name: str, namespace: str | None) -> None:
        """A Role (or ClusterRole) with these rules, bound to a user."""
        prefix = "" if namespace else "Cluster"
        base = "/apis/rbac.authorization.k8s.io/v1" + (f"/namespaces/{namespace}" if namespace else "")
        kinds = ("roles", "rolebindings") if namespace else ("clusterroles", "clusterrolebindings")
        bodies = (
            {"metadata": {"name": name}, "rules": rules},
            {
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            },
        )
        for kind, body in zip(kinds, bodies, strict=True):
            answer = self.call("root", "POST", f"{base}/{kind}", body)
            assert answer.status in (201, 409), answer
        until(lambda: all(self._holds(user, rule, namespace) for rule in rules), f"the authorizer knows {name}")

    def _holds(self, user: str, rule: dict[str, Any], namespace: str | None) -> bool:
        """Whether the API server's authorizer, which follows a binding a moment after it was made, grants a rule."""
        resource, _, subresource = rule["resources"][-1].partition("/")
        attributes = {
            "group": rule["apiGroups"][-1],
            "resource": resource,
            "subresource": subresource,
            "verb": rule["verbs"][-1],
            "namespace": namespace or "",
            "name": rule.get("resourceNames", [""])[-1],
        }
        body = {"spec": {"user": user, "resourceAttributes": attributes}}
        review = self.must("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool(review["status"]["allowed"])

    def _fill_kubernetes(self) -> None:
        for kind in ("jobs", "tasks", "taskresults", "systems", "hpcaccounts"):
            crd = yaml.safe_load((REPOSITORY / "crds" / f"{kind}.yaml").read_text())
            self.must("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        for kind in ("jobs", "tasks", "taskresults", "systems"):
            until(lambda kind=kind: self.call("root", "GET", f"{API}/{kind}").status == 200, "the CRDs are served")
        self.namespace("goldcrest")
        for account in ACCOUNTS:
            self.must("POST", "/api/v1/namespaces/goldcrest/serviceaccounts", {"metadata": {"name": account}})
        for account, rules in RIGHTS.items():
            self.bind(service_account(account), rules, name=account, namespace=None)
        self.must("POST", f"{API}/systems", SYSTEM)
        self.hold_lease("operator-0")

    def hold_lease(self, holder: str) -> None:
        """Make somebody the holder of the default shard's Lease."""
        path = "/apis/coordination.k8s.io/v1/namespaces/goldcrest/leases"
        lease = {"metadata": {"name": "goldcrest-operator-default"}, "spec": {"holderIdentity": holder}}
        answer = self.call("root", "POST", path, lease)
        if answer.status == 409:
            content_type = "application/merge-patch+json"
            self.must("PATCH", f"{path}/goldcrest-operator-default", lease, content_type=content_type)
        time.sleep(1.1)  # delegation reads it once a second

    # ---- Webhooks -----------------------------------------------------------------------------------------------

    def configure_webhooks(self) -> None:
        """Those that are shipped; admission listens on this machine, not behind a Service."""
        authority = base64.b64encode(self.tls.ca.read_bytes()).decode()
        for item in yaml.safe_load((MANIFESTS / "webhooks.yaml").read_text())["items"]:
            (webhook,) = item["webhooks"]
            path = webhook["clientConfig"]["service"]["path"]
            webhook["clientConfig"] = {"url": f"https://127.0.0.1:{self.webhook_port}{path}", "caBundle": authority}
            self.must("POST", f"{REGISTRATION}/{item['kind'].lower()}s", item)
        # The API server takes up a new configuration within a second or so: when a stranger is refused by our words.
        self.namespace("warm-up")
        until(
            lambda: "hpcaccounts" in self.create_job("root", JOB, namespace="warm-up", dry_run=True).message,
            "the webhooks are called",
        )

    @contextmanager
    def without_webhooks(self) -> Iterator[None]:
        """As after somebody deleted the configuration: only the API server's own policies are left."""
        for kind in ("mutating", "validating"):
            self.must("DELETE", f"{REGISTRATION}/{kind}webhookconfigurations/goldcrest")
        until(
            lambda: "hpcaccounts" not in self.create_job("root", JOB, namespace="warm-up", dry_run=True).message,
            "the webhooks are gone",
        )
        try:
            yield
        finally:
            self.configure_webhooks()

    def ship_policies(self) -> None:
        """The API server's own policies, as they are shipped."""
        for item in policies():
            self.must("POST", f"{REGISTRATION}/{_plural(item['kind'])}", item)
        self._when_status_is(403, "the policies are in force")

    @contextmanager
    def without_policies(self) -> Iterator[None]:
        """As on an API server that has none: webhooks, if they are there, and delegation are alone."""
        for item in policies():
            self.must("DELETE", f"{REGISTRATION}/{_plural(item['kind'])}/{item['metadata']['name']}")
        self._when_status_is(200, "the policies are gone")
        try:
            yield
        finally:
            self.ship_policies()

    @contextmanager
    def without_admission(self) -> Iterator[None]:
        """Neither webhooks nor policies: delegation alone decides what becomes of what is made."""
        with self.without_webhooks(), self.without_policies():
            yield

    def _when_status_is(self, answer: int, what: str) -> None:
        # Only the policies refuse an administrator's status; the System's is written by nobody here.
        path = f"{API}/systems/cluster/status?dryRun=All"
        patch = {"status": {"observedGeneration": 0}}
        merge = "application/merge-patch+json"
        until(lambda: self.call("root", "PATCH", path, patch, content_type=merge).status == answer, what)

    def write_status(self, raw: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        """As the operator does; what is stored then."""
        meta = raw["metadata"]
        path = f"{API}/namespaces/{meta['namespace']}/{_plural(raw.get('kind', 'Job'))}/{meta['name']}/status"
        operator, merge = service_account("goldcrest-operator"), "application/merge-patch+json"
        answer = self.call(operator, "PATCH", path, {"status": status}, content_type=merge)
        assert answer.status == 200, answer
        return answer.body

    # ---- Policy -------------------------------------------------------------------------------------------------

    @contextmanager
    def policy_data(self, path: str, value: object) -> Iterator[None]:
        """Other site data for a while, e.g. ``blocked``. OPA is started anew with it: its own API is closed."""
        before = self.site
        changed = copy.deepcopy(before)
        *folders, name = path.split("/")
        place: Any = changed
        for folder in folders:
            place = place[folder]
        place[name] = value
        try:
            self._restart_opa(changed)
            yield
        finally:
            self._restart_opa(before)

    @contextmanager
    def site_rules(self, text: str) -> Iterator[None]:
        """Rules of the site's own beside ours for a while."""
        folder = self.folder / f"site-{secrets.token_hex(4)}"
        folder.mkdir()
        (folder / "site.rego").write_text(text)
        self.stop_process("opa")
        try:
            self.start_opa(data=[folder])
            yield
        finally:
            self._restart_opa(self.site)

    def _restart_opa(self, site: dict[str, Any]) -> None:
        self.site = site
        if "opa" in self._processes:
            self.stop_process("opa")
        self.start_opa()

    @contextmanager
    def blocked_in_opa(self, *names: str) -> Iterator[None]:
        """These names in the site's data for a while, until delegation, which remembers OPA's list for two seconds, has forgotten them."""
        with self.policy_data("blocked", list(names)):
            yield
        token = self.caller_token("goldcrest-api")
        until(lambda: not set(names) & set(self._served_block_list(token)), "delegation has forgotten the names")

    def _served_block_list(self, token: str) -> list[str]:
        connection = http.client.HTTPConnection("delegation", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.delegation_socket))
        with closing(connection):
            connection.request("GET", "/v1/blocked", headers={"Authorization": f"Bearer {token}"})
            return [str(name) for name in json.loads(connection.getresponse().read())["users"]]

    # ---- Delegation ---------------------------------------------------------------------------------------------

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]


_EVERYTHING_ON_JOBS = {
    "apiGroups": ["hpc.goldcrest.dev"],
    "resources": ["jobs", "tasks", "taskresults"],
    "verbs": ["*"],
}
_STATUS = {
    "apiGroups": ["hpc.goldcrest.dev"],
    "resources": ["jobs/status", "tasks/status", "systems/status"],
    "verbs": ["patch"],
}

_READ_RESOURCES = {
    "apiGroups": ["hpc.goldcrest.dev"],
    "resources": ["jobs", "tasks", "systems"],
    "verbs": ["get", "list"],
}
_REVIEWS = {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}

RIGHTS: dict[str, list[dict[str, Any]]] = {
    "goldcrest-api": [_EVERYTHING_ON_JOBS],
    "goldcrest-operator": [_EVERYTHING_ON_JOBS, _STATUS],
    "goldcrest-delegation": [
        _READ_RESOURCES,
        _REVIEWS,
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    ],
    "goldcrest-admission": [
        {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["systems"], "verbs": ["get", "list"]},
        {"apiGroups": ["hpc.goldcrest.dev"], "resources": ["tasks"], "verbs": ["list"]},
        _REVIEWS,
    ],
}

SYSTEM = {
    "apiVersion": "hpc.goldcrest.dev/v1alpha1",
    "kind": "System",
    "metadata": {"name": "cluster"},
    "spec": {
        "hosts": [{"address": "login.example", "port": 22222}],
        "filterPath": "/opt/goldcrest/ssh-filter",
        "scheduler": {"type": "Slurm", "observer": "watcher"},
        "workDirectory": "/scratch/{user}",
        "fileSystems": [{"name": "scratch", "path": "/scratch"}],
    },
}

JOB: dict[str, Any] = {
    "apiVersion": "hpc.goldcrest.dev/v1alpha1",
    "kind": "Job",
    "metadata": {"generateName": "hello-"},
    "spec": {"system": "cluster", "runAs": "alice", "script": {"inline": "#!/bin/bash\nhostname\n"}},
}


TASK: dict[str, Any] = {
    "apiVersion": "hpc.goldcrest.dev/v1alpha1",
    "kind": "Task",
    "metadata": {"generateName": "ask-"},
    "spec": {"system": "cluster", "runAs": "alice", "operation": {"listJobs": {"scope": "own"}}},
}


def job(**spec: Any) -> dict[str, Any]:
    """A small Job with other fields."""
    return {**JOB, "spec": {**JOB["spec"], **spec}}


def policies() -> list[dict[str, Any]]:
    """The API server's own policies and their bindings, as they are shipped."""
    return list(yaml.safe_load_all((MANIFESTS / "policies.yaml").read_text()))


def _plural(kind: str) -> str:
    return kind.lower().removesuffix("y") + "ies" if kind.endswith("y") else kind.lower() + "s"


def _answers(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def socket_listens(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(str(path)) == 0


def until(check: Callable[[], bool], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@contextmanager
def running_stage(folder: Path) -> Iterator[Stage]:
    """A stage that runs, and is taken down after."""
    stage = Stage(folder)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
