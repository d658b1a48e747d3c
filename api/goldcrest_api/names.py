"""Names made of what clients sent: of a script's file, and of a resource for an idempotency key."""

from __future__ import annotations

import re
import secrets
import unicodedata

from goldcrest.authorised import DEFAULT_SCRIPT_NAME
from goldcrest.canonical import canonical, sha256_hex

_SCRIPT_NAME_LIMIT = 128  # characters, models.job.Script.name


def secured_file_name(name: str) -> str:
    """A file name without anything special, as werkzeug's ``secure_filename`` makes it; may be empty.

    ASCII letters, digits, ``_``, ``.`` and ``-`` stay, blanks and slashes become ``_``, the rest goes.
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = ascii_name.replace("/", " ").split()
    return re.sub(r"[^A-Za-z0-9_.-]", "", "_".join(words)).strip("._")


def script_name(name: str) -> str:
    """The secured name, reduced to what a Job's script may be called: no leading hyphen, 128 characters, never empty."""
    return secured_file_name(name).lstrip("-._")[:_SCRIPT_NAME_LIMIT] or DEFAULT_SCRIPT_NAME


def random_task_id() -> str:
    """32 hex digits that nobody can guess (contract 7.4)."""
    return secrets.token_hex(16)


def task_id_of_key(*, issuer: str, subject: str, route: str, key: str) -> str:
    """The task id that an ``Idempotency-Key`` of this caller means on this route (T10)."""
    return sha256_hex(canonical([issuer, subject, route, key]))[:32]
