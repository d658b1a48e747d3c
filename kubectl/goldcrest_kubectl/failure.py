"""How a command of the plugin fails: one sentence."""

from __future__ import annotations


class Failure(Exception):
    """Ends the program with this sentence on standard error and exit status 1."""
