"""The stage that attacks are tried on: a second issuer, a real gateway, and exactly the rights that are shipped."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from component.admission.stage import (
    API,
    REPOSITORY,
    Answer,
    Stage,
    free_port,
    listens,
    service_account,
)
from component.attacks.forgery import Key

PARTNER = "https://partner.example"
GATEWAY = service_account("goldcrest-api")
OPERATOR = service_account("goldcrest-operator")
MERGE = "application/merge-patch+json"

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PARTNER_RULE = """
[[issuer]]
issuer = "{issuer}"
jwks_file = "{jwks}"
audience = "goldcrest"
algorithms = ["ES256"]
username_claim = "preferred_username"
systems = ["partner-cluster"]
required_scope = "firecrest"
"""


class AttackStage(Stage):
    """As :class:`Stage`, with what an attacker may hold: keys of their own, and an issuer that counts elsewhere."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.attacker = Key("one")  # the kid of the issuer's own key
        self.partner = Key("one")
        self.gateway_port = free_port()
        jwks = folder / "partner.json"
        jwks.write_text(json.dumps({"keys": [self.partner.jwk]}))
        rules = self.issuer.identity_file
        rules.write_text(rules.read_text() + _PARTNER_RULE.format(issuer=PARTNER, jwks=jwks))

    def start(self) -> None:
        super().start()
        self._ship_rights()
        self._start_gateway()

    def _ship_rights(self) -> None:
        """Instead of the stage's generous rights those of dev/manifests/rbac.yaml."""
        for manifest in yaml.safe_load_all((REPOSITORY / "dev" / "manifests" / "rbac.yaml").read_text()):
            namespace, name = manifest["metadata"].get("namespace"), manifest["metadata"]["name"]
            kind = manifest["kind"].lower() + "s"
            path = f"{_RBAC}/namespaces/{namespace}/{kind}" if namespace else f"{_RBAC}/{kind}"
            made = self.call("root", "POST", path, manifest)
            if made.status == 409 and kind == "clusterroles":
                self.must("PUT", f"{path}/{name}", manifest)
            else:
                assert made.status in (201, 409), made

    def _start_gateway(self) -> None:
        (self.folder / "gateway-token").write_text(self.caller_token("goldcrest-api"))
        argv = [sys.executable, "-m", "goldcrest_api.main"]
        self._spawn("gateway", argv, lambda: listens(self.gateway_port), self.gateway_settings(self.gateway_port))

    def gateway_settings(self, port: int, *, delegation: str = "", ca: Path | None = None) -> dict[str, str]:
        """Of the gateway that runs, or of another one with another delegation."""
        settings = {
            "GOLDCREST_API_IDENTITY_FILE": str(self.issuer.identity_file),
            "GOLDCREST_API_LISTEN__METRICS_PORT": "0",
            "GOLDCREST_API_KUBECONFIG": str(self.kubeconfig(GATEWAY)),
            "GOLDCREST_API_DELEGATION__URL": delegation or f"unix:{self.delegation_socket}",
            "GOLDCREST_API_DELEGATION__TOKEN_FILE": str(self.folder / "gateway-token"),
            "GOLDCREST_API_LISTEN__HOST": "127.0.0.1",
            "GOLDCREST_API_LISTEN__PORT": str(port),
        }
        return settings | ({"GOLDCREST_API_DELEGATION__CA_FILE": str(ca)} if ca else {})

    def rest(self, path: str, token: str) -> tuple[int, dict[str, Any]]:
        """What a REST client sees."""
        status, _, body = self.rest_with_headers(path, token)
        return status, body

    def rest_with_headers(self, path: str, token: str) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        """The same, with the headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway_port, timeout=20)
        with closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            return response.status, response.headers, json.loads(response.read() or b"{}")

    def may_use_jobs(self, user: str, namespace: str) -> None:
        """Bind the role that is shipped for people."""
        binding = {
            "metadata": {"name": f"{user}-user"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "goldcrest-user"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        answer = self.call("root", "POST", f"{_RBAC}/namespaces/{namespace}/rolebindings", binding)
        assert answer.status in (201, 409), answer

    # ---- What is left of an attack in the logs -------------------------------------------------------------------

    def events(self, process: str, event: str) -> list[dict[str, Any]]:
        """Lines of a process' log with this event."""
        lines = []
        for text in self.log(process).splitlines():
            if f'"{event}"' in text:
                line = json.loads(text)
                if line.get("event") == event:
                    lines.append(line)
        return lines

    def traced(self, process: str, event: str, trace_id: str) -> dict[str, Any]:
        """The line of this event in a trace; the last one of a request is written when its answer is out already."""
        end = time.monotonic() + 10
        while not (lines := [line for line in self.events(process, event) if line["trace_id"] == trace_id]):
            assert time.monotonic() < end, f"no {event} of {trace_id}"
            time.sleep(0.02)
        return lines[-1]

    def refused(self, answer: Answer, words: str) -> dict[str, Any]:
        """The last line of admission's log, which tells of this refusal; ``words`` are in both."""
        assert answer.status in (403, 422, 503), answer
        assert words in answer.message, answer.message
        line = self.events("admission", "admission.refused")[-1]
        assert words in line["reason"], line
        return line

    def audited(self, words: str, *, outcome: str = "refused") -> dict[str, Any]:
        """The last line of the audit log, which tells of this refusal."""
        line = self.audit()[-1]
        assert line["outcome"] == outcome, line
        assert words in line["reason"], line
        assert line["serial"] == ""
        return line

    def until(self, ask: Callable[[], Any], *, seconds: float = 30) -> Any:
        """What is answered once it is something."""
        end = time.monotonic() + seconds
        while not (found := ask()):
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.1)
        return found

    def job(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A Job as it is stored now."""
        return self.must("GET", path_of(raw))


def path_of(raw: dict[str, Any]) -> str:
    meta = raw["metadata"]
    return f"{API}/namespaces/{meta['namespace']}/jobs/{meta['name']}"


def remove(stage: Stage, raw: dict[str, Any]) -> None:
    """Delete a Job for good, as when its operator has cleaned up."""
    stage.must("PATCH", path_of(raw), {"metadata": {"finalizers": None}}, content_type=MERGE)
    stage.call("root", "DELETE", path_of(raw))
    end = time.monotonic() + 10
    while stage.call("root", "GET", path_of(raw)).status != 404:
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def running_attack_stage(folder: Path) -> Iterator[AttackStage]:
    """A stage that runs, and is taken down after."""
    stage = AttackStage(folder)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
