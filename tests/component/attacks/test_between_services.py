"""Between the services: somebody else in delegation's, admission's or OPA's place, certificates that are wrong, tokens that ended."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from component.admission.binaries import binary
from component.admission.certificates import Tls
from component.admission.stage import JOB, REPOSITORY, free_port, listens
from component.attacks.attack_stage import GATEWAY, OPERATOR, AttackStage
from component.attacks.test_tokens import certificate_body
from component.delegation.callers import TRACE, another_delegation
from goldcrest.authority import Authority
from goldcrest.errors import DelegationUnavailable
from goldcrest.renewal import LOOK_SECONDS
from goldcrest_bed.components.opa import server_arguments

pytestmark = pytest.mark.component


@contextmanager
def _connected(port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        yield connection


def program(process: str) -> list[str]:
    """How a process of Goldcrest is started."""
    start = f"import sys; from goldcrest_{process}.main import main; sys.exit(main())"
    return [sys.executable, "-c", start]


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with closing(connection):
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200


# ---- Somebody else in delegation's place --------------------------------------------------------------------------


class FalseServer:
    """Listens, shows a certificate or none, and keeps every byte that a caller then sends it."""

    def __init__(self, certificate: tuple[Path, Path] | None, answer: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            with self._context.wrap_socket(connection, server_side=True) if self._context else connection as caller:
                self.heard.append(caller.recv(65536))
                caller.sendall(self._answer)
        except OSError:  # the caller hung up in the handshake
            return


def wrong_certificate(stage: AttackStage, name: str) -> tuple[Path, Path] | None:
    folder = stage.folder / "false"
    folder.mkdir(exist_ok=True)
    match name:
        case "another-authority":
            return Tls(folder).server(name)
        case "another-name":
            return stage.tls.server(name, address="127.0.0.9", host="elsewhere.example")
        case "expired":
            return stage.tls.server(name, days=-1)
    return None


WRONG = ("another-authority", "another-name", "expired", "without-tls")


@pytest.fixture(params=WRONG)
def false_delegation(stage: AttackStage, request: pytest.FixtureRequest) -> Iterator[FalseServer]:
    server = FalseServer(wrong_certificate(stage, request.param))
    yield server
    server.close()


def said(server: FalseServer) -> str:
    """What reached it that is no TLS handshake."""
    return b"".join(data for data in server.heard if data[:1] != b"\x16").decode(errors="replace")


async def test_gateway_and_false_delegation(stage: AttackStage, false_delegation: FalseServer) -> None:
    """The gateway tells it nothing: neither its own token nor the caller's; the client is told that the system is not available."""
    port, name = free_port(), f"gateway-{Path(false_delegation.url).name[-5:]}"
    settings = stage.gateway_settings(port, delegation=false_delegation.url, ca=stage.tls.ca)
    token = stage.issuer.token("alice")
    stage._spawn(name, program("api"), lambda: _ready(port), settings)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"http://127.0.0.1:{port}/utilities/view?targetPath=/scratch/alice/x",
                headers={"Authorization": f"Bearer {token}", "X-Machine-Name": "cluster"},
            ) as response,
        ):
            status, headers, body = response.status, response.headers, await response.text()
    finally:
        stage.stop_process(name)
    assert status == 400, body
    assert "X-Machine-Not-Available" in headers
    assert false_delegation.connections
    assert said(false_delegation) == ""
    line = stage.events(name, "request")[-1]
    assert (line["code"], "delegation does not answer" in line["reason"]) == ("DelegationUnavailable", True)
    assert token not in stage.log(name)


