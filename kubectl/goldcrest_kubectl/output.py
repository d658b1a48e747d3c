"""``kubectl hpc logs``: a job's output, from the gateway, for the API server does not reach into HPC systems."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from goldcrest.wellknown import ANNOTATION_GATEWAY, task_id_of
from goldcrest_kubectl.cluster import Cluster
from goldcrest_kubectl.failure import Failure

_SECONDS: Final = 300.0  # without a byte; a job may be silent for long: then it is asked for again
_PAUSE, _LONGEST_PAUSE = 1.0, 8.0
_LASTED: Final = 20.0  # seconds; what went on for so long was no failure to begin with
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_BUSY: Final = (429, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """How it is reached.

    Args:
        url: https, or http on this machine.
        ca_file: certificates that it is verified against; None for those of the machine.
        token: gives a token; called for each request, for tokens are short-lived.
    """

    url: str
    ca_file: str | None
    token: Callable[[], str]


def gateway_for(
    cluster: Cluster,
    job: dict[str, Any],
    *,
    url: str | None,
    ca_file: str | None,
    token_file: str | None,
    service_account: str | None,
    audience: str,
) -> Gateway:
    """What is configured: by options, by the environment, by the job's System.

    Raises:
        Failure: with what is missing, and how to give it.
    """
    if url is None:
        system = cluster.system(job["spec"]["system"])
        url = (system["metadata"].get("annotations") or {}).get(ANNOTATION_GATEWAY)
    if not url:
        raise Failure(
            "no address of the gateway is known, and output does not go through Kubernetes: give --gateway, set GOLDCREST_GATEWAY, "
            f"or ask your administrator for the annotation {ANNOTATION_GATEWAY} of the gsys {job['spec']['system']}"
        )
    parts = urlsplit(url)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise Failure(f"the gateway's address {url!r:.200} must begin with https://: a token is sent there")
    if token_file:
        return Gateway(url=url, ca_file=ca_file, token=lambda: _from_file(token_file))
    if os.environ.get("GOLDCREST_TOKEN"):
        return Gateway(url=url, ca_file=ca_file, token=lambda: os.environ["GOLDCREST_TOKEN"])
    if service_account:
        namespace, _, account = service_account.rpartition("/")
        namespace = namespace or job["metadata"]["namespace"]
        return Gateway(
            url=url, ca_file=ca_file, token=lambda: cluster.token(account, namespace=namespace, audience=audience)
        )
    raise Failure(
        "no token for the gateway is known, and your kubeconfig's is for the API server only: give --token-file (an access token of your "
        "identity provider) or --service-account (a service account that the gateway knows as you); docs/kubernetes.md says how"
    )


def task_id(job: dict[str, Any]) -> str:
    """Under which the gateway knows the Job."""
    meta = job["metadata"]
    return task_id_of(meta["name"], meta["uid"], via=(job["spec"].get("requestedBy") or {}).get("via"))


def copy_output(
    gateway: Gateway, task: str, *, stream: str, offset: int, follow: bool, write: Callable[[bytes], None]
) -> None:
    """Write what there is, or what comes until the job has ended. Who was cut off while following goes on behind what came.

    Raises:
        Failure: the gateway says no, or does not answer.
    """
    pause = _PAUSE
    while True:
        began = time.monotonic()
        try:
            for piece in _pieces(gateway, task, stream=stream, offset=offset, follow=follow):
                write(piece)
                offset += len(piece)
            return
        except ssl.SSLCertVerificationError as error:
            raise Failure(f"the gateway's certificate is not accepted: {error.verify_message}") from error
        except BrokenPipeError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = f"{gateway.url} does not answer: {error or type(error).__name__}"
        except _Busy as error:
            reason = str(error)
        if not follow:
            raise Failure(reason)
        if time.monotonic() - began > _LASTED:  # a silent job, and a proxy that ends silent connections
            pause = _PAUSE
        elif pause > _LONGEST_PAUSE:
            raise Failure(f"{reason}; --offset={offset} goes on where this ended")
        time.sleep(pause)
        pause *= 2


class _Busy(Exception):
    """The gateway cannot now."""


def _pieces(gateway: Gateway, task: str, *, stream: str, offset: int, follow: bool) -> Iterator[bytes]:
    """What one answer after the other holds: each has its bound."""
    while True:
        size, begin = None, offset
        with closing(_connection(gateway)) as connection:
            response = _answer(connection, gateway, task, stream=stream, offset=offset, follow=follow)
            size = response.headers.get("X-Output-Size")
            while piece := response.read1(65_536):
                offset += len(piece)
                yield piece
        if size is None or offset >= int(size) or offset == begin:
            return


def _answer(
    connection: http.client.HTTPConnection, gateway: Gateway, task: str, *, stream: str, offset: int, follow: bool
) -> http.client.HTTPResponse:
    query = urlencode({"stream": stream, "offset": offset, "follow": str(follow).lower()})
    path = urlsplit(gateway.url).path.rstrip("/")
    headers = {"Authorization": f"Bearer {gateway.token()}", "User-Agent": "kubectl-hpc"}
    connection.request("GET", f"{path}/compute/jobs/{task}/output?{query}", headers=headers)
    response = connection.getresponse()
    if response.status != 200:
        raise _refusal(response)
    return response


def _connection(gateway: Gateway) -> http.client.HTTPConnection:
    parts = urlsplit(gateway.url)
    host, port = str(parts.hostname), parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_SECONDS)
    try:
        context = ssl.create_default_context(cafile=gateway.ca_file)
    except OSError as error:
        raise Failure(f"the certificates in {gateway.ca_file} cannot be read: {error}") from error
    return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)


def _refusal(response: http.client.HTTPResponse) -> Exception:
    body = response.read(65_536)
    try:
        told = json.loads(body)
        words = str(told.get("error") or told.get("description"))
    except (ValueError, AttributeError):
        words = f"status {response.status}"
    if response.status == 401:
        challenge = response.headers.get("WWW-Authenticate", "")
        return Failure(f"the gateway does not accept the token: {words}{f' ({challenge})' if challenge else ''}")
    if response.status == 403:
        return Failure(f"{words} The token speaks for another user than the one that the job runs as.")
    return _Busy(words) if response.status in _BUSY else Failure(words)


def _from_file(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise Failure(f"the token cannot be read: {error}") from error


def to_standard_output(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
