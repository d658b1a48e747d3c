"""Delegation as its callers see it: through the real client, and with bare HTTP where the client is too polite."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from component.admission.stage import Stage, socket_listens
from goldcrest.authority import Authority, ByResource
from goldcrest.wellknown import namespace_of_user, rest_name

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SID = "00112233445566778899aabbccddeeff"
PUBLIC_KEY = bytes(range(32))


@asynccontextmanager
async def authority(
    stage: Stage, account: str, *, holder: str = "", socket: Path | None = None
) -> AsyncIterator[Authority]:
    """The client, as a service account; of another replica by its socket."""
    token_file = stage.folder / f"token-{account}"
    if not token_file.exists():
        token_file.write_text(stage.caller_token(account))
    url = f"unix:{socket or stage.delegation_socket}"
    client = Authority(url=url, ca_file=None, token_file=token_file, holder=holder)
    try:
        yield client
    finally:
        await client.close()


async def post(stage: Stage, path: str, body: object, *, token: str) -> tuple[int, dict[str, Any]]:
    """A bare request with a caller's token."""
    connector = aiohttp.UnixConnector(path=str(stage.delegation_socket))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"http://delegation{path}", data=data, headers=headers) as response,
    ):
        return response.status, await response.json()


def shown(certificate: bytes, folder: Path) -> dict[str, Any]:
    """What ``ssh-keygen -L`` says about a certificate."""
    path = folder / "shown-cert.pub"
    path.write_text("ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(certificate).decode() + "\n")
    output = subprocess.run(
        ["ssh-keygen", "-L", "-f", str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "TZ": "UTC"},
    ).stdout
    lines = [line.strip() for line in output.splitlines()]
    facts: dict[str, Any] = {"text": output}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key, value.strip())
    facts["principals"] = lines[lines.index("Principals:") + 1]
    return facts


def signed_command(facts: dict[str, Any]) -> dict[str, Any]:
    """The command in the force-command that ``ssh-keygen -L`` shows."""
    line = next(line for line in facts["text"].splitlines() if "force-command" in line)
    encoded = line.split(" v1.")[1].strip()
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return decoded


def of(resource: dict[str, Any]) -> ByResource:
    """The basis that a resource is."""
    meta = resource["metadata"]
    return ByResource(resource["kind"], meta.get("namespace", ""), meta["name"], meta["uid"])


async def rest_job(stage: Stage, task_id: str, *, user: str = "alice") -> dict[str, Any]:
    """A Job as the gateway makes it: grant, then create."""
    namespace, name = stage.namespace(namespace_of_user(user)), rest_name(task_id)
    spec = {"system": "cluster", "runAs": user, "script": {"inline": "#!/bin/bash\nhostname\n"}}
    async with authority(stage, "goldcrest-api") as gateway:
        grant = await gateway.grant(
            token=stage.issuer.token(user), kind="Job", namespace=namespace, name=name, spec=spec, trace=TRACE
        )
    body = {
        "apiVersion": "hpc.goldcrest.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": {"hpc.goldcrest.dev/grant": grant}},
        "spec": spec,
    }
    answer = stage.create_job("system:serviceaccount:goldcrest:goldcrest-api", body, namespace=namespace)
    assert answer.status == 201, answer
    return answer.body


@contextmanager
def another_delegation(stage: Stage, **changes: str | None) -> Iterator[Path]:
    """A second replica with other settings (upper case, without prefix; None takes one out); gives its socket, whose
    stem names its log."""
    path = stage.folder / f"delegation-{secrets.token_hex(4)}.sock"
    name = path.stem
    settings = stage._delegation_settings()
    for key, value in {**changes, "LISTEN_SOCKET": str(path)}.items():
        settings.pop(f"GOLDCREST_DELEGATION_{key}", None)
        if value is not None:
            settings[f"GOLDCREST_DELEGATION_{key}"] = value
    stage._spawn(name, [sys.executable, "-m", "goldcrest_delegation.main"], lambda: socket_listens(path), settings)
    try:
        yield path
    finally:
        stage.stop_process(name)
