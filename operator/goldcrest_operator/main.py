"""Entry point ``goldcrest-operator``."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from goldcrest.errors import GoldcrestError
from goldcrest.settings import help_page, read_settings, reported
from goldcrest.telemetry import Log, configure_logging
from goldcrest_operator import process
from goldcrest_operator.settings import OperatorSettings

_log = Log(__name__)


def main() -> None:
    """Run the operator; exit status 2 for settings that do not fit."""
    if len(sys.argv) > 1:
        what = "Reconciles Jobs and Systems: submits, follows, cancels, and writes down what happened."
        sys.stdout.write(help_page(OperatorSettings, program="goldcrest-operator", about=what))
        sys.exit(0 if sys.argv[1:] == ["--help"] else 2)
    sys.exit(reported("goldcrest-operator", _run))


def _run() -> int:
    settings = read_settings(OperatorSettings)
    configure_logging("operator", level=settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(process.run(settings))
    except GoldcrestError as error:
        _log.error("operator.failed", code=error.code, message=error.message)
        return 2
