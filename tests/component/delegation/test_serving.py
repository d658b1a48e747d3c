from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request

import pytest

from component.admission.stage import Stage, free_port, socket_listens
from component.delegation.callers import TRACE, another_delegation
from goldcrest.authority import Authority, ByToken
from goldcrest.commands import WhoAmI
from goldcrest.errors import DelegationUnavailable

pytestmark = pytest.mark.component


async def only(stage: Stage, client: Authority, *, not_for: Authority) -> None:
    """The one is given a certificate, the other is not; both are closed."""
    ask = {"public_key": bytes(32), "system": "cluster", "user": "alice", "sid": "0" * 32, "trace": TRACE}
    basis = ByToken(stage.issuer.token("alice"))
    try:
        assert await client.command_certificate(WhoAmI(), basis=basis, **ask)
        with pytest.raises(DelegationUnavailable):
            await not_for.command_certificate(WhoAmI(), basis=basis, **ask)
    finally:
        await client.close()
        await not_for.close()


async def test_over_tls(stage: Stage) -> None:
    """Where delegation is not beside its caller it speaks TLS, and callers verify it."""
    token_file = stage.folder / "token-tls"
    token_file.write_text(stage.caller_token("goldcrest-api"))
    with stage.delegation_over_tls() as url:
        client = Authority(url=url, ca_file=stage.tls.ca, token_file=token_file)
        stranger = Authority(url=url, ca_file=None, token_file=token_file)
        await only(stage, client, not_for=stranger)


async def test_a_socket_beside_the_port(stage: Stage) -> None:
    """In one pod with the gateway it listens on a socket as well, which asks for the same tokens, and ends with the process."""
    token_file = stage.folder / "token-beside"
    token_file.write_text(stage.caller_token("goldcrest-api"))
    nobody = stage.folder / "token-nobody"
    nobody.write_text("none")
    port = free_port()
    certificate, key = stage.tls.server("delegation")
    settings = {"LISTEN_PORT": str(port), "TLS_CERT": str(certificate), "TLS_KEY": str(key)}
    with another_delegation(stage, **settings) as socket:
        listens = (
            {"url": f"https://127.0.0.1:{port}", "ca_file": stage.tls.ca},
            {"url": f"unix:{socket}", "ca_file": None},
        )
        for listener in listens:
            client = Authority(**listener, token_file=token_file)
            stranger = Authority(**listener, token_file=nobody)
            await only(stage, client, not_for=stranger)
        assert f'"listen":"127.0.0.1:{port} {socket}"' in stage.log(socket.stem).replace(": ", ":")
    assert not socket_listens(socket)


def test_a_socket_that_cannot_be_made(stage: Stage) -> None:
    """One sentence that names it, and no process that serves half."""
    settings = {**os.environ, **stage._delegation_settings()}
    settings["GOLDCREST_DELEGATION_LISTEN_SOCKET"] = str(stage.folder / "no-such-folder" / "socket")
    argv = [sys.executable, "-m", "goldcrest_delegation.main"]
    done = subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("No such file or directory")
    assert "cannot listen on the socket" in done.stderr
    assert "Traceback" not in done.stderr


def test_open_to_all(stage: Stage) -> None:
    """Public grant keys and health are there for everybody, without a token."""
    context = ssl.create_default_context(cafile=str(stage.tls.ca))
    with stage.delegation_over_tls() as url:
        with urllib.request.urlopen(f"{url}/v1/jwks", context=context, timeout=10) as response:
            assert [key["crv"] for key in json.load(response)["keys"]] == ["Ed25519"]
        for path in ("/livez", "/readyz"):
            with urllib.request.urlopen(url + path, context=context, timeout=10) as response:
                assert response.status == 200


def test_secrets_stay_out_of_the_logs(stage: Stage) -> None:
    """After all the tests before, no private key, no caller's token and no grant is in what delegation wrote."""
    left_behind = stage.log("delegation") + stage.log("admission") + stage.audit_file.read_text()
    assert "PRIVATE KEY" not in left_behind
    assert "eyJ" not in left_behind
