"""What a requester is told beside a yes (``warnings`` of AdmissionReview): risks that one would rather know now than later.

Pure. Names only, never values: a warning is printed by kubectl and kept in the logs of pipelines. Kubernetes asks for at most 120
characters each and cuts all of them off at 4096 together (API reference, AdmissionResponse.warnings).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from goldcrest.models.job import JobSpec
from goldcrest.models.task import TaskSpec
from goldcrest.policy.question import script_content
from goldcrest.sbatch.effective import effective, overrides
from goldcrest.wellknown import Kind

WARNING_LIMIT: Final = 120  # characters of one
WARNINGS_LIMIT: Final = 16  # of one answer
SOON_SECONDS: Final = 60  # a finished Job that is gone before that is seen by few

_SECRET: Final = re.compile(
    r"(TOKEN|PASSWORDS?|PASSWD|SECRETS?|CREDENTIALS?|(ACCESS|API|PRIVATE)KEY|(^|_)KEYS?|(^|_)TOKENS)(_|$)",
    re.IGNORECASE,
)
_A_FILE: Final = re.compile(r"_(FILE|PATH|DIR)$", re.IGNORECASE)
_NAME_SHOWN: Final = 32  # characters of a name that are shown, so that the sentence stays within the limit
# Options whose text means something to a plugin or on the node only.
_OPAQUE: Final = ("bb", "container", "network")
_LOST: Final = {Kind.JOB: "its state and exit code", Kind.TASK: "its result"}
_SBATCH_REFUSES: Final = "sbatch refuses it"


def advice_on_creation(spec: JobSpec, config_map: bytes | None = None) -> tuple[str, ...]:
    """Warnings for a new Job that is otherwise fine.

    Args:
        config_map: what the ConfigMap holds that the spec names as its script.
    """
    content = script_content(spec, config_map)
    found = [*_on_secrets(spec), *_on_script(spec, content), *_on_options(spec, content)]
    return _bounded([*found, *_on_the_end(spec.dump(), Kind.JOB)])


def advice_on_task(spec: TaskSpec) -> tuple[str, ...]:
    """Warnings for a new Task that is otherwise fine."""
    return _bounded(list(_on_the_end(spec.dump(), Kind.TASK)))


def advice_on_change(kind: Kind, old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """Warnings for what a change of the spec brings."""
    return _bounded(list(_on_the_end({name: value for name, value in new.items() if old.get(name) != value}, kind)))


def _on_secrets(spec: JobSpec) -> Iterator[str]:
    names = [name for name in sorted(spec.environment) if _SECRET.search(name) and not _A_FILE.search(name)]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"spec.environment: {_short(names[0])}{more}: all who read this gjob read that; better in a file"


def _on_script(spec: JobSpec, content: bytes | None) -> Iterator[str]:
    if content is None:
        yield "spec.script.path: #SBATCH lines in the file are refused on the system unless the spec says the same"
        return
    if not content.startswith(b"#!"):
        yield f"spec.script: the first line is not #! and an interpreter, such as #!/bin/bash: {_SBATCH_REFUSES}"
    if b"\r\n" in content:
        yield f"spec.script: lines end with CR LF, as on DOS: {_SBATCH_REFUSES}; convert it with dos2unix"
    if b"\0" in content:
        yield f"spec.script: there is a NUL byte in it: {_SBATCH_REFUSES}"
    yield from (override.sentence for override in overrides(spec, content))


def _on_options(spec: JobSpec, content: bytes | None) -> Iterator[str]:
    asked = effective(spec, content).options.values()
    for name in _OPAQUE:
        if name in asked:
            yield f"option {name}: policy sees its text only; what it leads to is decided on the system, which may refuse it"


def _on_the_end(fields: dict[str, Any], kind: Kind) -> Iterator[str]:
    if fields.get("deletionPolicy") == "Orphan":
        yield "spec.deletionPolicy: Orphan: when this gjob is deleted, its job runs on, and nobody follows or cancels it"
    seconds = fields.get("ttlSecondsAfterFinished")
    if isinstance(seconds, int) and seconds < SOON_SECONDS:
        yield f"spec.ttlSecondsAfterFinished: {seconds} s after the end this {kind.short} is gone, with {_LOST[kind]}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME_SHOWN else name[: _NAME_SHOWN - 1] + "…"


def _bounded(warnings: list[str]) -> tuple[str, ...]:
    kept = warnings[: WARNINGS_LIMIT - 1] if len(warnings) > WARNINGS_LIMIT else warnings
    if len(kept) < len(warnings):
        kept = [*kept, f"and {len(warnings) - len(kept)} more warnings"]
    return tuple(text if len(text) <= WARNING_LIMIT else text[: WARNING_LIMIT - 1] + "…" for text in kept)
