"""The cluster, as kubectl reaches it: so every kind of login, proxy and context that kubectl knows works here too."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any, Final

from goldcrest.wellknown import GROUP, Kind
from goldcrest_kubectl.failure import Failure

JOBS: Final = f"{Kind.JOB.plural}.{GROUP}"
SYSTEMS: Final = f"{Kind.SYSTEM.plural}.{GROUP}"

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # RFC 1123 subdomain
_SERVER_SAYS: Final = re.compile(r"^(error: |Error from server( \(\w+\))?: )", re.MULTILINE)


def check_name(name: str) -> str:
    """
    Raises:
        Failure: no object can have this name.
    """
    if not _NAME.fullmatch(name):
        raise Failure(
            f"{name!r:.80} is no name of a gjob: it has lower-case letters, digits, hyphens and dots; `kubectl hpc ls` lists yours"
        )
    return name


class Cluster:
    """kubectl with the options that the user gave.

    Args:
        options: of kubectl, e.g. ``["--context=x"]``.
        namespace: as the user gave it; None for the context's.
    """

    def __init__(self, options: Sequence[str], *, namespace: str | None) -> None:
        self._program = os.environ.get("KUBECTL") or "kubectl"
        self._options = list(options)
        self._namespace = namespace

    def job(self, name: str) -> dict[str, Any]:
        """One Job."""
        return self._object("get", JOBS, check_name(name), "--output=json")

    def jobs(self, *, everywhere: bool, selector: str | None) -> list[dict[str, Any]]:
        """All Jobs of the namespace, or of all namespaces."""
        wanted = [f"--selector={selector}"] if selector else []
        if everywhere:
            wanted.append("--all-namespaces")
        items = self._object("get", JOBS, "--output=json", *wanted)["items"]
        return list(items)

    def system(self, name: str) -> dict[str, Any]:
        return self._object("get", SYSTEMS, name, "--output=json")

    def create(self, resource: dict[str, Any]) -> dict[str, Any]:
        return self._object("create", "--filename=-", "--output=json", "--validate=strict", document=resource)

    def patch(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        arguments = ("--type=merge", f"--patch={json.dumps(patch)}", "--output=json")
        return self._object("patch", JOBS, check_name(name), *arguments)

    def token(self, account: str, *, namespace: str, audience: str) -> str:
        """A token of a service account for another service (TokenRequest); valid for ten minutes."""
        arguments = (f"--namespace={check_name(namespace)}", f"--audience={audience}", "--duration=10m")
        return self._run("create", "token", check_name(account), *arguments).strip()

    def wait(self, name: str, *, condition: str, seconds: int) -> None:
        self._run("wait", JOBS, check_name(name), f"--for=condition={condition}", f"--timeout={seconds}s")

    def _object(self, *arguments: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        text = self._run(*arguments, document=document)
        try:
            value = json.loads(text)
        except ValueError as error:
            raise Failure(f"{self._program} answered something that is no JSON") from error
        return dict(value)

    def _run(self, *arguments: str, document: dict[str, Any] | None = None) -> str:
        own = [] if any(a.startswith(("--namespace=", "--all-namespaces")) for a in arguments) else self._in_namespace()
        try:
            done = subprocess.run(  # noqa: S603  an argument list, each of ours or checked
                [self._program, *self._options, *own, *arguments],
                input=json.dumps(document) if document is not None else None,
                stdin=None if document is not None else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise Failure(
                f"{self._program} is not there: put kubectl on the PATH, or name it in the variable KUBECTL"
            ) from error
        if done.returncode != 0:
            raise Failure(_SERVER_SAYS.sub("", done.stderr.strip()) or f"{self._program} ended with {done.returncode}")
        return done.stdout

    def _in_namespace(self) -> list[str]:
        return [f"--namespace={self._namespace}"] if self._namespace else []