async def test_operator_and_false_delegation(stage: AttackStage, false_delegation: FalseServer) -> None:
    """The operator tells it nothing either; the Job waits, and says for what."""
    name = f"operator-{Path(false_delegation.url).name[-5:]}"
    token_file = stage.folder / "operator-token"
    token_file.write_text(stage.caller_token("goldcrest-operator"))
    health, metrics = free_port(), free_port()
    settings = {
        "GOLDCREST_OPERATOR_KUBECONFIG": str(stage.kubeconfig(OPERATOR)),
        "GOLDCREST_OPERATOR_DELEGATION__URL": false_delegation.url,
        "GOLDCREST_OPERATOR_DELEGATION__CA_FILE": str(stage.tls.ca),
        "GOLDCREST_OPERATOR_DELEGATION__TOKEN_FILE": str(token_file),
        "GOLDCREST_OPERATOR_LISTEN_HOST": "127.0.0.1",
        "GOLDCREST_OPERATOR_HEALTH_PORT": str(health),
        "GOLDCREST_OPERATOR_METRICS_PORT": str(metrics),
        "GOLDCREST_OPERATOR_SHARD": name,
    }
    labelled = {**JOB, "metadata": {"generateName": "hello-", "labels": {"hpc.goldcrest.dev/shard": name}}}
    raw = stage.create_job("alice", labelled, namespace="team").body
    stage._spawn(name, program("operator"), lambda: listens(health), settings)
    try:
        ready = stage.until(
            lambda: next(
                (
                    condition
                    for condition in stage.job(raw).get("status", {}).get("conditions", [])
                    if condition["type"] == "Ready" and condition["reason"] == "DelegationUnavailable"
                ),
                None,
            )
        )
    finally:
        stage.stop_process(name)
    assert ready["status"] == "False"
    assert "delegation does not answer" in ready["message"]
    assert said(false_delegation) == ""
    assert "DelegationUnavailable" in stage.log(name)
    assert "jobId" not in stage.job(raw)["status"]


async def test_delegation_that_sends_elsewhere(stage: AttackStage) -> None:
    """A redirect is not followed, not even by a delegation that is the right one: nobody vouches for the other place."""
    elsewhere = FalseServer(None)
    target = elsewhere.url.replace("https", "http")
    answer = f"HTTP/1.1 307 Away\r\nLocation: {target}/\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    server = FalseServer(stage.tls.server("redirecting"), answer)
    token_file = stage.folder / "token-redirected"
    token_file.write_text("the-callers-token")
    client = Authority(url=server.url, ca_file=stage.tls.ca, token_file=token_file)
    try:
        with pytest.raises(DelegationUnavailable, match="status 307"):
            await client.grant(token="a-persons", kind="Job", namespace="n", name="n", spec={}, trace=TRACE)
    finally:
        await client.close()
        server.close()
        elsewhere.close()
    assert b"the-callers-token" in b"".join(server.heard), "the control: the right one is told"
    assert elsewhere.connections == 0


@pytest.mark.parametrize("process", ["api", "operator"])
def test_delegation_over_plain_http(stage: AttackStage, process: str, tmp_path: Path) -> None:
    """An address without TLS is refused at the start, with what it must begin with."""
    prefix = f"GOLDCREST_{process.upper()}"
    settings = {
        f"{prefix}_DELEGATION__URL": "http://127.0.0.1:1",
        f"{prefix}_DELEGATION__TOKEN_FILE": str(tmp_path / "token"),
        f"{prefix}_KUBECONFIG": str(stage.kubeconfig(GATEWAY)),
        **({f"{prefix}_IDENTITY_FILE": str(stage.issuer.identity_file)} if process == "api" else {}),
    }
    name = f"plain-{process}"
    try:
        with pytest.raises(AssertionError, match="must begin with https:// or unix:"):
            stage._spawn(name, program(process), lambda: False, settings)
    finally:
        stage.stop_process(name)


# ---- Admission ----------------------------------------------------------------------------------------------------


