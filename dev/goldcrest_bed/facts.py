"""``facts.json``: where everything is. Tests read it; ``bed.py env`` prints it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from goldcrest_bed.component import Component
from goldcrest_bed.context import Bed
from goldcrest_bed.errors import BedError
from goldcrest_bed.kubeconfig import write_private
from goldcrest_bed.paths import Paths


def collect(bed: Bed, components: dict[str, Component]) -> dict[str, Any]:
    """Every component's part, and the folders."""
    facts: dict[str, Any] = {
        "state": str(bed.paths.state),
        "cache": str(bed.paths.cache),
        "logs": str(bed.paths.logs),
        "pki": str(bed.paths.keys),
    }
    for component in components.values():
        facts |= component.facts()
    return facts


def write(paths: Paths, facts: dict[str, Any]) -> None:
    """Replace the file atomically; it holds client secrets, so it is the owner's alone."""
    write_private(paths.facts, json.dumps(facts, indent=1) + "\n")


def read(paths: Paths | None = None) -> dict[str, Any]:
    """The facts of the bed that was brought up last.

    :raises BedError: there is none.
    """
    paths = paths or Paths.from_environment()
    try:
        facts: dict[str, Any] = json.loads(paths.facts.read_text())
    except OSError:
        raise BedError("the bed is not up: run `make bed-up`") from None
    return facts


def rendered(facts: dict[str, Any], key: str | None) -> str:
    """All facts, or the one with a dotted key: text as it is, else JSON.

    :raises BedError: no such key.
    """
    found: Any = facts
    for part in key.split(".") if key else []:
        if not isinstance(found, dict) or part not in found:
            raise BedError(f"no fact {key}" + (f"; known here: {', '.join(found)}" if isinstance(found, dict) else ""))
        found = found[part]
    return found if isinstance(found, str) else json.dumps(found, indent=1)


def environment(facts: dict[str, Any]) -> dict[str, str]:
    """This process's environment with the bed's programs on the PATH and the names that clients look for."""
    programs = {str(Path(facts["kubectl"]).parent), str(Path(facts["opa"]["binary"]).parent)}
    return os.environ | {
        "PATH": ":".join([*sorted(programs), os.environ.get("PATH", "/usr/bin:/bin")]),
        "KUBECONFIG": facts["kubernetes"]["admin"],
        "GOLDCREST_BED_FACTS": str(Path(facts["state"]) / "facts.json"),
        "AWS_ENDPOINT_URL": facts["s3"]["endpoint"],
        "AWS_REGION": facts["s3"]["region"],
        "AWS_ACCESS_KEY_ID": facts["s3"]["access_key"],
        "AWS_SECRET_ACCESS_KEY": facts["s3"]["secret_key"],
    }
