"""Write crds/*.yaml from the models: `python crds/generate.py`, or with --check: fail when they are out of date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from goldcrest.models.crd import definitions

FOLDER = Path(__file__).parent
HEADER = "# Generated from core/goldcrest/models by `make crds`. Do not edit.\n"


def render(definition: dict[str, object]) -> str:
    """One definition as YAML."""
    return HEADER + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    check = parser.parse_args().check
    stale = []
    for name, definition in definitions().items():
        path, text = FOLDER / name, render(definition)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text)
    for name in stale:
        print(f"{name}: {'out of date; run `make crds`' if check else 'written'}")  # noqa: T201 - a command's output
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