def test_false_admission(stage: AttackStage) -> None:
    """Whoever answers in admission's place without its certificate decides nothing: the API server lets no Job in."""
    (stage.folder / "other").mkdir(exist_ok=True)
    bundle = base64.b64encode(Tls(stage.folder / "other").ca.read_bytes()).decode()
    right = base64.b64encode(stage.tls.ca.read_bytes()).decode()
    base = "/apis/admissionregistration.k8s.io/v1"

    def trust(authority: str) -> None:
        for kind in ("mutating", "validating"):
            path = f"{base}/{kind}webhookconfigurations/goldcrest"
            patch = [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": authority}]
            answer = stage.call("root", "PATCH", path, patch, content_type="application/json-patch+json")
            assert answer.status == 200, answer

    def tried() -> Any:
        return stage.create_job("alice", JOB, namespace="team", dry_run=True)

    trust(bundle)
    try:
        answer = stage.until(lambda: (lambda a: a if a.status != 201 else None)(tried()))
    finally:
        trust(right)
        stage.until(lambda: tried().status == 201)
    assert answer.status == 500
    assert "failed calling webhook" in answer.message
    assert "certificate signed by unknown authority" in answer.message


def test_admission_for_the_api_server_only(stage: AttackStage) -> None:
    """With a client CA set, who shows no certificate of it, or one of another, is not even heard."""
    (stage.folder / "clients").mkdir(exist_ok=True)
    clients = Tls(stage.folder / "clients")
    port, name = free_port(), "admission-mutual"
    settings = stage._admission_settings()
    settings["GOLDCREST_ADMISSION_LISTEN_PORT"] = str(port)
    settings["GOLDCREST_ADMISSION_TLS_CLIENT_CA_FILE"] = str(clients.ca)
    stage._spawn(name, program("admission"), lambda: listens(port), settings)

    def status(certificate: tuple[Path, Path] | None) -> int:
        context = ssl.create_default_context(cafile=str(stage.tls.ca))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        with _connected(port, context) as connection:
            connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            answer = connection.recv(64)
            # With TLS 1.3 the client learns only then that its certificate was not taken.
            return int(answer.split()[1]) if answer else 0

    try:
        assert status(clients.server("apiserver-client")) == 200
        for wrong in (None, stage.tls.server("stranger")):
            try:
                assert status(wrong) == 0
            except OSError as error:
                assert isinstance(error, ssl.SSLError | ConnectionError)
    finally:
        stage.stop_process(name)


# ---- OPA over mutual TLS ------------------------------------------------------------------------------------------


@contextmanager
def opa_over_tls(stage: AttackStage) -> Iterator[tuple[str, Tls]]:
    """A real OPA that asks its callers for a certificate; gives its URL, and the authority of its callers."""
    folder = stage.folder / "opa-callers"
    folder.mkdir(exist_ok=True)
    callers, port = Tls(folder), free_port()
    crt, key = stage.tls.server("opa")
    argv = [
        str(binary("opa")),
        *server_arguments(
            address=f"https://127.0.0.1:{port}",
            policies=REPOSITORY / "policies",
            data=[stage.folder / "data.json"],
        ),
        *(f"--tls-cert-file={crt}", f"--tls-private-key-file={key}", f"--tls-ca-cert-file={callers.ca}"),
        "--authentication=tls",
    ]
    stage._spawn("opa-mutual", argv, lambda: listens(port), {})
    try:
        yield f"https://127.0.0.1:{port}", callers
    finally:
        stage.stop_process("opa-mutual")


async def _asked(stage: AttackStage, delegation: Path) -> dict[str, Any]:
    connector = aiohttp.UnixConnector(path=str(delegation))
    headers = {"Authorization": f"Bearer {stage.caller_token('goldcrest-api')}"}
    body = certificate_body(stage.issuer.token("alice"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://delegation/v1/certificates", json=body, headers=headers) as response,
    ):
        result: dict[str, Any] = (await response.json())["results"][0]
        return result


async def test_opa_over_mutual_tls(stage: AttackStage) -> None:
    """Delegation shows OPA its certificate and is answered; without one, with one of another authority, or to an OPA of
    another, nothing is signed."""
    with opa_over_tls(stage) as (url, callers):
        good, stranger = callers.server("delegation"), stage.tls.server("stranger")

        async def outcome(shown: tuple[Path, Path] | None, *, ca: Path = stage.tls.ca) -> dict[str, Any]:
            changes: dict[str, str | None] = {"OPA_URL": url, "OPA_CA_FILE": str(ca)}
            if shown is not None:
                changes |= {"OPA_CLIENT_CERT": str(shown[0]), "OPA_CLIENT_KEY": str(shown[1])}
            with another_delegation(stage, **changes) as delegation:
                return await _asked(stage, delegation)

        assert "certificate" in await outcome(good)
        for shown, ca in ((None, stage.tls.ca), (stranger, stage.tls.ca), (good, callers.ca)):
            error = (await outcome(shown, ca=ca))["error"]
            assert (error["code"], error["retryable"]) == ("PolicyUnavailable", True)
            assert stage.audited("OPA does not answer")["code"] == "PolicyUnavailable"


async def test_admission_asks_opa_over_mutual_tls(stage: AttackStage) -> None:
    """Admission the same: it is ready, and lets in, only with a certificate that OPA knows."""
    with opa_over_tls(stage) as (url, callers):
        stage.stop_process("admission")
        before = stage._admission_settings
        crt, key = callers.server("admission")
        more = {"GOLDCREST_ADMISSION_OPA_URL": url, "GOLDCREST_ADMISSION_OPA_CA_FILE": str(stage.tls.ca)}
        shown = {"GOLDCREST_ADMISSION_OPA_CLIENT_CERT": str(crt), "GOLDCREST_ADMISSION_OPA_CLIENT_KEY": str(key)}
        argv = program("admission")
        try:
            for settings, status in ((more, 503), ({**more, **shown}, 201)):
                stage._spawn("admission", argv, lambda: listens(stage.webhook_port), {**before(), **settings})
                answer = stage.create_job("alice", JOB, namespace="team")
                stage.stop_process("admission")
                assert answer.status == status, answer
                if status == 503:
                    stage.refused(answer, "OPA does not answer")
        finally:
            stage.start_admission()


def test_opas_own_api_over_mutual_tls(stage: AttackStage) -> None:
    """A stolen client certificate asks the two questions and nothing else: no policy, no data."""
    with opa_over_tls(stage) as (url, callers):
        context = ssl.create_default_context(cafile=str(stage.tls.ca))
        context.load_cert_chain(*callers.server("stolen"))
        port = int(url.rpartition(":")[2])

        def status(method: str, path: str, body: bytes = b"{}") -> int:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
            with closing(connection):
                connection.request(method, path, body, {"Content-Type": "application/json"})
                return connection.getresponse().status

        assert status("POST", "/v1/data/goldcrest/signing/decision") == 200
        for method, path in (
            ("PUT", "/v1/policies/evil"),
            ("PUT", "/v1/data/goldcrest/blocked"),
            ("GET", "/v1/data"),
            ("GET", "/v1/policies"),
        ):
            assert status(method, path) == 401, path


# ---- Renewal ------------------------------------------------------------------------------------------------------


def _shown(port: int, authority: Path) -> int:
    """Serial of the certificate that a server shows."""
    with _connected(port, ssl.create_default_context(cafile=str(authority))) as connection:
        data = connection.getpeercert(binary_form=True)
    assert data is not None
    return x509.load_der_x509_certificate(data).serial_number


def test_certificates_are_renewed(stage: AttackStage) -> None:
    """cert-manager replaces the files of running services: each shows the new certificate soon, without a restart."""
    delegation, gateway = free_port(), free_port()
    places = {"delegation": delegation, "gateway": gateway, "admission": stage.webhook_port}
    with ExitStack() as running:
        crt, key = stage.tls.server("delegation")
        settings = stage._delegation_settings()
        del settings["GOLDCREST_DELEGATION_LISTEN_SOCKET"]
        settings |= {
            "GOLDCREST_DELEGATION_LISTEN_PORT": str(delegation),
            "GOLDCREST_DELEGATION_TLS_CERT": str(crt),
            "GOLDCREST_DELEGATION_TLS_KEY": str(key),
        }
        stage._spawn("delegation-renewed", program("delegation"), lambda: listens(delegation), settings)
        running.callback(stage.stop_process, "delegation-renewed")
        crt, key = stage.tls.server("gateway")
        settings = stage.gateway_settings(gateway) | {
            "GOLDCREST_API_LISTEN__TLS_CERTIFICATE_FILE": str(crt),
            "GOLDCREST_API_LISTEN__TLS_KEY_FILE": str(key),
        }
        argv = program("api")
        stage._spawn("gateway-renewed", argv, lambda: listens(gateway), settings)
        running.callback(stage.stop_process, "gateway-renewed")
        before = {name: _shown(port, stage.tls.ca) for name, port in places.items()}
        renewed = {
            name: x509.load_pem_x509_certificate(stage.tls.server(name)[0].read_bytes()).serial_number
            for name in places
        }
        assert not set(before.values()) & set(renewed.values())
        for name, port in places.items():
            stage.until(lambda n=name, p=port: _shown(p, stage.tls.ca) == renewed[n], seconds=LOOK_SECONDS + 20)
    assert stage.create_job("alice", JOB, namespace="team").status == 201
    for log in ("delegation-renewed", "gateway-renewed", "admission"):
        assert stage.events(log, "tls.files.renewed")


# ---- Tokens of callers --------------------------------------------------------------------------------------------


@pytest.fixture
def place(stage: AttackStage) -> Iterator[tuple[str, Path]]:
    """A Goldcrest of its own, in whose namespace accounts can be deleted; gives namespace and delegation's socket."""
    namespace = stage.namespace(f"place-{os.urandom(4).hex()}")
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    stage.must("POST", path, {"metadata": {"name": "goldcrest-api"}})
    with another_delegation(stage, NAMESPACE=namespace) as delegation:
        yield namespace, delegation


def _token(stage: AttackStage, namespace: str, **more: Any) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["goldcrest-delegation"], **more},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/goldcrest-api/token"
    return str(stage.must("POST", path, body)["status"]["token"])


async def _served(delegation: Path, token: str) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(path=str(delegation))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://delegation/v1/certificates", json={"requests": []}, headers=headers) as response,
    ):
        return response.status, await response.text()


