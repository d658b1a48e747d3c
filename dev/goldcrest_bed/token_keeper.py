"""A process that renews service account tokens: ``python -m goldcrest_bed.token_keeper JOB.json``.

Tokens are asked for by TokenRequest (``kubectl create token``), renewed at half of their life, and replaced by rename,
so that a reader never sees half a token.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goldcrest_bed.command import output
from goldcrest_bed.errors import BedError
from goldcrest_bed.kubeconfig import write_private

LIFE = "3600s"
LOOK_EVERY = 5.0  # seconds


@dataclass(frozen=True)
class Wanted:
    """One token file."""

    account: str
    audience: str
    path: str


@dataclass(frozen=True)
class Job:
    """What the process is told."""

    kubectl: str
    kubeconfig: str
    namespace: str
    tokens: list[Wanted]

    def as_json(self) -> dict[str, Any]:
        """For :meth:`load`."""
        return asdict(self)

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read the job file."""
        raw = json.loads(path.read_text())
        return cls(**(raw | {"tokens": [Wanted(**entry) for entry in raw["tokens"]]}))


def claims(path: Path) -> dict[str, Any]:
    """The unverified claims of the token in a file; empty if there is no token."""
    try:
        body = path.read_text().split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (OSError, ValueError, IndexError):
        return {}
    return found


def expires(path: Path) -> float:
    """When the token in a file expires, in seconds since the epoch; 0 if there is none."""
    return float(claims(path).get("exp", 0))


def due(path: Path, now: float) -> bool:
    """Whether half of the token's life is over (or there is no token)."""
    found = claims(path)
    return now >= (float(found.get("iat", 0)) + float(found.get("exp", 0))) / 2


def renew(job: Job, wanted: Wanted) -> None:
    """Ask for one token and put it in place."""
    audience = ["--audience", wanted.audience] if wanted.audience else []
    kubectl = [job.kubectl, "--kubeconfig", job.kubeconfig, "--namespace", job.namespace]
    token = output([*kubectl, "create", "token", wanted.account, *audience, "--duration", LIFE])
    Path(wanted.path).parent.mkdir(parents=True, exist_ok=True)
    write_private(Path(wanted.path), token.strip())
    _say(f"renewed {wanted.account} audience={wanted.audience or 'kube-apiserver'}")


def _say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


def main() -> None:
    """All anew at the start (the accounts may have been made anew since), then each when it is due."""
    job = Job.load(Path(sys.argv[1]))
    fresh: set[Wanted] = set()
    while True:
        for wanted in job.tokens:
            if wanted not in fresh or due(Path(wanted.path), time.time()):
                try:
                    renew(job, wanted)
                    fresh.add(wanted)
                except BedError as error:
                    _say(f"{wanted.account}: {error}")
        time.sleep(LOOK_EVERY)


if __name__ == "__main__":
    main()