def _logged(stage: AttackStage, delegation: Path) -> dict[str, Any]:
    line = stage.events(delegation.stem, "delegation.caller.refused")[-1]
    assert (line["code"], line["path"]) == ("Unauthenticated", "/v1/certificates")
    return line


async def test_token_of_a_deleted_account(stage: AttackStage, place: tuple[str, Path]) -> None:
    """Tokens end with their account; an account made again under the name does not bring them back."""
    namespace, delegation = place
    tokens = [_token(stage, namespace) for _ in range(3)]
    assert (await _served(delegation, tokens[0]))[0] == 200
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    stage.must("DELETE", f"{path}/goldcrest-api")
    assert (await _served(delegation, tokens[1]))[0] == 401
    assert "not valid for the audience" in _logged(stage, delegation)["message"]
    stage.must("POST", path, {"metadata": {"name": "goldcrest-api"}})
    assert (await _served(delegation, tokens[2]))[0] == 401
    assert (await _served(delegation, _token(stage, namespace)))[0] == 200


async def test_token_of_a_deleted_pod(stage: AttackStage, place: tuple[str, Path]) -> None:
    """A projected token is bound to its pod, and ends with it."""
    namespace, delegation = place
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = {
        "metadata": {"name": "gateway"},
        "spec": {
            "serviceAccountName": "goldcrest-api",
            "automountServiceAccountToken": False,
            "containers": [{"name": "gateway", "image": "goldcrest"}],
        },
    }
    made = stage.must("POST", path, pod)
    bound = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "gateway", "uid": made["metadata"]["uid"]}}
    tokens = [_token(stage, namespace, **bound) for _ in range(2)]
    assert (await _served(delegation, tokens[0]))[0] == 200
    stage.must("DELETE", f"{path}/gateway?gracePeriodSeconds=0")
    assert (await _served(delegation, tokens[1]))[0] == 401
    _logged(stage, delegation)


async def test_expired_token_of_a_caller(stage: AttackStage, place: tuple[str, Path]) -> None:
    """Signed by the API server's own key and right in all but its time."""
    namespace, delegation = place
    good = _token(stage, namespace)
    claims, header = jwt.decode(good, options={"verify_signature": False}), jwt.get_unverified_header(good)
    key = load_pem_private_key((stage.folder / "apiserver.key").read_bytes(), None)

    def made(**changes: int) -> str:
        return jwt.encode({**claims, **changes}, key, algorithm=header["alg"], headers={"kid": header["kid"]})

    now = int(time.time())
    assert (await _served(delegation, made(exp=now + 60)))[0] == 200
    assert (await _served(delegation, made(iat=now - 700, nbf=now - 700, exp=now - 100)))[0] == 401
    _logged(stage, delegation)
    assert (await _served(delegation, made(nbf=now + 600)))[0] == 401
